from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from monai_hybridsynth.metrics import (
    bootstrap_estimate,
    bootstrap_weights,
    interval,
    record_weights,
    share_estimate,
    weighted_auroc,
)


def test_a_patient_weighs_one_whatever_the_number_of_rows():
    weights = record_weights(np.array(["a", "b", "b", "b", "c"]))
    assert weights.tolist() == pytest.approx([1, 1 / 3, 1 / 3, 1 / 3, 1])


def test_rows_of_one_patient_are_drawn_together():
    groups = np.array([3, 1, 3, 2, 1, 1])
    counts = bootstrap_weights(groups, 200, seed=0)
    assert counts.shape == (200, 6)
    assert (counts[:, 0] == counts[:, 2]).all()
    assert (counts[:, [1]] == counts[:, [4, 5]]).all()
    assert (counts[:, [0, 1, 3]].sum(1) == 3).all()


def test_equal_seed_equal_weights_and_the_global_seed_is_left_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first, second = (bootstrap_weights(np.arange(5), 10, seed=4) for _ in range(2))
    assert (first == second).all()
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002


def test_no_rows_is_refused():
    with pytest.raises(ValueError, match="at least one patient"):
        bootstrap_weights(np.array([]), 10, seed=0)


def weighted_mean(values):
    return lambda weights: (weights * values).sum(-1) / weights.sum(-1)


def test_the_interval_of_a_mean_is_the_t_interval():
    values = np.random.default_rng(1).normal(size=40)
    found = bootstrap_estimate(weighted_mean(values), np.arange(40), seed=0, num_replicates=20000)
    expected = stats.t.interval(0.95, 39, loc=values.mean(), scale=stats.sem(values))
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx(expected, abs=0.02)
    assert found.n == 40


@pytest.mark.parametrize("patients", [12, 60])
def test_intervals_of_a_mean_cover_the_truth_with_repeated_rows_per_patient(patients):
    rng = np.random.default_rng(7)
    covered = []
    for draw in range(400):
        groups = np.repeat(np.arange(patients), rng.integers(1, 6, patients))
        values = rng.normal(size=patients)[groups] + 0.3 * rng.normal(size=len(groups))
        found = bootstrap_estimate(weighted_mean(values), groups, seed=draw, num_replicates=400)
        covered.append(found.low <= 0 <= found.high)
    assert 0.925 <= np.mean(covered) <= 0.98


def test_intervals_of_an_auroc_cover_the_truth():
    rng = np.random.default_rng(3)
    truth = stats.norm.cdf(1 / np.sqrt(2))
    covered = []
    for draw in range(300):
        labels = np.arange(60) < 20
        scores = rng.normal(size=60) + labels
        found = bootstrap_estimate(
            lambda weights, scores=scores, labels=labels: weighted_auroc(scores, labels, weights),
            np.arange(60),
            seed=draw,
            num_replicates=300,
            bounds=(0, 1),
        )
        covered.append(found.low <= truth <= found.high)
    assert 0.92 <= np.mean(covered) <= 0.98


def test_replicates_that_are_shifted_are_centred_and_bounds_hold():
    replicates = np.linspace(0.4, 0.6, 1001)
    low, high = interval(0.8, replicates, num_groups=10_000)
    assert (low, high) == pytest.approx((0.705, 0.895), abs=1e-3)
    assert interval(0.99, replicates, num_groups=100, bounds=(0, 1))[1] == 1.0


def test_too_few_finite_replicates_or_one_patient_give_no_interval():
    assert np.isnan(interval(0.5, np.array([np.nan, np.nan, 0.5]), num_groups=9)).all()
    assert np.isnan(interval(0.5, np.array([0.4, 0.5, 0.6]), num_groups=1)).all()
    single = bootstrap_estimate(weighted_mean(np.array([1.0, 2.0])), np.array([5, 5]), seed=0)
    assert not single.estimable
    assert "1 independent units" in single.note


def test_a_share_has_the_exact_interval():
    found = share_estimate(0, 100)
    assert (found.value, found.low) == (0.0, 0.0)
    assert found.high == pytest.approx(1 - 0.025 ** (1 / 100))
    reference = stats.binomtest(7, 30).proportion_ci(0.95, method="exact")
    seven = share_estimate(7, 30)
    assert (seven.low, seven.high) == pytest.approx((reference.low, reference.high))
    assert share_estimate(30, 30).high == 1.0
    assert not share_estimate(0, 0).estimable
    with pytest.raises(ValueError, match=r"0 \.\.\.|between 0"):
        share_estimate(5, 4)


def test_contracted_weights_give_the_same_interval_of_a_mean_and_lose_nobody():
    values, groups = np.random.default_rng(1).normal(size=50), np.arange(50)
    statistic = weighted_mean(values)
    spans = []
    for contraction in (1.0, 0.5):
        weights = bootstrap_weights(groups, 20_000, seed=0, contraction=contraction)
        spans.append(interval(float(values.mean()), statistic(weights), num_groups=50, contraction=contraction))
    assert weights.min() == 0.5
    assert spans[0] == pytest.approx(spans[1], abs=0.02)
