from __future__ import annotations

import numpy as np
import pytest

from monai_hybridsynth.metrics.disclosure_risk import (
    excess_success,
    line_up_hits,
    link_overlap,
    nearest_ties,
    squared_gaps,
)


def test_the_interval_covers_no_difference():
    missed = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        members, strangers = (rng.random(count) < 0.1 for count in (300, 100))
        found = excess_success(
            members.astype(float), np.arange(300), strangers.astype(float), np.arange(100), seed=seed
        ).estimate
        missed += not found.low <= 0 <= found.high
    assert missed <= 9


def test_a_difference_is_found_and_patients_share_one_vote():
    members, groups = np.array([1.0] * 60 + [0.0] * 40), np.concatenate([np.zeros(60), np.arange(1, 41)])
    found = excess_success(members, groups, np.zeros(50), np.arange(50), seed=0)
    assert found.members == pytest.approx(1 / 41)
    assert found.estimate.value == pytest.approx(1 / 41)
    sure = excess_success(np.ones(100), np.arange(100), np.zeros(50), np.arange(50), seed=0)
    assert sure.estimate.low > 0.9
    assert sure.estimate.high == 1.0
    assert sure.estimate.n == 150


def test_nobody_hit_is_not_certainty():
    found = excess_success(np.zeros(30), np.arange(30), np.zeros(20), np.arange(20), seed=0).estimate
    # Wilson's upper limits of 0 of 30 and 0 of 20
    assert (found.low, found.high) == pytest.approx((-0.1611, 0.1135), abs=1e-3)
    assert not excess_success(np.ones(1), np.zeros(1), np.ones(5), np.arange(5), seed=0).estimate.estimable


def test_links_by_loops_with_ties_shared_out():
    rng = np.random.default_rng(0)
    real, made = rng.integers(0, 3, (15, 4)).astype(float), rng.integers(0, 3, (30, 4)).astype(float)
    masks = [nearest_ties(squared_gaps(real[:, part], made[:, part])) for part in (slice(0, 2), slice(2, 4))]
    for row, overlap in enumerate(link_overlap(*masks)):
        sets = []
        for part in (slice(0, 2), slice(2, 4)):
            gaps = [((real[row, part] - other[part]) ** 2).sum() for other in made]
            sets.append({place for place, gap in enumerate(gaps) if gap == min(gaps)})
        assert overlap == pytest.approx(len(sets[0] & sets[1]) / len(sets[0] | sets[1]))


def test_a_line_up_knows_luck_certainty_and_ties():
    rows = np.random.default_rng(1).normal(size=(60, 3))
    assert (line_up_hits(rows, rows, size=10, num_draws=2, seed=0) == 1).all()
    strange = np.random.default_rng(2).normal(size=(60, 3))
    blind = line_up_hits(strange, rows, size=10, num_draws=50, seed=0).mean()
    assert blind == pytest.approx(0.1, abs=0.06)
    alike = line_up_hits(rows, np.ones((60, 3)), size=10, num_draws=1, seed=0)
    assert alike == pytest.approx(np.full(60, 0.1))
    with pytest.raises(ValueError, match="cannot be drawn from 60"):
        line_up_hits(rows, rows, size=61, num_draws=1, seed=0)
