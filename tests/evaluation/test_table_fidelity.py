from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ks_2samp

from monai_hybridsynth.evaluation.table_fidelity import table_fidelity
from monai_hybridsynth.evaluation.verdict import find_record


@pytest.fixture(scope="module")
def sides(judged):
    return judged("train", 200, 1), judged("holdout", 150, 2)


@pytest.fixture(scope="module")
def strangers(sides, judged):
    return table_fidelity(*sides, judged("synthetic", 600, 3, name="c"), seed=0)


def test_the_intervals_of_strangers_reach_the_floor(strangers):
    for record in strangers.metrics:
        if record.value is None:
            continue
        reached = record.high >= record.floor if record.better == "higher" else record.low <= record.floor
        assert reached, (record.name, record.column)
    names = {"column_shape", "pair_trend", "missingness", "censoring", "label_cooccurrence", "categories_kept"}
    assert names <= {record.name for record in strangers.metrics if record.value is not None}
    assert find_record(strangers.metrics, "c", "constraint_violations").value == 0


def test_the_moved_column_is_named_and_agrees_with_scipy(sides, judged):
    synthetic = judged("synthetic", 150, 3, name="c")
    synthetic.table["age"] = synthetic.table["age"] + 25
    records = table_fidelity(*sides, synthetic, seed=0).metrics
    moved = find_record(records, "c", "column_shape", column="age")
    expected = 1 - ks_2samp(sides[0].table["age"], synthetic.table["age"]).statistic
    assert moved.value == pytest.approx(expected)
    assert moved.high < moved.floor
    others = [find_record(records, "c", "column_shape", column=name) for name in ("sex", "labels", "crp", "smoker")]
    assert all(other.value > 0.85 for other in others)


def test_a_large_cohort_has_no_easier_floor(sides, judged):
    """Six times as many records differ by less noise; at one size the mean difference stays the same."""
    values = [
        find_record(
            table_fidelity(*sides, judged("synthetic", count, 3, name="c"), seed=0).metrics, "c", "column_shape"
        ).value
        for count in (150, 900)
    ]
    assert values[0] == pytest.approx(values[1], abs=0.03)


def test_a_broken_relation_between_columns_is_seen_only_by_the_trend(judged):
    train, holdout, synthetic = (
        judged("train", 200, 1),
        judged("holdout", 150, 2),
        judged("synthetic", 150, 3, name="c"),
    )
    for side in (train, holdout, synthetic):
        tied = np.where(side.table["sex"] == "m", "yes", "no")
        side.table["smoker"] = tied if side is not synthetic else np.roll(tied, 40)
    records = table_fidelity(train, holdout, synthetic, seed=0).metrics
    trend = find_record(records, "c", "pair_trend", column="smoker")
    assert trend.high < trend.floor
    assert find_record(records, "c", "column_shape", column="smoker").value > 0.9


def test_a_column_without_any_synthetic_value_is_null(sides, judged):
    synthetic = judged("synthetic", 50, 3, name="c")
    synthetic.table["crp"] = np.nan
    record = find_record(table_fidelity(*sides, synthetic, seed=0).metrics, "c", "column_shape", column="crp")
    assert record.value is None
    assert "no value to compare" in record.note


def test_a_handful_of_records_gives_statements_and_no_error(judged):
    found = table_fidelity(judged("train", 4, 1), judged("holdout", 2, 2), judged("synthetic", 3, 3), seed=0)
    assert all(record.value is not None or record.note for record in found.metrics)
