from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score, roc_curve

from monai_hybridsynth.metrics import (
    attack_auroc_estimate,
    attack_curve,
    attack_true_positive_estimate,
    auroc_score_interval,
    patient_scores,
)


def drawn(members: int, others: int, *, shift: float = 0.0, seed: int = 0):
    rng = np.random.default_rng(seed)
    member = np.arange(members + others) < members
    return rng.normal(size=len(member)) + shift * member, member, np.arange(len(member))


def delong_deviation(scores, member):
    """Return the standard deviation of the area after DeLong et al. 1988, written as placements."""
    positive, negative = scores[member], scores[~member]
    wins = (positive[:, None] > negative).astype(float)
    return np.sqrt(wins.mean(1).var(ddof=1) / len(positive) + wins.mean(0).var(ddof=1) / len(negative))


def test_the_area_is_that_of_sklearn_and_its_interval_that_of_delong():
    scores, member, groups = drawn(200, 120, shift=1)
    found = attack_auroc_estimate(scores, member, groups, seed=0, num_replicates=2000)
    assert found.value == pytest.approx(roc_auc_score(member, scores))
    half = 1.96 * delong_deviation(scores, member)
    assert (found.low, found.high) == pytest.approx((found.value - half, found.value + half), abs=0.012)
    assert found.n == 320


def test_the_score_interval_excludes_one_half_exactly_where_the_rank_test_does():
    for members, others in ((12, 7), (80, 30)):
        deviation = np.sqrt((members + others + 1) / (12 * members * others))
        for factor, inside in ((1.93, True), (1.99, False)):
            low, high = auroc_score_interval(0.5 + factor * deviation, members, others)
            assert (low <= 0.5 <= high) is inside


def test_perfect_separation_is_not_certain():
    scores, member, groups = drawn(20, 10, shift=100)
    found = attack_auroc_estimate(scores, member, groups, seed=0)
    assert (found.value, found.high) == (1.0, 1.0)
    assert 0.75 < found.low < 0.95


def test_a_patient_has_one_vote_whatever_the_number_of_records():
    scores, member, groups = drawn(40, 40, shift=0.5)
    times = np.where(member, 1, 6)
    once = attack_auroc_estimate(scores, member, groups, seed=0)
    often = attack_auroc_estimate(*(np.repeat(part, times) for part in (scores, member, groups)), seed=0)
    assert (often.value, often.n) == (pytest.approx(once.value), once.n)
    assert (often.low, often.high) == pytest.approx((once.low, once.high), abs=1e-6)


def test_nothing_is_gained_by_having_many_records():
    """Others with six records each: a maximum over a patient's records would tell them from members."""
    areas, found = [], []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        groups = np.repeat(np.arange(80), np.where(np.arange(80) < 40, 1, 6))
        scores = rng.normal(size=len(groups)) + rng.normal(size=80)[groups]
        member = groups < 40
        areas.append(attack_auroc_estimate(scores, member, groups, seed=seed, num_replicates=20).value)
        found.append(attack_true_positive_estimate(scores, member, groups, seed=seed, num_replicates=5).value)
    assert np.mean(areas) == pytest.approx(0.5, abs=0.015)
    assert np.mean(found) == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize("others", [8, 30, 200])
def test_a_random_attacker_finds_one_in_ten_however_few_held_out_patients_there_are(others):
    found = [
        attack_true_positive_estimate(*drawn(40, others, seed=seed), seed=seed, num_replicates=5).value
        for seed in range(400)
    ]
    assert np.mean(found) == pytest.approx(0.1, abs=3.5 * np.std(found) / 20)


def test_the_share_found_is_near_that_of_sklearns_curve_and_equal_scores_are_guesses():
    scores, member, groups = drawn(3000, 2000, shift=1)
    found = attack_true_positive_estimate(scores, member, groups, seed=0, num_replicates=20)
    false, true, _ = roc_curve(member, scores)
    assert found.value == pytest.approx(np.interp(0.1, false, true), abs=0.004)
    flat = attack_true_positive_estimate(0 * scores, member, groups, seed=0, num_replicates=20)
    assert flat.low < 0.1 < flat.high


def test_intervals_cover_chance():
    covered = []
    for seed in range(200):
        scores, member, groups = drawn(60, 40, seed=seed)
        area = attack_auroc_estimate(scores, member, groups, seed=seed, num_replicates=100)
        found = attack_true_positive_estimate(scores, member, groups, seed=seed, num_replicates=50)
        covered.append([area.low <= 0.5 <= area.high, found.low <= 0.1 <= found.high])
    assert (np.mean(covered, axis=0) >= 0.92).all()
    assert np.mean(covered, axis=0)[0] <= 0.99


def test_the_interval_of_the_share_found_covers_it_beyond_chance():
    truth, covered = stats.norm.sf(stats.norm.isf(0.1) - 1.2), []
    for seed in range(150):
        found = attack_true_positive_estimate(*drawn(100, 50, shift=1.2, seed=seed), seed=seed, num_replicates=100)
        covered.append(found.low <= truth <= found.high)
    assert np.mean(covered) >= 0.92


def test_halves_that_hang_together_count_as_fewer_patients():
    scores, member, groups = drawn(60, 40, shift=1)
    parts = np.arange(100) % 2
    apart, tied = (
        attack_auroc_estimate(scores, member, groups, parts=parts, correlation=rho, seed=0) for rho in (0.0, 1.0)
    )
    assert (
        tied.value
        == apart.value
        == pytest.approx(np.mean([roc_auc_score(member[parts == part], scores[parts == part]) for part in (0, 1)]))
    )
    assert (tied.high - tied.low) / (apart.high - apart.low) == pytest.approx(np.sqrt(2), abs=0.15)


def test_scores_of_parts_are_not_compared_with_each_other():
    scores, member, groups = drawn(60, 40, shift=1)
    parts = np.arange(100) % 2
    shifted = attack_auroc_estimate(scores + 50 * parts, member, groups, parts=parts, seed=0)
    assert shifted == attack_auroc_estimate(scores, member, groups, parts=parts, seed=0)
    curves = [attack_curve(values, member, groups, parts=parts) for values in (scores, scores + 50 * parts)]
    assert (curves[0][1] == curves[1][1]).all()
    false, true, _ = roc_curve(member, scores)
    assert attack_curve(scores, member, groups)[1][[0, 100]].tolist() == [pytest.approx(true[false == 0].max()), 1.0]


def test_too_few_patients_are_said_so():
    for estimate in (attack_auroc_estimate, attack_true_positive_estimate):
        found = estimate(*drawn(9, 2), seed=0)
        assert found.value is None
        assert found.note.startswith("not estimable because 9 training and 2 held-out patients")
        assert estimate(np.zeros(0), np.zeros(0, dtype=bool), np.zeros(0), seed=0).value is None


def test_patients_are_ranked_by_the_mean_place_of_their_records():
    patients, places = patient_scores(np.array([1.0, 5.0, 5.0, 9.0]), np.array(["a", "b", "b", "c"]))
    assert patients.tolist() == ["a", "b", "c"]
    assert places == pytest.approx([1 / 6, 0.5, 5 / 6])
