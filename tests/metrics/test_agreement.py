from __future__ import annotations

import numpy as np
import pytest

from monai_hybridsynth.metrics import agreement_estimate, agreement_ratio


def test_the_mean_is_the_ratio_of_summed_gains_not_the_mean_of_ratios():
    matched, shuffled, real = np.array([0.9, 0.5]), np.array([0.5, 0.5]), np.array([0.9, 0.51])
    assert float(agreement_ratio(matched, shuffled, real)) == pytest.approx(0.4 / 0.41)


def test_zero_one_and_caricature():
    shuffled, real = np.array([0.5, 0.52]), np.array([0.8, 0.7])
    assert float(agreement_ratio(shuffled, shuffled, real)) == 0.0
    assert float(agreement_ratio(real, shuffled, real)) == pytest.approx(1.0)
    assert float(agreement_ratio(real + 0.1, shuffled, real)) > 1


def test_no_real_link_is_not_estimable_and_says_why():
    rng = np.random.default_rng(0)
    noise = tuple(0.5 + 0.05 * rng.normal(size=(300, 1)) for _ in range(3))
    found = agreement_estimate(
        (np.array([0.9]), np.array([0.5]), np.array([0.52])), noise, num_groups=50, estimator="any"
    )
    assert found.value is None
    assert found.low is None
    assert "real pairs gain 0.020 over shuffled pairs" in found.note


def test_a_real_link_gives_a_paired_interval():
    rng = np.random.default_rng(0)
    luck = 0.05 * rng.normal(size=(400, 1))  # the same test patients are easy or hard for both predictors
    matched, real = 0.8 + luck, 0.8 + luck + 0.005 * rng.normal(size=(400, 1))
    shuffled = np.full((400, 1), 0.5)
    point = tuple(side.mean(0) for side in (matched, shuffled, real))
    found = agreement_estimate(point, (matched, shuffled, real), num_groups=200)
    assert found.value == pytest.approx(1, abs=0.01)
    assert found.high - found.low < 0.1
    assert found.low < 1 < found.high


def test_different_columns_are_refused():
    with pytest.raises(ValueError, match="differ in shape"):
        agreement_ratio(np.zeros(2), np.zeros(2), np.zeros(3))
