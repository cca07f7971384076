from __future__ import annotations

import numpy as np
import pytest

from monai_hybridsynth.metrics import (
    attack_auroc_estimate,
    attack_true_positive_estimate,
    learned_attack,
    patient_halves,
    strongest_attack,
    weighted_auroc,
)
from monai_hybridsynth.metrics.attack_choice import _label_areas, _learned_scores, _normal_scores


def patients(members: int, others: int, *, records: int = 1):
    groups = np.repeat(np.arange(members + others), records)
    return groups < members, groups


def test_halves_hold_half_of_both_sides_and_whole_patients():
    member, groups = patients(41, 20, records=3)
    halves = patient_halves(member, groups, seed=1)
    assert (halves.reshape(-1, 3) == halves.reshape(-1, 3)[:, :1]).all()
    assert [int(halves[::3][side].sum()) for side in (member[::3], ~member[::3])] == [20, 10]
    assert (halves == patient_halves(member, groups, seed=1)).all()
    assert (halves != patient_halves(member, groups, seed=2)).any()


def test_a_small_stratum_is_halved_too():
    member, groups = patients(40, 21, records=2)
    strata = np.isin(groups, [3, 8, 9, 50, 51, 52, 53, 54, 55, 56]).astype(int)
    halves = patient_halves(member, groups, strata=strata, seed=0)[::2]
    inside = strata[::2] == 1
    assert sorted(np.bincount(halves[inside & member[::2]])) == [1, 2]
    assert sorted(np.bincount(halves[inside & ~member[::2]])) == [3, 4]
    assert abs(2 * halves[~member[::2]].sum() - 21) == 1


def test_the_attack_that_works_is_chosen_on_both_halves():
    rng = np.random.default_rng(0)
    member, groups = patients(120, 80)
    scores = {name: rng.normal(size=200) for name in ("noise", "more noise")} | {
        "leak": rng.normal(size=200) + 2 * member
    }
    halves = patient_halves(member, groups, seed=0)
    strongest, learned = strongest_attack(scores, member, groups, halves, seed=0)
    assert set(strongest.chosen) <= {"leak", "classifier"}
    for attack in (strongest, learned):
        found = attack_auroc_estimate(
            attack.scores, member, groups, parts=halves, correlation=attack.correlation, seed=0
        )
        assert found.value == pytest.approx(0.92, abs=0.05)
        assert attack.chance == pytest.approx(1 / 201)


def test_an_attack_that_points_the_wrong_way_is_turned_by_the_classifier_alone():
    rng = np.random.default_rng(0)
    member, groups = patients(120, 80)
    halves = patient_halves(member, groups, seed=0)
    strongest, _ = strongest_attack({"reversed": rng.normal(size=200) - 2 * member}, member, groups, halves, seed=0)
    assert strongest.chosen == ("classifier", "classifier")


def test_areas_of_many_labellings_are_those_of_one_at_a_time():
    rng = np.random.default_rng(0)
    scores, weights = rng.integers(0, 5, 30).astype(float), rng.random(30)
    labels, halves = (rng.random((6, 30)) < 0.5).astype(float), np.arange(30) % 2
    expected = [
        [weighted_auroc(scores[halves == h], row[halves == h], weights[halves == h]) for h in (0, 1)] for row in labels
    ]
    assert _label_areas(scores, labels, weights, halves) == pytest.approx(np.array(expected))


def test_no_patient_is_scored_by_a_classifier_that_knew_its_membership():
    rng = np.random.default_rng(0)
    member, groups = patients(20, 20)
    halves = patient_halves(member, groups, seed=0)
    features = _normal_scores(rng.normal(size=(40, 3)), groups)
    labels = np.tile(member.astype(float), (2, 1))
    labels[1, 5] = 1 - labels[1, 5]
    outer, inner = _learned_scores(features, labels, groups, halves, seed=0)
    assert (outer[0] == outer[1])[halves == halves[5]].all()
    assert (outer[0] != outer[1])[halves != halves[5]].all()
    assert inner[0, 5] == inner[1, 5]


@pytest.mark.slow
def test_the_chosen_attack_covers_chance_although_its_halves_hang_together():
    """Opposed attacks: whichever is lucky in one half is lucky for the same reason in the other."""
    member, groups = patients(40, 24)
    covered, correlations = [], []
    for seed in range(50):
        rng = np.random.default_rng(seed)
        first = rng.normal(size=len(groups))
        halves = patient_halves(member, groups, seed=seed)
        attack, _ = strongest_attack({"up": first, "down": -first}, member, groups, halves, seed=seed)
        kwargs = {"parts": halves, "correlation": attack.correlation, "seed": seed, "num_replicates": 60}
        area = attack_auroc_estimate(attack.scores, member, groups, **kwargs)
        found = attack_true_positive_estimate(attack.scores, member, groups, **kwargs)
        covered.append([area.low <= 0.5 <= area.high, found.low <= 0.1 <= found.high])
        correlations.append(attack.correlation)
    assert np.mean(correlations) > 0.3
    assert (np.mean(covered, axis=0) >= 0.88).all()


def test_a_classifier_of_noise_is_at_chance_and_equal_seeds_agree():
    rng = np.random.default_rng(0)
    member, groups = patients(90, 60)
    halves = patient_halves(member, groups, seed=0)
    features = rng.normal(size=(150, 4))
    first, second = (learned_attack(features, member, groups, halves, seed=3) for _ in range(2))
    assert (first.scores == second.scores).all()
    assert 0.3 < first.correlation <= 1
    assert 0.02 < first.chance < 0.98
    found = attack_auroc_estimate(first.scores, member, groups, parts=halves, correlation=first.correlation, seed=0)
    assert found.low < 0.5 < found.high
