from __future__ import annotations

import json

import numpy as np
import pytest

from monai_hybridsynth.evaluation.label_cooccurrence import label_cooccurrence
from monai_hybridsynth.evaluation.table_draws import table_draws


@pytest.fixture
def sides(judged):
    found = judged("train", 300, 1), judged("holdout", 150, 2), judged("synthetic", 400, 3, name="c")
    for side in found:
        wet = ["wet" in value for value in side.table["labels"]]
        keep = np.random.default_rng(len(side)).random(len(side)) < 0.9
        side.table["smoker"] = np.where(np.array(wet) == keep, "yes", "no")
    return found


def with_binary(sides):
    """Smoking as yes or no, so that it counts as a finding."""
    from dataclasses import replace

    schema = sides[0].cohort.schema
    schema = schema.with_fields(replace(schema["smoker"], kind="binary", enum=("no", "yes")))
    return tuple(replace(side, cohort=replace(side.cohort, schema=schema)) for side in sides)


def test_findings_that_no_longer_come_together_are_seen(sides):
    sides = with_binary(sides)
    found = label_cooccurrence(table_draws(*sides, seed=0))
    assert found.metrics[0].low <= found.metrics[0].floor
    sides[2].table["smoker"] = np.roll(sides[2].table["smoker"], 50)
    broken = label_cooccurrence(table_draws(*sides, seed=0)).metrics[0]
    assert broken.low > broken.floor


def test_the_drawing_holds_both_matrices(sides):
    drawing = label_cooccurrence(table_draws(*with_binary(sides), seed=0)).drawings["cooccurrence"]
    labels = drawing["labels"]
    assert set(labels) == {"labels: none", "labels: wet", "labels: dry", "smoker: yes"}
    first, second = labels.index("labels: wet"), labels.index("smoker: yes")
    table, weights = sides[0].table, sides[0].weights
    wet = np.array(["wet" in value for value in table["labels"]])
    expected = np.average(table["smoker"][wet] == "yes", weights=weights[wet])
    assert drawing["real"][first][second] == pytest.approx(expected, abs=1e-4)
    json.dumps(drawing, allow_nan=False)


def test_columns_that_are_no_findings_are_left_out(judged):
    sides = judged("train", 60, 1), judged("holdout", 40, 2), judged("synthetic", 50, 3, name="c")
    for side in sides:
        side.table["labels"] = "none"
    (record,) = label_cooccurrence(table_draws(*sides, seed=0)).metrics
    assert record.value is None
    assert "two are needed" in record.note
