"""A joint Gaussian of underlying clinical variables and latent scores: fitted through cuts, conditioned exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from monai_hybridsynth.fusion.score_regression import SMALLEST_VARIANCE, expected_values, regress_on_scores

__all__ = ["GaussianCopula", "fit_copula", "joint_copula", "truncated_normal"]

SWEEPS, FIRST_KEPT = 60, 20
# Moments of variables that are drawn are those of the patients and of so many whose variables are independent: few
# patients would else make drawn variables, and so their moments, more and more alike. With three, no more rows of
# records equal a patient's than rows of other patients do (`benchmarks/RESULTS.md`, "Synthesizers of hybrid records").
INDEPENDENT_PATIENTS = 3


@dataclass
class GaussianCopula:
    """A joint normal distribution of ``d`` clinical variables followed by ``m`` latent scores.

    Attributes:
        mean: shape ``(d + m,)``.
        covariance: shape ``(d + m, d + m)``.
    """

    mean: np.ndarray
    covariance: np.ndarray

    def root(self) -> np.ndarray:
        """Return a matrix whose product with standard normals has the covariance."""
        return _root(self.covariance)

    def given(self, design: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return gain and covariance after observing ``design @ variables`` plus independent noise.

        Args:
            design: shape ``(observed, d + m)``.
            noise: variances, shape ``(observed,)``; 0 for an exact value.

        Returns:
            the gain ``(d + m, observed)``, by which a surprise moves the mean, and the covariance that is left.
        """
        cross = self.covariance @ design.T
        total = design @ cross + np.diag(noise + 1e-9)
        gain = np.linalg.solve(total, cross.T).T
        left = self.covariance - gain @ cross.T
        return gain, (left + left.T) / 2


def fit_copula(
    lower: np.ndarray,
    upper: np.ndarray,
    scores: np.ndarray,
    *,
    is_number: np.ndarray,
    prior: np.ndarray,
    weights: np.ndarray,
    patients: np.ndarray,
    seed: int,
    shared: np.ndarray | None = None,
) -> tuple[GaussianCopula, np.ndarray]:
    """Fit the joint normal by drawing what the data only bound: values behind categories, ties and gaps.

    Data augmentation as in Hoff 2007 (https://arxiv.org/abs/math/0610937), with fixed thresholds in place of rank
    bounds: in turn, every underlying variable is drawn given all others within its bounds, and moments are taken again.
    # Differs from the paper: moments are shrunk estimates under a weak prior, not posterior draws, and averaged over
    the last sweeps. They are shrunk in every sweep (see `_shrunk`), so that a pair that the data leave open, such as a
    value and its absence, goes to 0 and does not wander. The scores, which are always known, do not take part in the
    draws; how the clinical variables depend on them is a regression of its own (`regress_on_scores`).

    Args:
        lower: bounds of the clinical variables, ``(rows, d)``.
        upper: the same from above; equal where a value is known, both infinite where it is missing.
        scores: latent scores, uncorrelated and of unit variance under the weights, ``(rows, m)``.
        is_number: which variables have a mean and a variance of their own; the others are standard normal, ``(d,)``.
        prior: a root of the covariance that slopes on the scores are expected to have, for the ridge, ``(m, k)``.
        weights: one per row, so that every patient counts once.
        patients: one identifier per row.
        seed: of the draws.
        shared: which variables have slopes on the scores in common, ``(d, units)``, as `regress_on_scores` takes it.

    Returns:
        the distribution, and the covariances of scores and clinical variables in the rows that know them, ``(m, d)``.
    """
    rng = np.random.default_rng(seed)
    share, count = weights / weights.sum(), len(np.unique(patients))
    fit = _Sweeps(lower, upper, is_number, share, count, rng)
    kept = []
    for sweep in range(SWEEPS):
        fit.sweep()
        if sweep >= FIRST_KEPT:
            kept.append((fit.mean, fit.covariance))
    mean, covariance = (np.mean(parts, axis=0).round(3) for parts in zip(*kept, strict=True))
    slopes, links = np.zeros((2, scores.shape[1], len(mean)))
    if slopes.size:
        known = (lower > -np.inf) | (upper < np.inf)
        slopes, links = regress_on_scores(
            expected_values(lower, upper), known, scores, prior, weights=weights, patients=patients, shared=shared
        )
    return joint_copula(mean, covariance, slopes.round(3)), links.round(3)


def joint_copula(mean: np.ndarray, covariance: np.ndarray, slopes: np.ndarray) -> GaussianCopula:
    """Return clinical variables and scores as one distribution, with what is needed taken off to be a covariance.

    Args:
        mean: of the clinical variables, ``(d,)``.
        covariance: theirs, ``(d, d)``.
        slopes: of the clinical variables on the scores, which are standard normal and independent, ``(m, d)``.
    """
    covariance, slopes = _consistent(covariance, slopes)
    joint = np.block([[covariance, slopes.T], [slopes, np.eye(len(slopes))]])
    return GaussianCopula(np.concatenate([mean, np.zeros(len(slopes))]), joint)


