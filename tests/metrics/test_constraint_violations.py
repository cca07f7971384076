from __future__ import annotations

import numpy as np
import pytest

from monai_hybridsynth.metrics import missing_share_gap, violates_levels, violates_limits


def test_limits_are_inclusive_and_missing_or_censored_values_pass():
    values = np.array([0.0, -0.1, 120.0, 411.0, np.nan, np.inf, -np.inf])
    assert violates_limits(values, 0, 120).tolist() == [False, True, False, True, False, False, False]
    assert not violates_limits(values, None, None).any()


def test_levels_and_joined_labels():
    assert violates_levels(["m", "x", None], {"m", "f"}).tolist() == [False, True, False]
    assert violates_levels(["A|B", "A|Q", "", None], {"A", "B"}, separator="|").tolist() == [False, True, False, False]


def test_missing_shares_are_weighted():
    first, second = np.array([True, False, False, False]), np.array([True, True])
    assert float(missing_share_gap(first, second)) == pytest.approx(0.75)
    assert missing_share_gap(first, second, np.array([[3.0, 1, 1, 1]]), np.ones((1, 2))).tolist() == [
        pytest.approx(0.5)
    ]
