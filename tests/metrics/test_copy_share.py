from __future__ import annotations

import numpy as np
import pytest

from monai_hybridsynth.metrics.copy_share import copy_rule, hit_share, neighbour_contrast, share_beside_floor


def test_the_contrast_is_a_ratio_to_the_next_patients():
    distances = np.array([[1.0, 1.0, 2.0, 4.0, 6.0], [0.0, 1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 0.0, 0.0, 0.0]])
    groups = np.array([[7, 7, 2, 7, 3], [0, 1, 2, 3, 4], [0, 1, 2, 3, 4]])
    assert neighbour_contrast(distances, groups).tolist() == [1 / 4, 0.0, 1.0]
    assert neighbour_contrast(distances, groups, num_others=1).tolist() == [1 / 2, 0.0, 1.0]


def plain_contrast(distances, groups, others):
    seen, total = {groups[0]}, []
    for distance, group in zip(distances[1:], groups[1:], strict=True):
        if group not in seen and len(total) < others:
            total.append(distance)
        seen.add(group)
    return distances[0] / np.mean(total)


def test_matches_a_loop():
    rng = np.random.default_rng(0)
    distances, groups = np.sort(rng.random((20, 30)), axis=1), rng.integers(0, 9, (20, 30))
    expected = [plain_contrast(d, g, 5) for d, g in zip(distances, groups, strict=True)]
    np.testing.assert_allclose(neighbour_contrast(distances, groups, num_others=5), expected)


def test_false_alarms_are_counted_on_patients_who_set_no_threshold():
    rng = np.random.default_rng(1)
    contrast, groups = rng.random(400), np.arange(400)
    rule = copy_rule(contrast, groups, rate=0.05, seed=0)
    # In a half of 200, at most 10 of 201 exchangeable newcomers would be accused.
    assert rule.expected == pytest.approx(10 / 201)
    assert rule.num_patients == 400
    below = [(contrast < threshold).sum() for threshold in rule.thresholds]
    assert rule.alarms.sum() == sum(below) - 2 * 9


def test_the_false_alarm_rate_holds_for_strangers():
    rates = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        rule = copy_rule(rng.random(120), np.arange(120), rate=0.05, seed=seed)
        rates.append((rule.accused(rng.random(2000)).mean(), rule.alarms.mean(), rule.expected))
    strangers, measured, expected = np.mean(rates, axis=0)
    assert strangers == pytest.approx(expected, abs=0.01)
    assert measured == pytest.approx(expected, abs=0.01)


def test_strangers_are_seldom_accused_beyond_their_floor():
    """The interval must hold the uncertainty of the threshold: thousands of records alone would make it too narrow."""
    alarms = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        rule = copy_rule(rng.random(160), np.arange(160), rate=0.01, seed=seed)
        floor = rule.false_alarms
        share = float(rule.accused(rng.random(2400)).mean())
        alarms += share_beside_floor(share, 2400, floor.value, (floor.low, floor.high)).low > floor.value
    assert alarms / 300 < 0.05


def test_an_exact_copy_is_accused_even_if_strangers_are_exact_copies_too():
    rule = copy_rule(np.zeros(20), np.arange(20), rate=0.01, seed=0)
    assert rule.accused(np.array([0.0, 0.1])).tolist() == [[True, False], [True, False]]
    assert rule.false_alarms.value == 1.0


def test_records_of_a_patient_share_one_vote():
    contrast = np.array([0.1, 0.1, 0.1, 0.1, 0.5, 0.6, 0.7, 0.8])
    groups = np.array(["a", "a", "a", "a", "b", "c", "d", "e"])
    rule = copy_rule(contrast, groups, rate=0.2, seed=0)
    assert rule.num_patients == 5
    assert rule.false_alarms.n == 5


def test_the_interval_beside_a_floor():
    sure = share_beside_floor(1.0, 500, 0.01, (0.0, 0.05))
    assert sure.low == pytest.approx(1 - np.hypot(1 - 0.9926, 0.04), abs=1e-3)
    assert sure.high == 1.0
    alone = share_beside_floor(0.3, 100, 0.01, (0.01, 0.01))
    assert (alone.low, alone.high) == pytest.approx((0.2124, 0.3998), abs=1e-3)
    assert share_beside_floor(0.02, 2400, 0.012, (0.002, 0.044)).low < 0.012


def test_patients_hit_by_chance():
    rng = np.random.default_rng(0)
    drawn = [len(np.unique(rng.integers(0, 50, rng.binomial(200, 0.1)))) / 50 for _ in range(500)]
    assert hit_share(0.1, 200, 50) == pytest.approx(np.mean(drawn), abs=0.01)
    assert hit_share(0.0, 200, 50) == 0.0


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="at least 4 held-out patients"):
        copy_rule(np.zeros(3), np.arange(3), rate=0.1, seed=0)
    with pytest.raises(ValueError, match="more neighbours"):
        neighbour_contrast(np.zeros((3, 1)), np.zeros((3, 1)))
