from __future__ import annotations

import numpy as np
import pytest

from monai_hybridsynth.metrics import missing_correlation, missing_pattern_gap


@pytest.fixture
def missing():
    rng = np.random.default_rng(0)
    panel = rng.random(300) < 0.4
    return np.column_stack([panel, panel ^ (rng.random(300) < 0.1), rng.random(300) < 0.3])


def test_is_the_correlation_of_the_indicators(missing):
    assert np.allclose(missing_correlation(missing), np.corrcoef(missing.T.astype(float)))
    counts = np.random.default_rng(1).integers(0, 3, 300)
    assert np.allclose(missing_correlation(missing, counts), missing_correlation(np.repeat(missing, counts, axis=0)))


def test_the_same_shares_in_another_pattern_are_seen(missing):
    scattered = np.column_stack([np.random.default_rng(column).permutation(missing[:, column]) for column in range(3)])
    assert (scattered.mean(0) == missing.mean(0)).all()
    assert missing_pattern_gap(missing, scattered) > 0.2
    assert missing_pattern_gap(missing, missing) == 0


def test_columns_that_are_never_missing_go_with_nothing(missing):
    full = np.zeros_like(missing)
    expected = np.abs(np.corrcoef(missing.T.astype(float))[np.triu_indices(3, 1)]).mean()
    assert missing_pattern_gap(missing, full) == pytest.approx(expected)
    with pytest.raises(ValueError, match="two or more columns"):
        missing_pattern_gap(missing[:, :1], full[:, :1])
