"""How often the right row comes first among a fixed number of candidates, averaged over every such set."""

from __future__ import annotations

from functools import cache

import numpy as np

__all__ = ["hit_chances", "permutation_p_value"]


def hit_chances(scores: np.ndarray, *, num_candidates: int, k: int) -> np.ndarray:
    """Return how likely each row of a cohort would be among the best ``k`` candidates of each image.

    The candidates are the row itself and ``num_candidates - 1`` others drawn from the cohort; the chance is over every
    such draw, by the hypergeometric law, so cohorts of unequal size are compared without drawing. Equal scores share
    their places.

    Args:
        scores: how well each row fits each image, shape ``(images, rows)``, higher fits better; NaN for rows that are
            no candidates of an image (other records of its patient).
        num_candidates: size of a candidate set; smaller where an image has fewer rows to choose from.
        k: places that count as a hit.

    Returns:
        Chances, shape ``(images, rows)``; ``chances[i, i]`` is the retrieval of record i, other entries that of rows
        which were dealt to it by a permutation. NaN where there is no score.

    Raises:
        ValueError: if ``k`` is not in ``1 ... num_candidates``.
    """
    if not 1 <= k <= num_candidates:
        raise ValueError(f"k is {k}; it must lie between 1 and num_candidates = {num_candidates}.")
    chances = np.full(scores.shape, np.nan)
    for image, row in enumerate(scores):
        known = np.flatnonzero(~np.isnan(row))
        others = len(known) - 1
        if others < 1:
            continue
        drawn = min(num_candidates - 1, others)
        # How many others are better: their share of the draw decides the place.
        cumulated = np.concatenate([[0.0], np.cumsum(_law(others, drawn, k))])
        ordered = np.sort(-row[known])
        first = np.searchsorted(ordered, -row[known], side="left")
        last = np.searchsorted(ordered, -row[known], side="right")
        chances[image, known] = (cumulated[last] - cumulated[first]) / (last - first)
    return chances


@cache
def _law(others: int, drawn: int, k: int) -> np.ndarray:
    """Return the chance that fewer than ``k`` of the drawn are better, by how many of all others are."""
    from scipy import stats

    return stats.hypergeom.cdf(k - 1, others, np.arange(others + 1), drawn)


def permutation_p_value(chances: np.ndarray, *, num_permutations: int = 999, seed: int) -> tuple[float, int]:
    """Return the share of shuffled pairings that retrieve at least as well as the true one, and how many do.

    Args:
        chances: from :func:`hit_chances`, square, shape ``(records, records)``.
        num_permutations: shuffles of rows against images.
        seed: seed of the shuffles.

    Returns:
        The p-value ``(1 + count) / (1 + num_permutations)``, and the count.
    """
    if chances.ndim != 2 or chances.shape[0] != chances.shape[1]:
        raise ValueError(f"chances has shape {chances.shape}; every record needs one image and one row.")
    rng = np.random.default_rng(seed)
    rows = np.arange(len(chances))
    true = np.nanmean(chances[rows, rows])
    shuffled = np.array([np.nanmean(chances[rows, rng.permutation(len(chances))]) for _ in range(num_permutations)])
    count = int((shuffled >= true - 1e-12).sum())
    return (1 + count) / (1 + num_permutations), count
