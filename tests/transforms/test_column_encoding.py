"""One column at a time: dtypes that only a single kind has, and how labels are read."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from monai_hybridsynth.data import RecordField
from monai_hybridsynth.transforms.column_encoding import FlatColumn, fit_column, label_sets


def fit(values: pd.Series, kind: str, **options):
    spec = RecordField("x", kind=kind, **options)
    rows = len(values)
    return fit_column(values, spec, patients=np.arange(rows).astype(str), weights=np.ones(rows), minimum_patients=5)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (pd.Series(np.arange(40, dtype="int32") % 7), "integer"),
        (pd.Series(np.arange(40, dtype="float32") % 7), "continuous"),
        (pd.Series(["a", "b"] * 20, dtype="category"), "categorical"),
        (pd.Series(["a", "b"] * 20, dtype="string"), "categorical"),
    ],
)
def test_the_dtype_comes_back(values, kind):
    column = fit(values.rename("x"), kind)
    back = column.unflatten({**column.flatten(values)})
    assert back.dtype == values.dtype
    assert (back == values).mean() > 0.6


@pytest.mark.parametrize("dtype", ["bool", "boolean", "category", "object"])
def test_truth_values_are_no_categories(dtype):
    values = pd.Series([True, False, None if dtype in ("object", "boolean") else True] * 20).astype(dtype)
    with pytest.raises(ValueError, match=r"column 'x' holds True and False.*RecordSchema.parse"):
        fit(values, "binary").flatten(values)


def test_numbers_are_rounded_as_they_came():
    column = fit(pd.Series(np.round(np.random.default_rng(0).normal(7, 1, 100), 2)), "continuous")
    assert column.decimals == 2
    flat = {"x": np.array([6.98765, 7.12345]), "x:state": np.array(["value", "value"], dtype=object)}
    assert column.unflatten(flat).tolist() == [6.99, 7.12]
    assert fit(pd.Series(np.random.default_rng(0).normal(7, 1, 100)), "continuous").decimals is None


def test_a_state_of_few_patients_becomes_the_nearest_value():
    values = pd.Series([*np.linspace(10, 50, 60), *[np.inf] * 10, -np.inf, np.nan])
    column = fit(values, "continuous", censored=True)
    assert column.states == ("above", "value")
    back = column.unflatten(column.flatten(values))
    number = column.flats[0]
    assert back.iloc[-2:].tolist() == [number.lower, number.centre]
    assert np.isposinf(back.iloc[60:70]).all()


def test_labels_are_split_and_trimmed():
    assert label_sets(pd.Series(["A| B", "", None, "A||"]), "|") == [{"A", "B"}, frozenset(), None, {"A"}]


def test_a_declared_empty_label_is_exclusive_even_if_rows_contradict():
    values = pd.Series(["none"] * 20 + ["A"] * 20 + ["none|A"] * 8)
    assert fit(values, "multilabel", separator="|").exclusive == ()
    column = fit(values, "multilabel", separator="|", empty_label="none")
    assert column.exclusive == ("none",)
    assert column.fallback == "none"


def test_rows_may_have_no_label_when_training_rows_had_none():
    column = fit(pd.Series(["A"] * 20 + [""] * 20 + ["B"] * 10), "multilabel", separator="|")
    flat = {"x=A": np.array(["no"]), "x=B": np.array(["no"]), "x:state": np.array(["value"], dtype=object)}
    assert column.unflatten(flat).tolist() == [""]
    assert not column.needs_label
    assert not fit(pd.Series(["None"] * 20 + [""] * 20), "multilabel", separator="|").needs_label, "a label's name"


@pytest.mark.parametrize(("lost", "share"), [(4, 0.4), (20, 0.5)])
def test_rows_of_labels_too_rare_to_be_learned_do_not_count_once_enough_patients_have_them(lost, share):
    rare = [f"rare {number}" for number in range(lost)]
    values = pd.Series(["A"] * 40 + ["B"] * (60 - lost) + rare)
    shares = {flat.name: flat.shares[1] for flat in fit(values, "multilabel", separator="|").flats[:-1]}
    assert shares["x=A"] == pytest.approx(share, abs=1e-3)


def test_free_text_is_refused():
    spec = RecordField("note", kind="free_text", role="excluded")
    values = pd.Series(["x"] * 9)
    with pytest.raises(ValueError, match="'note' has kind 'free_text'"):
        fit_column(values, spec, patients=np.arange(9), weights=np.ones(9), minimum_patients=1)


def test_a_flat_column_knows_its_constant():
    assert FlatColumn("a", categories=("x",), shares=(1.0,)).constant == "x"
    assert FlatColumn("a", lower=2.0, upper=2.0, centre=2.0).is_constant
