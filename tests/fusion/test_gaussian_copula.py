"""The joint Gaussian: truncated draws against scipy, correlations found through cuts, conditioning two ways."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import truncnorm

from monai_hybridsynth.fusion.gaussian_copula import GaussianCopula, fit_copula, truncated_normal


def fit(lower, upper, scores=None, *, is_number=None, seed=0):
    rows, size = lower.shape
    scores = np.zeros((rows, 0)) if scores is None else scores
    return fit_copula(
        lower,
        upper,
        scores,
        is_number=np.zeros(size, dtype=bool) if is_number is None else np.array(is_number),
        prior=np.eye(scores.shape[1]),
        weights=np.ones(rows),
        patients=np.arange(rows),
        seed=seed,
    )[0]


def test_truncated_draws_follow_scipy_also_in_the_tail():
    rng = np.random.default_rng(0)
    for low, high in ((-1.0, 0.5), (2.0, np.inf), (9.0, 9.5), (-np.inf, -7.0)):
        drawn = truncated_normal(np.zeros(20000), 1.0, np.full(20000, low), np.full(20000, high), rng)
        assert drawn.min() >= low
        assert drawn.max() <= high
        assert drawn.mean() == pytest.approx(truncnorm.mean(low, high), abs=0.01)
        assert drawn.std() == pytest.approx(truncnorm.std(low, high), abs=0.01)
    exact = truncated_normal(np.zeros(3), 1.0, np.full(3, 1.5), np.full(3, 1.5), rng)
    assert exact.tolist() == [1.5] * 3
    far = truncated_normal(np.zeros(3), 1.0, np.full(3, 60.0), np.full(3, 61.0), rng)
    assert np.isfinite(far).all()


def test_correlations_are_found_behind_thresholds_and_gaps():
    rng = np.random.default_rng(0)
    truth = np.array([[1.0, 0.6, -0.4], [0.6, 1.0, 0.0], [-0.4, 0.0, 1.0]])
    z = rng.multivariate_normal(np.zeros(3), truth, 1500)
    lower, upper = z.copy(), z.copy()
    yes = z[:, 0] > 0.5
    lower[:, 0], upper[:, 0] = np.where(yes, 0.5, -np.inf), np.where(yes, np.inf, 0.5)
    gaps = rng.random(1500) < 0.3
    lower[gaps, 1], upper[gaps, 1] = -np.inf, np.inf
    found = fit(lower, upper, is_number=[False, True, True])
    np.testing.assert_allclose(found.covariance, truth, atol=0.08)
    np.testing.assert_allclose(found.mean, 0.0, atol=0.08)


def test_the_joint_covariance_holds_the_scores():
    rng = np.random.default_rng(0)
    scores = rng.standard_normal((2000, 3))
    z = scores @ [0.7, 0.0, 0.2] + rng.standard_normal(2000) * np.sqrt(1 - 0.53)
    found = fit(z[:, None], z[:, None], scores, is_number=[True])
    np.testing.assert_allclose(found.covariance[1:, 0], [0.7, 0.0, 0.2], atol=0.06)
    assert np.linalg.eigvalsh(found.covariance)[0] > 0


def test_few_rows_give_a_covariance_that_can_be_used():
    rng = np.random.default_rng(0)
    lower = np.where(rng.random((6, 9)) < 0.5, 0.0, -np.inf)
    upper = np.where(np.isfinite(lower), np.inf, 0.0)
    found = fit(lower, upper, rng.standard_normal((6, 2)))
    assert np.linalg.eigvalsh(found.covariance)[0] > 0
    assert np.diag(found.covariance) == pytest.approx(np.ones(11), abs=1e-6)


@pytest.mark.parametrize("rows", [40, 150])
def test_a_strong_correlation_among_unrelated_variables_is_kept(rows):
    rng = np.random.default_rng(0)
    z = rng.standard_normal((rows, 20))
    z[:, 1] = 0.8 * z[:, 0] + 0.6 * z[:, 1]
    lower, upper = np.where(z > 0, 0.0, -np.inf), np.where(z > 0, np.inf, 0.0)
    lower[:, :2] = upper[:, :2] = z[:, :2]
    lower[:, 3], upper[:, 3] = lower[:, 2], upper[:, 2]  # the same answer twice
    found = fit(lower, upper, is_number=[True] * 2 + [False] * 18).covariance
    sample = np.cov(z[:, :2], rowvar=False, bias=True)
    assert found[0, 1] == pytest.approx(sample[0, 1], abs=1.5 * (1 - 0.8**2) / np.sqrt(rows) + 0.06)
    assert found[2, 3] > 0.6
    others = found[4:, 4:][~np.eye(16, dtype=bool)]
    assert np.sqrt(np.mean(others**2)) < 1.5 / np.sqrt(rows), "noise is shrunk"


def test_conditioning_is_that_of_the_precision_matrix():
    """Second way: given what is seen, the precision of the rest is the precision matrix's own block."""
    rng = np.random.default_rng(0)
    root = rng.standard_normal((5, 5))
    copula = GaussianCopula(rng.standard_normal(5), root @ root.T + 0.1 * np.eye(5))
    design = np.eye(5)[[1, 3]]
    gain, left = copula.given(design, np.zeros(2))
    precision, rest = np.linalg.inv(copula.covariance), [0, 2, 4]
    block = np.linalg.inv(precision[np.ix_(rest, rest)])
    np.testing.assert_allclose(left[np.ix_(rest, rest)], block, atol=1e-6)
    np.testing.assert_allclose(gain[rest], -block @ precision[np.ix_(rest, [1, 3])], atol=1e-6)
    np.testing.assert_allclose(left[[1, 3]], 0.0, atol=1e-6)


def test_one_seed_one_fit():
    lower = np.where(np.random.default_rng(0).random((80, 3)) < 0.5, 0.0, -np.inf)
    upper = np.where(np.isfinite(lower), np.inf, 0.0)
    first, again, other = (fit(lower, upper, seed=seed).covariance for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_numbers_that_all_rows_know_are_not_drawn_together_with_strangers():
    rng = np.random.default_rng(0)
    z = rng.standard_normal((32, 2))
    z[:, 1] = 0.95 * z[:, 0] + np.sqrt(1 - 0.95**2) * z[:, 1]
    found = fit(z, z, is_number=[True, True]).covariance
    assert found[0, 1] == pytest.approx(np.cov(z, rowvar=False, bias=True)[0, 1], abs=0.02)
