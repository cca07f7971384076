from __future__ import annotations

import numpy as np
import pytest

from monai_hybridsynth.evaluation.column_views import column_views
from monai_hybridsynth.evaluation.missing_values import missing_values
from monai_hybridsynth.evaluation.table_draws import table_draws
from monai_hybridsynth.evaluation.verdict import find_record


@pytest.fixture
def sides(judged):
    return judged("train", 200, 1), judged("holdout", 150, 2), judged("synthetic", 150, 3, name="c")


def records_of(sides):
    views = column_views(sides[0].cohort.schema, [side.table for side in sides])
    return missing_values(views, table_draws(*sides, seed=0))


def test_new_missing_values_are_counted(sides):
    sides[2].table.loc[:74, "sex"] = None
    record = find_record(records_of(sides), "c", "missingness", column="sex")
    assert record.value == pytest.approx(0.5)
    assert record.low > record.floor == 0


def test_values_that_go_missing_together_are_expected_to_do_so(sides):
    for side in sides:
        gone = side.table["crp"].isna().to_numpy()
        side.table["age"] = side.table["age"].where(~(np.roll(gone, 50) if side is sides[2] else gone))
    record = find_record(records_of(sides), "c", "missingness_pattern")
    assert record.low > record.floor
    assert record.value > 0.5
    assert find_record(records_of(sides), "c", "missingness", column="age").value < 0.12


def test_results_below_the_detection_limit_that_became_numbers_are_seen(sides):
    crp = sides[2].table["crp"]
    before = find_record(records_of(sides), "c", "censoring", column="crp")
    assert before.low <= before.floor
    sides[2].table["crp"] = crp.where(~np.isneginf(crp), 0.5)
    after = find_record(records_of(sides), "c", "censoring", column="crp")
    below = np.isneginf(sides[0].table["crp"]).sum() / sides[0].table["crp"].notna().sum()
    assert after.value == pytest.approx(below)
    assert after.low > after.floor


def test_a_table_without_gaps_has_no_pattern(sides):
    for side in sides:
        side.table["crp"] = side.table["crp"].fillna(1.0)
    record = find_record(records_of(sides), "c", "missingness_pattern")
    assert record.value is None
    assert "a pattern needs two" in record.note
