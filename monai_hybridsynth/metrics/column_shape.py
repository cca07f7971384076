"""Column shape: how far one clinical column's distribution moved, as a score between 0 and 1."""

from __future__ import annotations

import numpy as np

__all__ = ["kolmogorov_smirnov_complement", "total_variation_complement"]


def kolmogorov_smirnov_complement(
    first: np.ndarray,
    second: np.ndarray,
    first_weights: np.ndarray | None = None,
    second_weights: np.ndarray | None = None,
) -> np.ndarray:
    """Return one minus the largest gap between two cumulative distributions; 1 is the same shape.

    Args:
        first: numbers, shape ``(rows1,)``; ``-inf`` and ``inf`` (beyond a detection limit) count at the ends.
        second: numbers, shape ``(rows2,)``.
        first_weights: non-negative, shape ``(..., rows1)``; all one by default.
        second_weights: same leading dimensions, shape ``(..., rows2)``.

    Returns:
        Scores, shape ``(...)``; NaN where one side has no weight.

    Raises:
        ValueError: if a side has no rows or missing values.

    Source:
        The column shape score named KSComplement at https://docs.sdv.dev/sdmetrics. Differs: takes weights.
    """
    first, second = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if not first.size or not second.size or np.isnan(first).any() or np.isnan(second).any():
        raise ValueError("each side needs at least one value and none may be missing; drop missing rows first.")
    weights = [
        np.ones(len(side)) if given is None else np.asarray(given, dtype=float)
        for side, given in ((first, first_weights), (second, second_weights))
    ]
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = [weight / weight.sum(-1, keepdims=True) for weight in weights]
    signed = np.concatenate([shares[0], -shares[1]], axis=-1)
    values = np.concatenate([first, second])
    order = np.argsort(values, kind="stable")
    ranked = values[order]
    ends = np.append(ranked[1:] != ranked[:-1], True)
    gaps = np.abs(np.cumsum(signed[..., order], axis=-1)[..., ends])
    return 1 - gaps.max(-1)


def total_variation_complement(
    first: np.ndarray,
    second: np.ndarray,
    first_weights: np.ndarray | None = None,
    second_weights: np.ndarray | None = None,
) -> np.ndarray:
    """Return one minus the total variation distance between the levels of two columns; 1 is the same shape.

    Args:
        first: levels as indicator columns, shape ``(rows1, levels)``. Mutually exclusive levels (a categorical column)
            give the usual distance. For a column of labels that may occur together, call it once per label with the
            label's presence and absence as the two levels.
        second: same levels, shape ``(rows2, levels)``.
        first_weights: non-negative, shape ``(..., rows1)``; all one by default.
        second_weights: same leading dimensions, shape ``(..., rows2)``.

    Raises:
        ValueError: if the levels differ.

    Source:
        The column shape score named TVComplement at https://docs.sdv.dev/sdmetrics. Differs: takes weights.
    """
    first, second = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1]:
        raise ValueError(f"expected indicators (rows, levels) with the same levels, got {first.shape}, {second.shape}.")
    shares = []
    for indicators, given in ((first, first_weights), (second, second_weights)):
        weights = np.ones(len(indicators)) if given is None else np.asarray(given, dtype=float)
        counted = weights @ indicators
        with np.errstate(invalid="ignore", divide="ignore"):
            shares.append(counted / counted.sum(-1, keepdims=True))
    return 1 - 0.5 * np.abs(shares[0] - shares[1]).sum(-1)
