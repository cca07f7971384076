"""Columns from a schema alone: what is counted, and what exact counts give back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from monai_hybridsynth.data import RecordField, RecordSchema
from monai_hybridsynth.fusion.declared_columns import (
    DeclaredCategory,
    DeclaredLabels,
    DeclaredNumber,
    declared_columns,
)

AGE = RecordField("age", "number", kind="continuous", minimum=0, maximum=160)
COUNT = RecordField("count", "integer", kind="integer", minimum=0, maximum=5, required=True)
SEX = RecordField("sex", kind="binary", enum=("F", "M"))
FINDINGS = RecordField("findings", kind="multilabel", separator="|", enum=("A", "B", "C", "None"), empty_label="None")


def test_every_row_is_counted_once_per_column():
    ages = pd.Series([0.0, 5.0, 159.9, 160.0, np.nan, 1000.0])
    found = DeclaredNumber(AGE, "float64").indicators(ages)
    assert found.sum(axis=1).tolist() == [1.0] * 6
    assert found[:, -1].tolist() == [0, 0, 0, 0, 1, 0]
    assert found.argmax(axis=1).tolist() == [0, 0, 15, 15, 16, 15]
    sexes = DeclaredCategory(SEX, "object").indicators(pd.Series(["M", None, "F"]))
    assert sexes.argmax(axis=1).tolist() == [1, 2, 0]


def test_censored_numbers_have_states_of_their_own():
    column = DeclaredNumber(replace(AGE, censored=True), "float64")
    found = column.indicators(pd.Series([np.inf, -np.inf, np.nan, 3.0]))
    assert [column.states[i - 16] for i in found[:3].argmax(axis=1)] == ["above", "below", "missing"]
    assert column.encoding(found.sum(axis=0), 4).states == ("value", "missing", "below", "above")


def test_no_row_is_longer_than_the_norm():
    column = DeclaredLabels(FINDINGS, "object")
    found = column.indicators(pd.Series(["A|B|C", "A", "None", None, ""]))
    lengths = np.linalg.norm(found, axis=1)
    assert lengths.max() <= column.norm + 1e-12
    assert lengths[1:].tolist() == [1.0, 1.0, 1.0, 0.0]


def test_exact_counts_give_shares_and_quantiles_back():
    rng = np.random.default_rng(0)
    values = pd.Series(rng.normal(70, 20, 20_000).clip(0, 160))
    column = DeclaredNumber(AGE, "float64")
    counts = column.indicators(values).sum(axis=0)
    levels = np.array([0.1, 0.5, 0.9])
    assert column.margin(counts).quantile(levels) == pytest.approx(np.quantile(values, levels), abs=2.0)
    number = column.encoding(counts, 20_000).flats[0]
    assert (number.lower, number.upper) == (0, 160)
    assert number.spread == pytest.approx(20, rel=0.1)
    labels = pd.Series(["A"] * 30 + ["A|B"] * 10 + ["None"] * 60)
    column = DeclaredLabels(FINDINGS, "object")
    flats = column.encoding(column.indicators(labels).sum(axis=0), 100).flats
    assert [flat.shares[-1] for flat in flats if flat.categories and flat.categories[-1] == "yes"] == pytest.approx(
        [0.4, 0.1, 0.6], abs=0.01
    )


def test_small_whole_numbers_have_a_bin_each():
    column = DeclaredNumber(COUNT, "Int64")
    assert column.indicators(pd.Series([0, 1, 5], dtype="Int64")).argmax(axis=1).tolist() == [0, 1, 5]
    assert column.encoding(np.array([5.0, 0, 0, 0, 0, 5.0]), 10).decimals == 0


def test_noise_alone_is_no_error():
    rng = np.random.default_rng(1)
    for column in (DeclaredNumber(AGE, "float64"), DeclaredCategory(SEX, "object"), DeclaredLabels(FINDINGS, "object")):
        for _ in range(30):
            counts = 50 * rng.standard_normal(column.size)
            shares = [share for flat in column.encoding(counts, 1.0).flats for share in flat.shares]
            assert all(0 <= share <= 1.001 for share in shares)
            margin = column.margin(counts)
            assert margin is None or (np.diff(margin.levels).min() >= 0 and np.isfinite(margin.values).all())


def test_dtypes_do_not_tell_whether_a_value_is_missing():
    schema = RecordSchema([AGE, replace(COUNT, required=False), SEX])
    for counts, sexes in (([1, 2], ["F", "M"]), ([1.0, np.nan], ["F", None])):
        table = pd.DataFrame({"count": counts, "sex": sexes, "age": counts})
        assert [column.dtype for column in declared_columns(table, schema)] == ["Int64", "object", "float64"]


def test_what_is_not_declared_is_named():
    table = pd.DataFrame({"age": [1.0], "sex": ["F"], "crp": [2.0], "view": ["AP"]})
    crp = RecordField("crp", "number", kind="continuous", minimum=0)
    schema = RecordSchema([AGE, SEX, crp, RecordField("view")])
    with pytest.raises(ValueError, match=r"\['crp'\] have no minimum and maximum and columns \['view'\] no enum"):
        declared_columns(table, schema)
    with pytest.raises(ValueError, match=r"columns \['age'\] that the table lacks"):
        declared_columns(table.drop(columns="age"), schema)
