"""Constraint violations and missing values: what a table must not, or should not newly, contain."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

__all__ = ["missing_share_gap", "violates_limits", "violates_levels"]


def violates_limits(values: np.ndarray, minimum: float | None, maximum: float | None) -> np.ndarray:
    """Return which numbers lie outside declared limits, shape ``(rows,)``, bool; missing ones do not.

    Infinite values (beyond a detection limit) do not violate a limit either: they state no number.
    """
    values = np.asarray(values, dtype=float)
    finite = np.isfinite(values)
    low = finite & (values < minimum) if minimum is not None else np.zeros(len(values), dtype=bool)
    high = finite & (values > maximum) if maximum is not None else np.zeros(len(values), dtype=bool)
    return low | high


def violates_levels(
    values: Collection[str | None], allowed: Collection[str], *, separator: str | None = None
) -> np.ndarray:
    """Return which entries hold a level that is not allowed, shape ``(rows,)``, bool; ``None`` (missing) does not.

    Args:
        values: one text per row, or ``None``.
        allowed: levels that the schema names.
        separator: splits an entry into several labels.
    """
    known = set(allowed)

    def outside(value: str | None) -> bool:
        if value is None:
            return False
        return any(part not in known for part in (value.split(separator) if separator else [value]) if part)

    return np.fromiter((outside(value) for value in values), dtype=bool, count=len(values))


def missing_share_gap(
    first: np.ndarray,
    second: np.ndarray,
    first_weights: np.ndarray | None = None,
    second_weights: np.ndarray | None = None,
) -> np.ndarray:
    """Return the absolute difference in the share of missing values, shape ``(...)``; 0 is as complete as the other.

    Args:
        first: whether a value is missing, shape ``(rows1,)``, bool.
        second: the same for the other cohort, shape ``(rows2,)``.
        first_weights: non-negative, shape ``(..., rows1)``; all one by default.
        second_weights: same leading dimensions, shape ``(..., rows2)``.
    """
    shares = []
    for missing, given in ((first, first_weights), (second, second_weights)):
        weights = np.ones(len(missing)) if given is None else np.asarray(given, dtype=float)
        shares.append((weights * np.asarray(missing, dtype=float)).sum(-1) / weights.sum(-1))
    return np.abs(shares[0] - shares[1])
