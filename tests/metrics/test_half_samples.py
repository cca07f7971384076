from __future__ import annotations

import numpy as np
import pytest

from monai_hybridsynth.metrics import half_samples


def test_nobody_appears_twice_and_everybody_is_drawn():
    halves = half_samples(9, 200, seed=0)
    assert halves.shape == (200, 4)
    assert all(len(set(half)) == 4 for half in halves.tolist())
    assert set(halves.ravel()) == set(range(9))


def test_the_scatter_of_a_mean_is_its_standard_error():
    values = np.random.default_rng(1).normal(size=200)
    means = values[half_samples(200, 4000, seed=0)].mean(1)
    assert means.std() == pytest.approx(values.std(ddof=1) / np.sqrt(200), rel=0.05)


def test_a_seed_gives_the_same_halves_and_one_unit_has_none():
    assert (half_samples(20, 5, seed=3) == half_samples(20, 5, seed=3)).all()
    with pytest.raises(ValueError, match="at least two"):
        half_samples(1, 5, seed=0)
