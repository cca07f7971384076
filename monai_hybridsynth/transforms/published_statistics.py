"""Statistics of a private column that may be published: none of them is one patient's value."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

__all__ = [
    "patient_folds",
    "patient_weights",
    "patients_with",
    "published_number",
    "published_range",
    "published_shares",
    "weighted_quantile",
]


def patient_weights(patients: Sequence | np.ndarray) -> np.ndarray:
    """Weight every row by one over the rows of its patient, so that each patient counts once.

    Args:
        patients: one identifier per row, shape ``(rows,)``.

    Returns:
        Weights with mean one, shape ``(rows,)``, float64.
    """
    _, position, counts = np.unique(np.asarray(patients).astype(str), return_inverse=True, return_counts=True)
    weights = 1.0 / counts[position]
    return weights / weights.mean()


def patient_folds(patients: Sequence | np.ndarray, num_folds: int, *, seed: int | np.random.Generator) -> np.ndarray:
    """Deal patients to folds of equal size, give or take one; return every row's fold, shape ``(rows,)``.

    Args:
        patients: one identifier per row, shape ``(rows,)``.
        num_folds: of which those beyond the number of patients stay empty.
        seed: of the deal, or a generator that goes on to the next one.
    """
    unique, position = np.unique(np.asarray(patients).astype(str), return_inverse=True)
    return (np.random.default_rng(seed).permutation(len(unique)) % num_folds)[position]


def patients_with(mask: np.ndarray, patients: np.ndarray) -> int:
    """Count the patients that have at least one row where ``mask`` is true."""
    return len(np.unique(np.asarray(patients)[np.asarray(mask, dtype=bool)]))


def published_number(value: float, *, digits: int = 3) -> float:
    """Round ``value`` to ``digits`` significant digits, so that no float of a patient survives in it."""
    if value == 0 or not math.isfinite(value):
        return 0.0 if value == 0 else float(value)
    return round(float(value), digits - 1 - math.floor(math.log10(abs(value))))


def published_range(values: np.ndarray, patients: np.ndarray, *, minimum_patients: int) -> tuple[float, float]:
    """Return a rounded range whose two ends each stand for at least ``minimum_patients`` patients.

    The ends are the first and the last percentile over patients, or the ``minimum_patients``-th most extreme patient
    when that lies further inside, rounded outwards to a third of the interquartile range (a step of 1, 2 or 5 times
    a power of ten). With fewer than four times ``minimum_patients`` patients the rank is a quarter of them. One more
    patient moves an end by a step at most, and it does not matter how extreme the patient is.

    Args:
        values: finite numbers, shape ``(rows,)``.
        patients: one identifier per row, shape ``(rows,)``.
        minimum_patients: how many patients each end stands for.

    Raises:
        ValueError: if ``values`` is empty.
    """
    if len(values) == 0:
        raise ValueError("values is empty; a range needs at least one value.")
    _, position = np.unique(np.asarray(patients).astype(str), return_inverse=True)
    lows = np.full(position.max() + 1, np.inf)
    highs = np.full(position.max() + 1, -np.inf)
    np.minimum.at(lows, position, values)
    np.maximum.at(highs, position, values)
    rank = max(minimum_patients, math.ceil(0.01 * len(lows)))
    rank = max(1, min(rank, len(lows) // 4))
    lower, upper = float(np.sort(lows)[rank - 1]), float(np.sort(highs)[-rank])
    if upper < lower:
        lower, upper = upper, lower
    middle = float(np.subtract(*np.quantile((lows + highs) / 2, [0.75, 0.25])))
    step = _nice_step(middle / 3 or (upper - lower) / 10 or abs(upper) / 10 or 1.0)
    lower, upper = math.floor(lower / step + 1e-9) * step, math.ceil(upper / step - 1e-9) * step
    return float(f"{lower:.12g}"), float(f"{upper:.12g}")


def published_shares(counts: np.ndarray) -> tuple[float, ...]:
    """Turn patient-weighted counts into shares that sum to one, rounded to three decimals."""
    shares = np.asarray(counts, dtype=float)
    shares = np.maximum(np.round(shares / shares.sum(), 3), 0.001)
    shares = np.round(shares / shares.sum(), 4)
    shares[int(np.argmax(shares))] += 1.0 - shares.sum()
    return tuple(round(float(share), 4) for share in shares)


def weighted_quantile(values: np.ndarray, weights: np.ndarray, level: float) -> float:
    """Return the smallest value below or at which a share ``level`` of the weight lies."""
    order = np.argsort(values, kind="stable")
    cumulative = np.cumsum(weights[order])
    position = int(np.searchsorted(cumulative, level * cumulative[-1], side="left"))
    return float(values[order][min(position, len(values) - 1)])


def _nice_step(size: float) -> float:
    """Return the largest of 1, 2, 5 times a power of ten that is not above ``size``."""
    power = 10.0 ** math.floor(math.log10(size))
    return next(factor * power for factor in (5, 2, 1) if factor * power <= size * (1 + 1e-9))
