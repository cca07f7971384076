"""Do values go missing together, as in a panel of laboratory tests that was ordered or not?"""

from __future__ import annotations

import numpy as np

__all__ = ["missing_correlation", "missing_pattern_gap"]


def missing_correlation(missing: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Return how the gaps of two columns go together, for every pair, shape ``(..., columns, columns)``.

    Args:
        missing: whether a value is missing, shape ``(rows, columns)``, bool.
        weights: non-negative, shape ``(..., rows)``; all one by default.

    Returns:
        Correlations of the missing indicators; 0 where a column is always or never missing.
    """
    missing = np.asarray(missing, dtype=float)
    weights = np.ones(len(missing)) if weights is None else np.asarray(weights, dtype=float)
    size = missing.shape[1]
    share = weights / weights.sum(-1, keepdims=True)
    mean = share @ missing
    pairs = (missing[:, :, None] * missing[:, None, :]).reshape(len(missing), -1)
    covariance = (share @ pairs).reshape(*weights.shape[:-1], size, size) - mean[..., :, None] * mean[..., None, :]
    spread = np.sqrt(np.clip(mean * (1 - mean), 0, None))
    scale = spread[..., :, None] * spread[..., None, :]
    return np.divide(covariance, scale, out=np.zeros_like(covariance), where=scale > 1e-9)


def missing_pattern_gap(
    first: np.ndarray,
    second: np.ndarray,
    first_weights: np.ndarray | None = None,
    second_weights: np.ndarray | None = None,
) -> np.ndarray:
    """Return the mean absolute difference of the missing correlations of all pairs, shape ``(...)``; 0 is the same.

    Args:
        first: whether a value is missing, shape ``(rows1, columns)``.
        second: the same columns of the other cohort, shape ``(rows2, columns)``.
        first_weights: non-negative, shape ``(..., rows1)``; all one by default.
        second_weights: same leading dimensions, shape ``(..., rows2)``.

    Raises:
        ValueError: if the columns differ or are fewer than two.
    """
    if first.shape[1] != second.shape[1] or first.shape[1] < 2:
        raise ValueError(f"both sides need the same two or more columns, got {first.shape[1]} and {second.shape[1]}.")
    gaps = np.abs(missing_correlation(first, first_weights) - missing_correlation(second, second_weights))
    above = np.triu_indices(first.shape[1], 1)
    return gaps[..., above[0], above[1]].mean(-1)
