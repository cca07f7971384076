from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.metrics.fid import FIDMetric

from monai_hybridsynth.metrics import frechet_distance


def exact_normal(rng, n, mean, covariance):
    """Return rows whose sample mean and covariance are exactly those asked for."""
    raw = rng.normal(size=(n, len(mean)))
    raw -= raw.mean(0)
    white = raw @ np.linalg.inv(np.linalg.cholesky(np.cov(raw, rowvar=False))).T
    return white @ np.linalg.cholesky(covariance).T + mean


def test_closed_form_of_normal_populations():
    rng = np.random.default_rng(0)
    spreads = np.array([1.0, 4.0, 9.0]), np.array([4.0, 1.0, 0.25])
    turned = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    first, second = (
        exact_normal(rng, n, mean, turned @ np.diag(s) @ turned.T)
        for n, mean, s in ((40, np.zeros(3), spreads[0]), (25, np.array([1.0, 2.0, 2.0]), spreads[1]))
    )
    expected = 9 + ((np.sqrt(spreads[0]) - np.sqrt(spreads[1])) ** 2).sum()
    assert frechet_distance(first, second) == pytest.approx(expected)
    assert frechet_distance(second, first) == pytest.approx(expected)


def test_agrees_with_monai_on_covariances_that_do_not_commute():
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(60, 5)) @ rng.normal(size=(5, 5)), rng.normal(size=(45, 5)) + 0.3
    theirs = FIDMetric()(torch.from_numpy(first), torch.from_numpy(second)).item()
    assert frechet_distance(first, second) == pytest.approx(theirs, rel=1e-4)


def test_the_bias_of_small_samples_is_the_one_stated():
    rng = np.random.default_rng(2)
    found = [frechet_distance(rng.normal(size=(400, 20)), rng.normal(size=(400, 20))) for _ in range(20)]
    assert np.mean(found) == pytest.approx(20 * 25 / 800, rel=0.1)


def test_fewer_rows_than_features_need_shrinkage():
    rng = np.random.default_rng(3)
    first, second = rng.normal(size=(30, 60)), rng.normal(size=(30, 60))
    shrunk = frechet_distance(first, second, shrunk=True)
    assert 0 <= shrunk < 0.3 * frechet_distance(first, second)
    assert frechet_distance(first, second + 1, shrunk=True) > shrunk + 40


def test_the_likely_mistakes_are_refused():
    with pytest.raises(ValueError, match="equal F"):
        frechet_distance(np.zeros((3, 2)), np.zeros((3, 3)))
    with pytest.raises(ValueError, match="at least two"):
        frechet_distance(np.zeros((1, 2)), np.zeros((3, 2)))
