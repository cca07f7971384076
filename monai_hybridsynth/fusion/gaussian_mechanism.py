"""Sums over patients with Gaussian noise, and what they cost together: epsilon and delta of differential privacy."""

from __future__ import annotations

import secrets

import numpy as np
from scipy.optimize import brentq
from scipy.special import log_ndtr, ndtri

__all__ = [
    "GaussianMechanism",
    "gaussian_delta",
    "gaussian_epsilon",
    "gaussian_loss",
    "patient_means",
    "secret_normal",
    "shortened",
]

MOST_EPSILON = 1000.0


class GaussianMechanism:
    """Releases sums over patients with noise from one budget, which it refuses to overdraw.

    Each release takes a share of the budget. A Gaussian mechanism whose noise is ``norm / mu`` has the privacy loss
    ``mu``; the losses of several, also of those chosen after seeing others, add up as squares. So shares that sum to at
    most one cost what one mechanism with the whole ``mu`` costs (Dong, Roth and Su 2019,
    https://arxiv.org/abs/1905.02383, corollary 3.3).

    The guarantee is one of real numbers. Floating-point noise can leave traces of the sum (Mironov 2012), which is not
    treated here.

    Args:
        mu: the whole privacy loss, see `gaussian_loss`; infinite adds no noise and protects nothing.
        noise_seed: draws the noise from a seed that others may know, for tests; the noise can then be subtracted, so
            that nothing is private. None takes the noise from the operating system.
    """

    def __init__(self, mu: float, *, noise_seed: int | None = None) -> None:
        if not mu > 0:
            raise ValueError(f"mu is {mu}; a privacy loss is positive.")
        self.mu = mu
        self.spent = 0.0
        self._random = None if noise_seed is None else np.random.default_rng(noise_seed)

    def release(self, contributions: np.ndarray, *, norm: float, share: float) -> tuple[np.ndarray, float]:
        """Return the noisy sum over patients and the standard deviation of its noise.

        Args:
            contributions: one row per patient, ``(patients, numbers)``; a longer row is shortened to ``norm``, so that
                adding or removing a patient moves the sum by at most ``norm``.
            norm: largest Euclidean length of a row; chosen without looking at the patients.
            share: of the budget.

        Raises:
            RuntimeError: if less than ``share`` of the budget is left.
        """
        if self.spent + share > 1 + 1e-9:
            raise RuntimeError(f"share is {share:g}, but {1 - self.spent:g} of the privacy budget is left.")
        self.spent += share
        noise = norm / (self.mu * np.sqrt(share))
        total = shortened(contributions, norm).sum(axis=0)
        draw = secret_normal(total.shape) if self._random is None else self._random.standard_normal(total.shape)
        return total + noise * draw, noise


def gaussian_delta(mu: float, epsilon: float) -> float:
    """Return the smallest delta of a Gaussian mechanism with privacy loss ``mu`` at ``epsilon``.

    Source:
        Balle and Wang 2018, https://arxiv.org/abs/1805.06530, theorem 8.
    """
    first, second = log_ndtr(mu / 2 - epsilon / mu), epsilon + log_ndtr(-mu / 2 - epsilon / mu)
    return float(np.exp(first) * -np.expm1(min(second - first, 0.0)))


def gaussian_loss(epsilon: float, delta: float) -> float:
    """Return the largest privacy loss ``mu`` that keeps to ``epsilon`` and ``delta``; infinite for infinite epsilon.

    Raises:
        ValueError: if epsilon is not positive or delta not between 0 and 1.
    """
    if not epsilon > 0:
        raise ValueError(f"epsilon is {epsilon}; give a positive number, such as 3.")
    if not 0 < delta < 1:
        raise ValueError(f"delta is {delta}; give a number between 0 and 1, far below one over the patients.")
    if not np.isfinite(epsilon):
        return float("inf")
    return float(brentq(lambda mu: gaussian_delta(mu, epsilon) - delta, 1e-6, 10 * np.sqrt(epsilon) + epsilon + 10))


def gaussian_epsilon(mu: float, delta: float) -> float:
    """Return the smallest epsilon of a Gaussian mechanism with privacy loss ``mu`` at ``delta``."""
    if gaussian_delta(mu, 0.0) <= delta:
        return 0.0
    return float(brentq(lambda epsilon: gaussian_delta(mu, epsilon) - delta, 0.0, MOST_EPSILON))


def secret_normal(shape: int | tuple[int, ...]) -> np.ndarray:
    """Draw standard normal numbers from the operating system's random bytes; nobody can draw them again."""
    count = int(np.prod(shape))
    bits = np.frombuffer(secrets.token_bytes(8 * count), dtype=np.uint64) >> np.uint64(11)
    return ndtri((bits.astype(float) + 0.5) / 2.0**53).reshape(shape)


def patient_means(rows: np.ndarray, patients: np.ndarray) -> np.ndarray:
    """Return the mean row of every patient, ``(patients, numbers)``: what one patient adds to a sum.

    A mean is no longer than the longest of its rows, so a limit on rows holds for patients.
    """
    _, position, counts = np.unique(np.asarray(patients).astype(str), return_inverse=True, return_counts=True)
    total = np.zeros((len(counts), rows.shape[1]))
    np.add.at(total, position, rows)
    return total / counts[:, None]


def shortened(rows: np.ndarray, norm: float) -> np.ndarray:
    """Return the rows ``(rows, numbers)``, those longer than ``norm`` shortened to it."""
    length = np.sqrt((rows**2).sum(axis=1, keepdims=True))
    return rows * np.minimum(1.0, norm / np.maximum(length, 1e-300))
