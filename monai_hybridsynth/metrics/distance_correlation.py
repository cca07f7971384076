"""How strongly one vector depends on another, in any shape: bias-corrected distance correlation with its error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Dependence", "centred_distances", "distance_correlation"]

FEWEST_ROWS = 10


@dataclass(frozen=True)
class Dependence:
    """A distance correlation.

    Attributes:
        value: 0 in expectation for independence (so it can be negative), 1 for a perfect link; NaN if undefined.
        error: its standard error, patients drawn as a whole; NaN if undefined.
        num_groups: patients behind it.
    """

    value: float
    error: float
    num_groups: int


def centred_distances(values: np.ndarray) -> np.ndarray:
    """Return U-centred Euclidean distances between rows, shape ``(rows, rows)``, zero on the diagonal.

    Args:
        values: shape ``(rows, F)``, at least four rows.

    Raises:
        ValueError: if there are fewer rows.
    """
    from scipy.spatial.distance import cdist

    count = len(values)
    if count < 4:
        raise ValueError(f"values has {count} rows; centring distances takes at least four.")
    distances = cdist(values, values)
    sums = distances.sum(0) / (count - 2)
    centred = distances - sums[:, None] - sums[None, :] + distances.sum() / ((count - 1) * (count - 2))
    np.fill_diagonal(centred, 0.0)
    return centred


def distance_correlation(
    first: np.ndarray, second: np.ndarray, groups: np.ndarray, *, centred: np.ndarray | None = None
) -> Dependence:
    """Return the bias-corrected (squared) distance correlation of two sets of rows, with its standard error.

    The error comes from the influence of every row, summed over a patient's rows, and is never below the
    ``sqrt(2 / (n (n - 1)))`` that remains when there is no dependence at all.

    Args:
        first: shape ``(rows, F)``.
        second: shape ``(rows, G)``; categories as 0 / 1 columns.
        groups: patient of each row, shape ``(rows,)``.
        centred: :func:`centred_distances` of ``first``, if known already.

    Source:
        Szekely and Rizzo 2014, "Partial distance correlation with methods for dissimilarities", the bias-corrected
        statistic. Not stated there: the influence function (centring drops out, since centred distances are
        orthogonal to functions of one row) and drawing patients as a whole.
    """
    codes, num_groups = np.unique(groups, return_inverse=True)[1].reshape(-1), len(np.unique(groups))
    count = len(first)
    undefined = Dependence(float("nan"), float("nan"), num_groups)
    if count < FEWEST_ROWS or num_groups < 2:
        return undefined
    one = centred_distances(first) if centred is None else centred
    two = centred_distances(second)
    across, within_one, within_two = (np.einsum("ij,ij->i", a, b) / (count - 3) for a, b in _pairs(one, two))
    scale = np.sqrt(max(within_one.mean(), 0.0) * max(within_two.mean(), 0.0))
    if scale < 1e-12:
        return undefined
    value = across.mean() / scale
    influence = 2 * (across - across.mean()) / scale - value * (
        within_one / within_one.mean() + within_two / within_two.mean() - 2
    )
    per_group = np.bincount(codes, influence, minlength=num_groups)
    variance = (per_group**2).sum() / count**2 * num_groups / (num_groups - 1)
    # Under independence the influence is noise of twice the variance that remains, so one such variance is taken off.
    degenerate = 2 / (num_groups * (num_groups - 1))
    return Dependence(float(value), float(np.sqrt(max(variance - degenerate, degenerate))), num_groups)


def _pairs(one: np.ndarray, two: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(one, two), (one, one), (two, two)]
