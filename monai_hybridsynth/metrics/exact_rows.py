"""Exact rows: which clinical rows of a cohort occur, value for value, among the rows of another."""

from __future__ import annotations

import numpy as np

__all__ = ["exact_rows", "nearly_exact_rows"]


def exact_rows(candidates: np.ndarray, training: np.ndarray) -> np.ndarray:
    """Return which candidate rows equal a training row in every column, shape ``(rows1,)``, bool.

    A row may be found by coincidence where columns are few or coarse: compare with the share of held-out patients'
    rows that are found, before calling it a copy.

    Args:
        candidates: values as text, shape ``(rows1, columns)``; missing values as one agreed text.
        training: same columns, shape ``(rows2, columns)``.

    Raises:
        ValueError: if the tables have different columns.

    Example:
        >>> exact_rows(np.array([["m", "60"], ["f", "60"]]), np.array([["m", "60"]]))
        array([ True, False])
    """
    candidates, training = np.asarray(candidates), np.asarray(training)
    if candidates.ndim != 2 or training.ndim != 2 or candidates.shape[1] != training.shape[1]:
        raise ValueError(
            f"expected two tables with the same columns, got {candidates.shape} and {training.shape}; "
            "select the clinical columns of both in one order."
        )
    known = {tuple(row) for row in training.tolist()}
    return np.fromiter((tuple(row) in known for row in candidates.tolist()), dtype=bool, count=len(candidates))


def nearly_exact_rows(candidates: np.ndarray, training: np.ndarray) -> np.ndarray:
    """Return which candidate rows equal a training row in all columns but at most one, shape ``(rows1,)``, bool.

    Finds copies behind one jittered or blanked value, and more coincidences: compare with held-out patients.

    Args and errors as in :func:`exact_rows`.

    Example:
        >>> nearly_exact_rows(np.array([["m", "61", "PA"]]), np.array([["m", "60", "PA"]]))
        array([ True])
    """
    candidates, training = np.asarray(candidates), np.asarray(training)
    found = exact_rows(candidates, training)
    for column in range(candidates.shape[1]):
        kept = np.arange(candidates.shape[1]) != column
        found |= exact_rows(candidates[:, kept], training[:, kept])
    return found