class _Sweeps:
    """The state of the augmentation: drawn values and the moments they are drawn from."""

    def __init__(
        self,
        lower: np.ndarray,
        upper: np.ndarray,
        is_number: np.ndarray,
        share: np.ndarray,
        count: int,
        rng: np.random.Generator,
    ) -> None:
        size = lower.shape[1]
        self.lower, self.upper, self.is_number = lower, upper, is_number
        self.share, self.count, self.rng = share, count, rng
        self.mean, self.covariance = np.zeros(size), np.eye(size)
        known = lower == upper
        # Of each pair of variables, the share of rows in which one of them is drawn.
        drawn = 1 - (share[:, None] * known).T @ known
        self.prior = INDEPENDENT_PATIENTS * drawn / (count + INDEPENDENT_PATIENTS * drawn)
        np.fill_diagonal(self.prior, 0.0)
        self.open = np.flatnonzero(~known.all(axis=0))
        self.z = truncated_normal(np.zeros_like(lower), np.ones(size), lower, upper, rng)

    def sweep(self) -> None:
        """Draw every bounded variable once, then take the moments."""
        precision = np.linalg.inv(_floor(self.covariance))
        residual = self.z - self.mean
        for column in self.open:
            push = residual[:, column] - residual @ precision[:, column] / precision[column, column]
            spread = np.sqrt(1 / precision[column, column])
            lower, upper = self.lower[:, column], self.upper[:, column]
            self.z[:, column] = truncated_normal(self.mean[column] + push, spread, lower, upper, self.rng)
            residual[:, column] = self.z[:, column] - self.mean[column]
        self._take_moments()

    def _take_moments(self) -> None:
        """Estimate mean and covariance from the drawn values."""
        mean = self.share @ self.z
        centred = self.z - mean
        covariance = (centred * self.share[:, None]).T @ centred
        scale = np.where(self.is_number, 1.0, 1 / np.sqrt(np.maximum(np.diag(covariance), 1e-6)))
        covariance = covariance * scale * scale[:, None]
        self.mean = np.where(self.is_number, mean, 0.0)
        self.covariance = _shrunk((1 - self.prior) * covariance, self.count)


def truncated_normal(
    mean: np.ndarray, spread: np.ndarray | float, lower: np.ndarray, upper: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Draw normal values between limits, also far out in a tail; equal limits are returned as they are."""
    low, high = (lower - mean) / spread, (upper - mean) / spread
    # The normal distribution function keeps its precision on the left only.
    flip = low > 0
    low, high = np.where(flip, -high, low), np.where(flip, -low, high)
    bottom, top = ndtr(low), ndtr(high)
    drawn = ndtri(bottom + (top - bottom) * rng.random(np.shape(mean)))
    drawn = np.clip(np.where(np.isfinite(drawn), drawn, np.where(np.isfinite(high), high, low)), low, high)
    return np.clip(mean + spread * np.where(flip, -drawn, drawn), lower, upper)


def _shrunk(covariance: np.ndarray, count: int) -> np.ndarray:
    """Shrink correlations by the share of their squares that is noise in ``count`` patients, none by much.

    One factor for all (Schaefer and Strimmer 2005, doi 10.2202/1544-6115.1175, target D, with the variance of a normal
    correlation) is right on average, but most pairs of columns are next to unrelated and would take the few strong
    correlations along: so none moves by more than its standard error (limited translation: Efron and Morris 1972, doi
    10.1080/01621459.1972.10481215).
    """
    spread = np.sqrt(np.maximum(np.diag(covariance), SMALLEST_VARIANCE))
    correlation = covariance / spread / spread[:, None]
    np.fill_diagonal(correlation, 0.0)
    error = (1 - np.clip(correlation, -1, 1) ** 2) / np.sqrt(max(count - 1, 1))
    np.fill_diagonal(error, 0.0)
    noise = float(np.clip((error**2).sum() / max((correlation**2).sum(), 1e-12), 0.0, 1.0))
    correlation -= np.clip(noise * correlation, -error, error)
    np.fill_diagonal(correlation, 1.0)
    return correlation * spread * spread[:, None]


def _floor(covariance: np.ndarray) -> np.ndarray:
    """Return the covariance with every eigenvalue at least a thousandth."""
    if not len(covariance):
        return covariance
    values, axes = np.linalg.eigh((covariance + covariance.T) / 2)
    if values[0] >= SMALLEST_VARIANCE:
        return covariance
    return (axes * np.maximum(values, SMALLEST_VARIANCE)) @ axes.T


def _consistent(covariance: np.ndarray, slopes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Make what is left of the clinical variables given the scores a covariance, their variances kept."""
    total = _floor(covariance - slopes.T @ slopes) + slopes.T @ slopes
    scale = np.sqrt(np.diag(covariance) / np.diag(total))
    return total * scale * scale[:, None], slopes * scale


def _root(covariance: np.ndarray) -> np.ndarray:
    """Return a square root of a covariance that may be singular."""
    if not len(covariance):
        return covariance
    values, axes = np.linalg.eigh(covariance)
    return axes * np.sqrt(np.maximum(values, 0.0))
