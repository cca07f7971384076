"""What is learned about patients because they were in the training data: success on them minus success on strangers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monai_hybridsynth.metrics.estimate import Estimate, bootstrap_weights, interval, record_weights

__all__ = ["ExcessSuccess", "excess_success", "line_up_hits", "link_overlap", "nearest_ties", "squared_gaps"]

NUM_REPLICATES = 400
TIE = 1e-9


@dataclass(frozen=True)
class ExcessSuccess:
    """The difference with its interval, and the two raw successes."""

    estimate: Estimate
    members: float
    strangers: float


def excess_success(
    members: np.ndarray,
    member_groups: np.ndarray,
    strangers: np.ndarray,
    stranger_groups: np.ndarray,
    *,
    seed: int,
    are_shares: bool = True,
) -> ExcessSuccess:
    """Return the mean success on training patients minus that on control patients, with a two-sample interval.

    Args:
        members: success on each training record, shape ``(rows1,)``; a patient's records share one vote.
        member_groups: their patients.
        strangers: success on each control record, shape ``(rows2,)``.
        stranger_groups: their patients.
        seed: of the bootstrap over patients of both sides.
        are_shares: whether successes lie in [0, 1]; Newcombe's interval of a difference of shares then sets the least
            width, since a bootstrap sees no uncertainty where nobody (or everybody) is hit.
    """
    counts = [len(np.unique(groups)) for groups in (member_groups, stranger_groups)]
    if min(counts) < 2:
        return ExcessSuccess(Estimate.absent(f"there are {counts[0]} training and {counts[1]} control patients"), 0, 0)
    means, draws = [], []
    for number, (values, groups) in enumerate(((members, member_groups), (strangers, stranger_groups))):
        base = record_weights(groups)
        means.append(float(np.average(values, weights=base)))
        weights = bootstrap_weights(groups, NUM_REPLICATES, seed=seed + number) * base
        draws.append(weights @ values / weights.sum(axis=1))
    value = means[0] - means[1]
    low, high = interval(value, draws[0] - draws[1], num_groups=min(counts), bounds=(-1.0, 1.0))
    if are_shares or high - low < TIE:
        limits = [_wilson(min(max(mean, 0.0), 1.0), count) for mean, count in zip(means, counts, strict=True)]
        below = np.hypot(means[0] - limits[0][0], limits[1][1] - means[1])
        above = np.hypot(limits[0][1] - means[0], means[1] - limits[1][0])
        low, high = min(low, max(value - below, -1.0)), max(high, min(value + above, 1.0))
    return ExcessSuccess(Estimate(value, float(low), float(high), sum(counts)), *means)


def _wilson(share: float, count: int, *, z: float = 1.959964) -> tuple[float, float]:
    """Return Wilson's interval of a share."""
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * np.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return middle - half, middle + half


def squared_gaps(candidates: np.ndarray, bank: np.ndarray) -> np.ndarray:
    """Return squared distances ``(rows1, rows2)`` by differences, so that equal rows have exactly 0."""
    from scipy.spatial.distance import cdist

    if candidates.shape[1] == 0:
        return np.zeros((len(candidates), len(bank)))
    return cdist(candidates, bank, "sqeuclidean")


def nearest_ties(gaps: np.ndarray) -> np.ndarray:
    """Return each row's nearest neighbours, all of them where several are equally near, bool of the same shape."""
    smallest = gaps.min(axis=1, keepdims=True)
    return gaps <= smallest + TIE * (1 + smallest)


def link_overlap(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return how surely two halves of a record lead to one synthetic record: shared over all neighbours, ``(rows,)``.

    Args:
        first: nearest synthetic records by the first half, bool ``(rows, S)``, ties included.
        second: by the second half.
    """
    return (first & second).sum(axis=1) / np.maximum((first | second).sum(axis=1), 1)


def line_up_hits(guesses: np.ndarray, rows: np.ndarray, *, size: int, num_draws: int, seed: int) -> np.ndarray:
    """Return how often each record's own row is the one closest to its guess, among ``size`` rows, shape ``(rows,)``.

    Args:
        guesses: row guessed for each record, shape ``(rows, F)``.
        rows: true rows, same order and shape; each guess chooses between its own and ``size - 1`` others.
        size: of the line-up; 1 / size is blind luck.
        num_draws: line-ups per record.
        seed: of the line-ups.

    Raises:
        ValueError: if there are fewer rows than a line-up needs.
    """
    count = len(rows)
    if not 2 <= size <= count:
        raise ValueError(f"a line-up of {size} cannot be drawn from {count} rows; choose 2 ... {count}.")
    gaps = squared_gaps(guesses, rows)
    rng = np.random.default_rng(seed)
    own = np.diag(gaps)[:, None]
    hits = np.zeros(count)
    for _ in range(num_draws):
        shifts = np.stack([rng.permutation(count - 1)[: size - 1] for _ in range(count)]) + 1
        others = np.take_along_axis(gaps, (np.arange(count)[:, None] + shifts) % count, axis=1)
        tied = np.abs(others - own) <= TIE * (1 + own)
        beaten = (others < own) & ~tied
        hits += np.where(beaten.any(axis=1), 0.0, 1.0 / (1 + tied.sum(axis=1)))
    return hits / num_draws
