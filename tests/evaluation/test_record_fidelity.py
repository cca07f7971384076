from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.stats import ks_2samp

from monai_hybridsynth.evaluation.record_fidelity import joined_records, record_fidelity
from monai_hybridsynth.evaluation.train_on_synthetic import encoded_rows


@pytest.fixture(scope="module")
def sides(judged):
    return judged("train", 120, 1), judged("holdout", 60, 2), judged("synthetic", 90, 3, name="c")


@pytest.fixture(scope="module")
def strangers(sides):
    return record_fidelity(*sides, seed=0)


def test_strangers_reach_the_floor_and_the_benchmark_says_what_it_is(strangers):
    released, unmatched = strangers.metrics
    assert released.high >= released.floor > 0.85
    assert released.dimensions == {"pairing": "as released"}
    assert "benchmark" in unmatched.note


def test_the_number_is_the_scipy_statistic(judged):
    sides = judged("holdout", 40, 1), judged("holdout", 40, 2), judged("synthetic", 40, 3, name="c")
    records = joined_records([side.features for side in sides], encoded_rows(sides[0].cohort.schema, sides))
    expected = 1 - ks_2samp(pdist(records[0]), pdist(records[2])).statistic
    assert record_fidelity(*sides, seed=0).metrics[0].value == pytest.approx(expected)


def test_records_that_are_all_alike_are_seen(sides, judged):
    collapsed = judged("synthetic", 90, 3, name="c")
    collapsed.features[:] *= 0.3
    released = record_fidelity(*sides[:2], collapsed, seed=0).metrics[0]
    assert released.high < released.floor


def test_drawings_are_complete_and_the_same_again(strangers, sides):
    drawings = strangers.drawings
    distances = drawings["record_distances"]
    width = distances["edges"][1]
    for name in ("real", "synthetic", "unmatched"):
        assert len(distances[name]) == len(distances["edges"]) - 1
        assert sum(distances[name]) * width == pytest.approx(1, abs=0.01)
    assert len(drawings["tsne"]["real"]) == len(drawings["tsne"]["synthetic"]) == 60
    assert json.dumps(drawings) == json.dumps(record_fidelity(*sides, seed=0).drawings)


def test_both_halves_of_a_record_weigh_the_same():
    rng = np.random.default_rng(0)
    images, rows = [rng.normal(size=(50, 3)) * 40], [rng.normal(size=(50, 7))]
    joined = joined_records(images, rows)[0]
    assert (joined[:, :3] ** 2).sum() == pytest.approx((joined[:, 3:] ** 2).sum())


def test_a_handful_of_records_is_a_statement(judged):
    found = record_fidelity(judged("train", 6, 1), judged("holdout", 3, 2), judged("synthetic", 4, 3), seed=0)
    assert all(record.value is None and "needed" in record.note for record in found.metrics)
