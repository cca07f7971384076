from __future__ import annotations

import numpy as np
import pytest

from monai_hybridsynth.evaluation.comparable_draws import comparable_draws, patient_draws


def test_every_patient_gives_one_row_and_draws_use_all_patients():
    groups = np.repeat([f"p{place}" for place in range(20)], 3).astype(object)
    draws = patient_draws(groups, 8, 5, seed=0)
    for rows in draws:
        assert len(set(groups[rows])) == len(rows) == 8
    assert not set(groups[draws[0]]) & set(groups[draws[1]])
    assert len({row for rows in draws for row in rows}) > 25, "another image of the same patient is drawn next time"


def test_holdout_and_synthetic_have_one_size(judged):
    draws = comparable_draws(judged("train", 100, 1), judged("holdout", 40, 2), judged("synthetic", 300, 3), seed=0)
    assert draws.count == len(draws.holdout[0]) == len(draws.synthetic[0]) == 40
    assert len(draws.train[0]) == 50
    assert "40 synthetic records against 50 training patients" in draws.describe()
    assert not draws.problem
    few = comparable_draws(judged("train", 100, 1), judged("holdout", 9, 2), judged("synthetic", 300, 3), seed=0)
    assert "9 patients" in few.problem


def test_a_mean_gets_its_standard_error(judged):
    sides = judged("train", 200, 1), judged("holdout", 150, 2), judged("synthetic", 150, 3)
    draws = comparable_draws(*sides, seed=0)
    ages = {side.role: side.table["age"].to_numpy() for side in sides}

    def gap(real, other, role):
        return np.array([ages[role][other].mean() - ages["train"][real].mean()])

    found = draws.compare(gap, num_replicates=400)
    assert found.values[0] == pytest.approx(ages["synthetic"].mean() - ages["train"].mean(), abs=0.6)
    expected = np.sqrt(ages["synthetic"].var() / 150 + ages["train"].var() / 100)
    assert found.replicates.std() == pytest.approx(expected, rel=0.2)
    estimate = found.estimate(0)
    assert estimate.n == 150
    assert estimate.low < found.values[0] < estimate.high


def test_draws_follow_the_seed(judged):
    sides = judged("train", 60, 1), judged("holdout", 30, 2), judged("synthetic", 90, 3)
    first, again, other = (comparable_draws(*sides, seed=seed).synthetic[0] for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()
