from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ks_2samp

from monai_hybridsynth.evaluation.fidelity import constraint_violations, fidelity_metrics
from monai_hybridsynth.evaluation.verdict import find_record


@pytest.fixture(scope="module")
def sides(judged):
    return judged("train", 200, 1), judged("holdout", 150, 2)


def test_strangers_lie_at_the_floor(sides, judged):
    records = fidelity_metrics(*sides, judged("synthetic", 150, 3, name="c"), seed=0)
    shape, trend, distance = (find_record(records, "c", n) for n in ("column_shape", "pair_trend", "kernel_distance"))
    assert shape.value == pytest.approx(shape.floor, abs=0.05)
    assert trend.value == pytest.approx(trend.floor, abs=0.05)
    assert distance.low < 0.02
    assert find_record(records, "c", "constraint_violations").value == 0
    assert find_record(records, "c", "missingness").value < 0.05


def test_the_moved_column_is_named_and_agrees_with_scipy(sides, judged):
    synthetic = judged("synthetic", 150, 3, name="c")
    synthetic.table["age"] = synthetic.table["age"] + 25
    records = fidelity_metrics(*sides, synthetic, seed=0)
    moved = find_record(records, "c", "column_shape", column="age")
    expected = 1 - ks_2samp(sides[0].table["age"], synthetic.table["age"]).statistic
    assert moved.value == pytest.approx(expected)
    assert moved.high < moved.floor
    others = [find_record(records, "c", "column_shape", column=name) for name in ("sex", "labels", "crp", "smoker")]
    assert all(other.value > 0.85 for other in others)


def test_a_broken_relation_between_columns_is_seen_only_by_the_trend(sides, judged):
    train, holdout, synthetic = (
        judged("train", 200, 1),
        judged("holdout", 150, 2),
        judged("synthetic", 150, 3, name="c"),
    )
    for side in (train, holdout, synthetic):
        tied = np.where(side.table["sex"] == "m", "yes", "no")
        side.table["smoker"] = tied if side is not synthetic else np.roll(tied, 40)
    records = fidelity_metrics(train, holdout, synthetic, seed=0)
    trend = find_record(records, "c", "pair_trend", column="smoker")
    assert trend.high < trend.floor
    assert find_record(records, "c", "column_shape", column="smoker").value > 0.9


def test_new_missing_values_and_broken_constraints_are_counted(sides, judged, schema):
    synthetic = judged("synthetic", 100, 3, name="c")
    synthetic.table.loc[:49, "sex"] = None
    synthetic.table.loc[90:94, "age"] = 411.0
    synthetic.table.loc[93:97, "smoker"] = "maybe"
    synthetic.table.loc[99, "labels"] = "wet|green"
    assert constraint_violations(schema, synthetic.table).sum() == 9
    records = fidelity_metrics(*sides, synthetic, seed=0)
    assert find_record(records, "c", "missingness", column="sex").value == pytest.approx(0.5)
    broken = find_record(records, "c", "constraint_violations")
    assert broken.value == pytest.approx(0.09)
    assert "9 of 100" in broken.reading


def test_other_images_are_farther_than_strangers(sides, judged):
    synthetic = judged("synthetic", 150, 3, name="c")
    synthetic.features[:] = 0.3 * synthetic.features
    distance = find_record(fidelity_metrics(*sides, synthetic, seed=0), "c", "kernel_distance")
    assert distance.low > max(distance.floor, 0)


def test_a_column_without_any_synthetic_value_is_null(sides, judged):
    synthetic = judged("synthetic", 50, 3, name="c")
    synthetic.table["crp"] = np.nan
    record = find_record(fidelity_metrics(*sides, synthetic, seed=0), "c", "column_shape", column="crp")
    assert record.value is None
    assert "no value to compare" in record.note
