from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from monai_hybridsynth.metrics.map_agreement import map_agreement


def test_agrees_with_scipy_image_by_image():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(5, 4, 4)).round(1), rng.normal(size=(5, 4, 4)).round(1)
    expected = [stats.spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(first, second, strict=True)]
    assert map_agreement(first, second) == pytest.approx(expected)


def test_scale_does_not_count_and_a_constant_map_agrees_with_nothing():
    maps = np.random.default_rng(1).normal(size=(3, 9))
    assert map_agreement(maps, np.exp(3 * maps)) == pytest.approx([1, 1, 1])
    assert map_agreement(maps, -maps) == pytest.approx([-1, -1, -1])
    assert map_agreement(maps, np.ones((3, 9))).tolist() == [0, 0, 0]
    assert map_agreement(np.zeros((0, 4)), np.zeros((0, 4))).shape == (0,)


def test_refuses_maps_of_other_images():
    with pytest.raises(ValueError, match="one shape"):
        map_agreement(np.zeros((3, 4)), np.zeros((2, 4)))
