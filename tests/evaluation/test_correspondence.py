from __future__ import annotations

import numpy as np
import pytest

from monai_hybridsynth.evaluation.correspondence import class_patients, correspondence_metrics, too_few_patients
from monai_hybridsynth.evaluation.verdict import find_record


@pytest.fixture(scope="module")
def sides(judged):
    return judged("train", 240, 1), judged("holdout", 140, 2)


@pytest.fixture(scope="module")
def honest(sides, judged):
    return correspondence_metrics(*sides, judged("synthetic", 240, 3, name="honest"), seed=0, num_replicates=25)


@pytest.fixture(scope="module")
def unmatched(sides, judged):
    synthetic = judged("synthetic", 240, 3, shuffled=True, name="unmatched")
    return correspondence_metrics(*sides, synthetic, seed=0, num_replicates=25)


@pytest.mark.parametrize("predictor", ["linear", "kernel"])
@pytest.mark.parametrize("name", ["agreement_forward", "agreement_reverse"])
def test_strangers_score_one_and_a_broken_pairing_zero(honest, unmatched, name, predictor):
    one = find_record(honest, "honest", name, predictor=predictor)
    zero = find_record(unmatched, "unmatched", name, predictor=predictor)
    assert one.value == pytest.approx(1, abs=0.25)
    assert one.low < 1 < one.high
    assert zero.low < 0 < zero.high
    assert zero.high < one.value
    assert (one.floor, one.ceiling) == (0.0, 1.0)


def test_a_column_without_a_link_is_null_and_says_so(honest):
    for record in honest:
        if record.column == "smoker":
            assert record.value is None
            assert "no measurable link" in record.note or "too few" in record.note


def test_every_column_and_label_is_there(honest, schema):
    for name in ("agreement_forward", "agreement_reverse"):
        columns = {r.column for r in honest if r.name == name and "label" not in r.dimensions}
        assert columns == {None, *schema.feature_names}
        labels = {
            r.dimensions["label"] for r in honest if r.name == name and r.column == "labels" and "label" in r.dimensions
        }
        assert labels == {"none", "wet", "dry"}


def test_one_seed_gives_the_same_values(judged):
    sides = judged("train", 40, 1), judged("holdout", 30, 2), judged("synthetic", 40, 3)
    first, second, other = (correspondence_metrics(*sides, seed=seed, num_replicates=4) for seed in (0, 0, 1))
    assert first == second
    assert first != other


def test_a_tiny_cohort_is_answered_with_reasons(judged):
    train, holdout = judged("train", 12, 1), judged("holdout", 3, 2)
    records = correspondence_metrics(train, holdout, judged("synthetic", 20, 3), seed=0, num_replicates=10)
    assert records
    assert all(record.value is None and record.note for record in records)


def test_a_label_that_the_synthetic_cohort_lacks_carries_no_link(sides, judged):
    synthetic = judged("synthetic", 200, 5)
    synthetic.table["sex"] = "f"
    records = correspondence_metrics(*sides, synthetic, seed=0, num_replicates=20)
    forward = find_record(records, "synthetic", "agreement_forward", column="sex", predictor="linear")
    reverse = find_record(records, "synthetic", "agreement_reverse", column="sex", predictor="linear")
    assert forward.value == pytest.approx(0, abs=0.2)
    assert reverse.value == pytest.approx(0, abs=0.2)


def test_the_rarer_class_is_counted_in_patients():
    values, groups = np.array([1, 1, 1, 0, 0, np.nan]), np.array(["a", "a", "b", "c", "c", "d"])
    assert class_patients(values, groups, binary=True) == 1
    assert class_patients(values, groups, binary=False) == 3
    assert not too_few_patients(10, 4, binary=True)
    assert "9 in train and 4 in the holdout" in too_few_patients(9, 4, binary=True)
