"""Which labels of a multi-label column a drawn row has: exclusive ones stand alone, and some columns need one."""

from __future__ import annotations

import numpy as np

__all__ = ["choose_labels"]


def choose_labels(margins: np.ndarray, *, alone: np.ndarray, always_one: bool) -> np.ndarray:
    """Return which labels each row has, boolean ``(rows, labels)``.

    Of exclusive labels above their threshold, the one with the largest margin stands alone. Where rows always have a
    label and none is above its threshold, the nearest of the others is taken: to take the exclusive one there would
    turn doubtful findings into none.

    Args:
        margins: how far each label is above its threshold, on one scale for all labels, ``(rows, labels)``.
        alone: which labels are exclusive (such as "No Finding"), ``(labels,)``.
        always_one: whether no row is without a label.
    """
    hits = margins > 0
    lonely = np.where(alone & hits, margins, -np.inf)
    rows = np.flatnonzero((alone & hits).any(axis=1))
    empty = np.flatnonzero(~hits.any(axis=1)) if always_one else rows[:0]
    hits[rows] = False
    hits[rows, lonely[rows].argmax(axis=1)] = True
    usual = np.where(alone & (not alone.all()), -np.inf, margins)
    hits[empty, usual[empty].argmax(axis=1)] = True
    return hits
