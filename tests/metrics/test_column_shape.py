from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ks_2samp

from monai_hybridsynth.metrics import kolmogorov_smirnov_complement, total_variation_complement


def test_kolmogorov_smirnov_agrees_with_scipy():
    rng = np.random.default_rng(0)
    first, second = np.round(rng.normal(size=40), 1), np.round(rng.normal(0.5, 2, size=70), 1)
    assert float(kolmogorov_smirnov_complement(first, second)) == pytest.approx(1 - ks_2samp(first, second).statistic)


def test_counts_as_weights_are_rows_repeated():
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=20), rng.normal(size=30)
    counts = rng.integers(0, 3, 20)
    weighted = kolmogorov_smirnov_complement(first, second, counts[None].astype(float), np.ones((1, 30)))
    repeated = kolmogorov_smirnov_complement(np.repeat(first, counts), second)
    assert weighted.tolist() == pytest.approx([float(repeated)])


def test_results_beyond_the_detection_limit_take_part():
    first, second = np.array([-np.inf, 1.0, 2.0, np.inf]), np.array([1.0, 1.0, 2.0, 2.0])
    assert float(kolmogorov_smirnov_complement(first, second)) == pytest.approx(0.75)
    assert float(kolmogorov_smirnov_complement(first, first)) == 1.0


def test_missing_values_are_refused():
    with pytest.raises(ValueError, match="drop missing rows"):
        kolmogorov_smirnov_complement(np.array([np.nan]), np.array([1.0]))


def test_total_variation_agrees_with_the_definition():
    first = np.eye(3)[[0, 0, 1, 2]]
    second = np.eye(3)[[0, 1, 1, 1, 1]]
    shares = np.array([0.5, 0.25, 0.25]), np.array([0.2, 0.8, 0.0])
    assert float(total_variation_complement(first, second)) == pytest.approx(
        1 - 0.5 * np.abs(shares[0] - shares[1]).sum()
    )
    weights = np.array([[1.0, 1, 1, 1], [2, 0, 0, 0]]), np.ones((2, 5))
    assert total_variation_complement(first, second, *weights).tolist() == pytest.approx([0.45, 0.2])


def test_other_levels_are_refused():
    with pytest.raises(ValueError, match="same levels"):
        total_variation_complement(np.eye(2), np.eye(3))
