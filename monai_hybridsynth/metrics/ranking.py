"""How well a score orders what happened: weighted AUROC, average precision and rank correlation.

All take weights with leading dimensions, so that the replicates of a bootstrap are one call.
"""

from __future__ import annotations

import numpy as np

__all__ = ["weighted_auroc", "weighted_average_precision", "weighted_order_score"]


def _sorted_groups(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the order of the scores and where each group of equal scores starts in that order."""
    order = np.argsort(scores, kind="stable")
    ranked = scores[order]
    starts = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))
    return order, starts


def _check(scores: np.ndarray, outcome: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, ...]:
    scores, outcome = np.asarray(scores, dtype=float), np.asarray(outcome, dtype=float)
    weights = np.ones(len(scores)) if weights is None else np.asarray(weights, dtype=float)
    if scores.ndim != 1 or scores.shape != outcome.shape or weights.shape[-1:] != scores.shape:
        raise ValueError(
            f"expected scores and outcomes of one length and weights (..., rows), got {scores.shape}, "
            f"{outcome.shape} and {weights.shape}."
        )
    if np.isnan(scores).any() or np.isnan(outcome).any():
        raise ValueError("scores and outcomes must not be missing; leave rows without the column out first.")
    return scores, outcome, weights


def weighted_auroc(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Return the area under the receiver operating characteristic: the weighted share of pairs in the right order.

    Values below 0.5 stay below 0.5: a predictor that learned the opposite is wrong, not good.

    Args:
        scores: predictions, shape ``(rows,)``; equal scores count half.
        labels: 0 or 1, shape ``(rows,)``.
        weights: non-negative, shape ``(..., rows)``; all one by default.

    Returns:
        Areas, shape ``(...)``; NaN where one class has no weight.

    Raises:
        ValueError: if shapes differ or values are missing.

    Example:
        >>> float(weighted_auroc(np.array([0.1, 0.4, 0.3]), np.array([0, 1, 0])))
        1.0
    """
    scores, labels, weights = _check(scores, labels, weights)
    order, starts = _sorted_groups(scores)
    weights, positive = weights[..., order], labels[order]
    weight_positive = np.add.reduceat(weights * positive, starts, axis=-1)
    weight_negative = np.add.reduceat(weights * (1 - positive), starts, axis=-1)
    below = np.cumsum(weight_negative, axis=-1) - weight_negative
    won = (weight_positive * (below + 0.5 * weight_negative)).sum(-1)
    pairs = weight_positive.sum(-1) * weight_negative.sum(-1)
    return np.divide(won, pairs, out=np.full(np.shape(pairs), np.nan), where=pairs > 0)


def weighted_average_precision(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Return the area under the precision-recall curve as step-wise average precision, shape ``(...)``.

    Chance is the prevalence, not 0.5. Arguments and errors as in :func:`weighted_auroc`.
    """
    scores, labels, weights = _check(scores, labels, weights)
    order, starts = _sorted_groups(-scores)
    weights, positive = weights[..., order], labels[order]
    gained = np.add.reduceat(weights * positive, starts, axis=-1)
    shown = np.cumsum(np.add.reduceat(weights, starts, axis=-1), axis=-1)
    found = np.cumsum(gained, axis=-1)
    precision = np.divide(found, shown, out=np.zeros_like(found), where=shown > 0)
    total = found[..., -1]
    return np.divide((precision * gained).sum(-1), total, out=np.full(np.shape(total), np.nan), where=total > 0)


def _weighted_midranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return weighted mid-ranks, shape of ``weights``."""
    order, starts = _sorted_groups(values)
    grouped = np.add.reduceat(weights[..., order], starts, axis=-1)
    middle = np.cumsum(grouped, axis=-1) - 0.5 * grouped
    group_of = np.empty(len(values), dtype=int)
    group_of[order] = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(values))))
    return middle[..., group_of]


def weighted_order_score(scores: np.ndarray, values: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Return ``(1 + rank correlation) / 2``: 0.5 for no relation, 1 for the same order, 0 for the reverse.

    The counterpart of the AUROC for continuous columns: both have 0.5 as chance and 1 as best, so that gains over
    chance of binary and continuous columns can be added. Arguments and errors as in :func:`weighted_auroc`, with
    ``values`` any finite or infinite numbers (infinite for results beyond a detection limit: only their order counts).
    """
    scores, values, weights = _check(scores, values, weights)
    total = weights.sum(-1, keepdims=True)
    ranks = [_weighted_midranks(column, weights) for column in (scores, values)]
    with np.errstate(invalid="ignore", divide="ignore"):
        first, second = (rank - (rank * weights).sum(-1, keepdims=True) / total for rank in ranks)
        covariance = (weights * first * second).sum(-1)
        spread = np.sqrt((weights * first**2).sum(-1) * (weights * second**2).sum(-1))
        correlation = covariance / spread
    return np.where(spread > 0, 0.5 + 0.5 * correlation, np.nan)
