"""Pair trends: do two clinical columns move together in a synthetic cohort as they do in the real one."""

from __future__ import annotations

import numpy as np

__all__ = ["contingency_similarity", "correlation_similarity"]


def correlation_similarity(
    first: np.ndarray,
    second: np.ndarray,
    first_weights: np.ndarray | None = None,
    second_weights: np.ndarray | None = None,
) -> np.ndarray:
    """Return ``1 - |r1 - r2| / 2`` for every pair of numeric columns; 1 is the same correlation.

    Args:
        first: numbers, shape ``(rows1, columns)``; NaN marks missing, a pair uses the rows that have both.
        second: numbers, shape ``(rows2, columns)``.
        first_weights: non-negative, shape ``(rows1,)``; all one by default.
        second_weights: non-negative, shape ``(rows2,)``.

    Returns:
        Symmetric matrix ``(columns, columns)``; NaN where a correlation is undefined (a constant column).

    Source:
        CorrelationSimilarity at https://docs.sdv.dev/sdmetrics. Differs: takes weights, all pairs at once.
    """
    correlations = [
        _correlations(side, weights) for side, weights in ((first, first_weights), (second, second_weights))
    ]
    if correlations[0].shape != correlations[1].shape:
        raise ValueError(f"both sides need the same columns, got {first.shape[1]} and {second.shape[1]}.")
    return 1 - 0.5 * np.abs(correlations[0] - correlations[1])


def _correlations(values: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    values = np.asarray(values, dtype=float)
    weights = np.ones(len(values)) if weights is None else np.asarray(weights, dtype=float)
    present = np.isfinite(values)
    # Centring first keeps the sums of squares from cancelling; the pairwise means below stay exact.
    centre = np.where(present, values, 0).sum(0) / np.maximum(present.sum(0), 1)
    filled = np.where(present, values - centre, 0.0)
    seen, weighted = present.astype(float), filled * weights[:, None]
    mass = seen.T @ (seen * weights[:, None])
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (weighted.T @ seen) / mass  # mean of column i over rows that also have column j
        square = ((filled * weighted).T @ seen) / mass
        product = (filled.T @ weighted) / mass
        variance = square - mean**2
        spread = np.sqrt(variance * variance.T)
        result = (product - mean * mean.T) / spread
    return np.where(spread > 1e-12, np.clip(result, -1, 1), np.nan)


def contingency_similarity(
    first: np.ndarray,
    second: np.ndarray,
    blocks: list[slice],
    first_weights: np.ndarray | None = None,
    second_weights: np.ndarray | None = None,
) -> np.ndarray:
    """Return one minus the total variation distance of the joint table, for every pair of categorical columns.

    Args:
        first: levels of all columns side by side as indicators, shape ``(rows1, levels)``; a row that misses a column
            is zero in that column's block and does not enter its pairs.
        second: the same levels, shape ``(rows2, levels)``.
        blocks: where each column's levels lie, one slice per column.
        first_weights: non-negative, shape ``(rows1,)``; all one by default.
        second_weights: non-negative, shape ``(rows2,)``.

    Returns:
        Symmetric matrix ``(columns, columns)``; NaN where no row has both columns.

    Source:
        ContingencySimilarity at https://docs.sdv.dev/sdmetrics. Differs: takes weights, leaves missing values to a
        metric of their own, all pairs at once by one matrix product.
    """
    tables = []
    for indicators, given in ((first, first_weights), (second, second_weights)):
        indicators = np.asarray(indicators, dtype=float)
        weights = np.ones(len(indicators)) if given is None else np.asarray(given, dtype=float)
        tables.append(indicators.T @ (indicators * weights[:, None]))
    if tables[0].shape != tables[1].shape:
        raise ValueError(f"both sides need the same levels, got {first.shape[1]} and {second.shape[1]}.")
    starts = [block.start for block in blocks]
    with np.errstate(invalid="ignore", divide="ignore"):
        joint = [table / _block_sums(table, starts, blocks) for table in tables]
    gaps = np.abs(joint[0] - joint[1])
    return 1 - 0.5 * np.add.reduceat(np.add.reduceat(gaps, starts, axis=0), starts, axis=1)


def _block_sums(table: np.ndarray, starts: list[int], blocks: list[slice]) -> np.ndarray:
    """Spread each block's total over the block, shape of ``table``."""
    totals = np.add.reduceat(np.add.reduceat(table, starts, axis=0), starts, axis=1)
    sizes = [block.stop - block.start for block in blocks]
    return np.repeat(np.repeat(totals, sizes, axis=0), sizes, axis=1)
