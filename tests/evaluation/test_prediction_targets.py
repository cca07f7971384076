from __future__ import annotations

import numpy as np
import pandas as pd

from monai_hybridsynth.data import RecordField, RecordSchema
from monai_hybridsynth.evaluation.prediction_targets import ordered_scale, prediction_targets, target_matrix

SCHEMA = RecordSchema(
    [
        RecordField("sex", kind="binary"),
        RecordField("age", "integer", kind="integer"),
        RecordField("stage", kind="ordinal", enum=("I", "II", "III")),
        RecordField("findings", kind="multilabel", separator="|"),
        RecordField("site", kind="categorical"),
    ]
)
TABLE = pd.DataFrame(
    {
        "sex": ["f", "f", "m", None],
        "age": pd.array([60, None, 41, 30], dtype="Int64"),
        "stage": ["II", "I", None, "III"],
        "findings": ["A|B", "B", None, "A"],
        "site": ["x", "y", "z", "x"],
    }
)


def test_every_kind_of_column_becomes_outcomes():
    targets = prediction_targets(SCHEMA, SCHEMA.feature_names, TABLE)
    names = [(target.column, target.label) for target in targets]
    assert names == [
        ("sex", "m"),
        ("age", None),
        ("stage", None),
        ("findings", "A"),
        ("findings", "B"),
        ("site", "x"),
        ("site", "y"),
        ("site", "z"),
    ]
    matrix = target_matrix(targets, TABLE)
    expected = {
        0: [0, 0, 1, np.nan],
        1: [60, np.nan, 41, 30],
        2: [1, 0, np.nan, 2],
        3: [1, 0, np.nan, 1],
        5: [1, 0, 0, 1],
    }
    for column, values in expected.items():
        np.testing.assert_array_equal(matrix[:, column], values)


def test_yes_is_the_positive_one_even_where_it_is_the_rule():
    schema = RecordSchema([RecordField("icu", kind="binary")])
    (target,) = prediction_targets(schema, ["icu"], pd.DataFrame({"icu": ["yes", "yes", "yes", "no"]}))
    assert target.label == "yes"


def test_a_constant_column_has_no_outcome_worth_a_score_and_no_columns_give_an_empty_matrix():
    assert target_matrix([], TABLE).shape == (4, 0)


def test_the_ordered_scale_keeps_order_and_puts_censored_values_at_the_ends():
    reference = np.array([-np.inf, 1.0, 2.0, 300.0, np.inf, np.nan])
    scaled = ordered_scale(np.array([-np.inf, 1.5, 300.0, np.inf, np.nan]), reference)
    assert (np.diff(scaled[:4]) > 0).all()
    assert scaled[0] >= 0
    assert scaled[3] <= 1
    assert np.isnan(scaled[4])
    assert np.isnan(ordered_scale(np.array([1.0]), np.array([np.nan]))).all()
