"""Which findings come together: the share of column findings among records with a row finding."""

from __future__ import annotations

import numpy as np

__all__ = ["conditional_shares", "cooccurrence_gap"]


def conditional_shares(findings: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Return P(column | row) for every pair of findings, shape ``(..., L, L)``; the diagonal is one.

    Args:
        findings: 1 present, 0 absent, NaN not known, shape ``(rows, L)``; a pair uses rows in which both are known.
        weights: non-negative, shape ``(..., rows)``; all one by default.

    Returns:
        Shares; NaN in the rows of findings that nobody has.
    """
    findings = np.asarray(findings, dtype=float)
    weights = np.ones(len(findings)) if weights is None else np.asarray(weights, dtype=float)
    present, known = np.nan_to_num(findings), (~np.isnan(findings)).astype(float)
    size = findings.shape[1]

    def counted(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        pairs = (first[:, :, None] * second[:, None, :]).reshape(len(findings), -1)
        return (weights @ pairs).reshape(*weights.shape[:-1], size, size)

    both, base = counted(present, present), counted(present, known)
    return np.divide(both, base, out=np.full_like(both, np.nan), where=base > 0)


def cooccurrence_gap(
    first: np.ndarray,
    second: np.ndarray,
    first_weights: np.ndarray | None = None,
    second_weights: np.ndarray | None = None,
) -> np.ndarray:
    """Return the mean absolute difference of P(column | row) between two cohorts, shape ``(...)``; 0 is the same.

    Rows count by how frequent their finding is in the first cohort, so that a finding of three patients does not
    decide. A finding that nobody has in the second cohort keeps nothing: its shares there count as zero.

    Args:
        first: findings of the real cohort, shape ``(rows1, L)``, as in :func:`conditional_shares`.
        second: findings of the other cohort, shape ``(rows2, L)``.
        first_weights: non-negative, shape ``(..., rows1)``.
        second_weights: same leading dimensions, shape ``(..., rows2)``.

    Returns:
        Gaps; NaN where the first cohort has no finding at all or there are fewer than two findings.

    Source:
        The label co-occurrence matrix of Khosravi et al., https://arxiv.org/abs/2311.09402, as named in this project's
        method notes; the number that compares two matrices is this package's.
    """
    if first.shape[1] != second.shape[1]:
        raise ValueError(f"both sides need the same findings, got {first.shape[1]} and {second.shape[1]}.")
    size = first.shape[1]
    weights = np.ones(len(first)) if first_weights is None else np.asarray(first_weights, dtype=float)
    real, other = conditional_shares(first, first_weights), np.nan_to_num(conditional_shares(second, second_weights))
    gaps = np.abs(np.nan_to_num(real) - other)
    gaps[..., np.arange(size), np.arange(size)] = 0
    frequency = weights @ np.nan_to_num(np.asarray(first, dtype=float))
    total = frequency.sum(-1) * max(size - 1, 0)
    summed = (gaps.sum(-1) * frequency).sum(-1)
    return np.divide(summed, total, out=np.full(np.shape(summed), np.nan), where=total > 0)
