from __future__ import annotations

import pytest

from monai_hybridsynth.evaluation.metric_record import MetricRecord
from monai_hybridsynth.evaluation.report.interval_rows import (
    MEAN,
    bar_marks,
    interval_series,
    place_of,
    rows_layout,
    shifts,
)
from monai_hybridsynth.metrics import Estimate


def record(value, column=None, **dimensions):
    estimate = Estimate.absent("none") if value is None else Estimate(value, value - 0.1, value + 0.2, 9)
    return MetricRecord.of(
        estimate,
        cohort="c",
        family="utility",
        name="x",
        column=column,
        dimensions=dimensions,
        reading="r",
        estimator="e",
    )


def test_values_stand_in_their_rows_with_their_intervals():
    places = [MEAN, "sex", "labels = wet"]
    records = [record(0.9), record(None, "sex"), record(0.1, "labels", label="wet"), record(0.4, "elsewhere")]
    series = interval_series(records, places, name="n", colour="--first", shift=0.2)
    assert series["x"] == [0.9, 0.1]
    assert series["y"] == [0.2, 2.2]
    assert series["error_x"]["array"] == pytest.approx([0.2, 0.2])
    assert series["error_x"]["arrayminus"] == pytest.approx([0.1, 0.1])
    assert "n = 9" in series["text"][0]
    assert [place_of(one) for one in records[:3]] == places


def test_strangers_are_marked_in_their_rows():
    marks = bar_marks({"b": 0.5, "gone": 0.1}, ["a", "b"], "held-out patients")
    assert (marks["x"], marks["y"]) == ([0.5], [1])


def test_series_of_one_row_never_hide_each_other_nor_reach_the_next():
    for count in range(1, 9):
        found = shifts(count)
        assert len(set(found)) == count
        assert max(map(abs, found)) < 0.5


def test_many_rows_stand_closer():
    assert rows_layout(["a"] * 70, "", (0, 1), ())["height"] < 70 * 40
