"""Membership attacks: how strongly does a synthetic cohort point at a real record? One score per candidate record.

Every function takes the real records of all patients whose membership is in question, members and non-members together,
and the synthetic ones. None is told who is a member, and members and non-members enter in the same way: each record is
compared with the records of all *other* patients as the reference. When the cohort never saw any of them and the split
was random, members and non-members therefore cannot be told apart by any of these scores, whatever their number. The
same does not hold for features or encodings that were fitted on the members alone: fit them on all patients.

Higher means more likely a member. Scores of different functions share no unit.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

__all__ = [
    "atypicality",
    "closest_ratio_score",
    "closest_score",
    "density_ratio_score",
    "match_score",
    "neighbourhood_score",
]

BLOCK = 512
# Distances below this share of a typical one are the rounding of a stored copy: closer is not more of a copy.
FINEST = 1e-3
NEAREST_OTHERS = 5


def closest_score(candidates: np.ndarray, synthetic: np.ndarray) -> np.ndarray:
    """Return minus the distance to the closest synthetic record, shape ``(N,)``.

    Blind for what is common: a typical patient lies close to any good cohort. See :func:`closest_ratio_score`.

    Args:
        candidates: real records, shape ``(N, F)``, float.
        synthetic: synthetic records, shape ``(S, F)``, same columns and scaling.

    Raises:
        ValueError: if the columns differ, there are no records or values are not finite.

    Source:
        Chen et al. 2020 (GAN-Leaks), as the full black-box attack, https://arxiv.org/abs/1909.03935.
    """
    _check(candidates, synthetic)
    return -_nearest(candidates, synthetic)


def closest_ratio_score(candidates: np.ndarray, synthetic: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return log(distance to the closest record of another real patient / to the closest synthetic record), ``(N,)``.

    Above 0, a synthetic record lies closer than any other patient does. The reference takes away what makes a record
    easy or hard to come close to.

    Args:
        candidates: real records, shape ``(N, F)``, float.
        synthetic: synthetic records, shape ``(S, F)``, same columns and scaling.
        groups: patient of each candidate, shape ``(N,)``.

    Raises:
        ValueError: as :func:`closest_score`, or if all candidates are one patient.
    """
    _check(candidates, synthetic)
    near, other = _nearest(candidates, synthetic), _nearest(candidates, candidates, groups=groups)
    least = max(FINEST * float(np.median(other)), np.finfo(float).tiny)
    return np.log(np.maximum(other, least)) - np.log(np.maximum(near, least))


def neighbourhood_score(candidates: np.ndarray, synthetic: np.ndarray) -> np.ndarray:
    """Return how many synthetic records lie within a radius, the closer the more they count, shape ``(N,)``.

    Each counts ``log(radius / distance)``; the radius is the median distance of a candidate to its closest one. Many
    copies of one patient add up, which the closest record alone does not show.

    Args and errors as in :func:`closest_score`.

    Source:
        Monte-Carlo attack with the median heuristic, Hilprecht et al. 2019, https://arxiv.org/abs/1906.03006.
        Differs from the paper: distances are bounded below, so that an exact copy does not count without limit.
    """
    _check(candidates, synthetic)
    # Where most candidates were copied exactly, the median is zero: then a small share of the records' spread.
    smallest = FINEST * float(np.sqrt(candidates.var(0).sum()))
    radius = max(float(np.median(_nearest(candidates, synthetic))), smallest, 1e-12)
    score = np.zeros(len(candidates))
    for rows, squared in _squared_distances(candidates, synthetic):
        closeness = -0.5 * np.log(np.maximum(squared / radius**2, FINEST**2))
        score[rows] = np.maximum(closeness, 0.0).sum(1) / len(synthetic)
    return score


def density_ratio_score(
    candidates: np.ndarray, synthetic: np.ndarray, groups: np.ndarray, *, num_components: int = 8
) -> np.ndarray:
    """Return log(density of synthetic records / density of other real patients' records), shape ``(N,)``.

    Both are kernel estimates with one bandwidth (Scott's rule for the synthetic records) on the first whitened
    principal components of the candidates; in the real one every patient weighs the same.

    Args:
        candidates: real records, shape ``(N, F)``, float.
        synthetic: synthetic records, shape ``(S, F)``, same columns and scaling.
        groups: patient of each candidate, shape ``(N,)``.
        num_components: components kept, fewer where there are fewer.

    Raises:
        ValueError: as :func:`closest_ratio_score`.

    Source:
        DOMIAS, van Breugel et al. 2023, https://arxiv.org/abs/2302.12580. Differs from the paper: the reference is the
        other patients of the audit, members among them, in place of a separate public sample, which rarely exists.
    """
    from scipy.special import logsumexp

    _check(candidates, synthetic)
    real, made = _whitened(candidates, synthetic, num_components)
    bandwidth = len(made) ** (-1.0 / (real.shape[1] + 4))
    codes, weights = _patients(groups)
    score = np.zeros(len(real))
    for rows, squared in _squared_distances(real, made):
        score[rows] = logsumexp(-0.5 * squared / bandwidth**2, axis=1) - np.log(len(made))
    for rows, squared in _squared_distances(real, real):
        others = weights * (codes[rows, None] != codes)
        total = np.log(others.sum(1))
        # A floor keeps the ratio of a record that is far from everybody finite.
        density = logsumexp(-0.5 * squared / bandwidth**2, axis=1, b=others)
        score[rows] -= np.maximum(density - total, -700.0)
    return score


def match_score(candidates: np.ndarray, synthetic: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return how much more a synthetic row agrees, value for value, than any other patient's row, shape ``(N,)``.

    Equal values count by how rare they are among the candidates (minus the logarithm of their share), so that one
    rare diagnosis says more than five common ones; the best synthetic row is compared with the best row of others.

    Args:
        candidates: clinical rows as text or codes, shape ``(N, columns)``.
        synthetic: same columns, shape ``(S, columns)``.
        groups: patient of each candidate, shape ``(N,)``.

    Raises:
        ValueError: if the columns differ, there are no rows or all candidates are one patient.
    """
    candidates, synthetic = np.asarray(candidates), np.asarray(synthetic)
    if candidates.ndim != 2 or synthetic.ndim != 2 or candidates.shape[1] != synthetic.shape[1]:
        raise ValueError(
            f"expected two tables with the same columns, got {candidates.shape} and {synthetic.shape}; "
            "select the clinical columns of both in one order."
        )
    if not len(candidates) or not len(synthetic):
        raise ValueError(f"{len(candidates)} candidates and {len(synthetic)} synthetic rows; both need at least one.")
    person, weights = _patients(groups)
    surprise = np.zeros(candidates.shape)
    codes = []
    for column in range(candidates.shape[1]):
        joined = np.concatenate([candidates[:, column], synthetic[:, column]])
        code = np.unique(joined.astype(str), return_inverse=True)[1].reshape(-1)
        real, made = code[: len(candidates)], code[len(candidates) :]
        share = np.bincount(real, weights=weights, minlength=code.max() + 1) / weights.sum()
        surprise[:, column] = -np.log(share[real])
        codes.append((real, made))
    score = np.zeros(len(candidates))
    for start in range(0, len(candidates), BLOCK):
        rows = slice(start, start + BLOCK)
        alike, shared = np.zeros((2, len(surprise[rows]), 1))
        for column, (real, made) in enumerate(codes):
            worth = surprise[rows, column][:, None]
            alike = alike + worth * (real[rows, None] == made)
            shared = shared + worth * (real[rows, None] == real)
        shared = np.where(person[rows, None] == person, 0.0, shared)
        score[rows] = alike.max(1) - shared.max(1)
    return score


def atypicality(candidates: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return each record's mean distance to the closest records of five other patients' records, shape ``(N,)``.

    Says who is an outlier among real patients; it knows neither synthetic records nor members.

    Args and errors as in :func:`closest_ratio_score`.
    """
    _check(candidates, candidates)
    codes = _patients(groups)[0]
    result = np.zeros(len(candidates))
    for rows, squared in _squared_distances(candidates, candidates):
        squared = np.where(codes[rows, None] == codes, np.inf, squared)
        kept = min(NEAREST_OTHERS, int((codes != codes[rows][0]).sum()))
        near = np.sqrt(np.partition(squared, kept - 1, axis=1)[:, :kept])
        result[rows] = np.where(np.isfinite(near), near, 0).sum(1) / np.maximum(np.isfinite(near).sum(1), 1)
    return result


def _check(candidates: np.ndarray, synthetic: np.ndarray) -> None:
    if candidates.ndim != 2 or synthetic.ndim != 2 or candidates.shape[1] != synthetic.shape[1]:
        raise ValueError(
            f"candidates are {candidates.shape} but synthetic is {synthetic.shape}; "
            "embed or encode both with the same fitted transform."
        )
    if not candidates.size or not len(synthetic):
        raise ValueError(f"candidates are {candidates.shape}, synthetic is {synthetic.shape}; nothing to compare.")
    if not (np.isfinite(candidates).all() and np.isfinite(synthetic).all()):
        raise ValueError("candidates or synthetic hold values that are not finite; impute them first.")


def _patients(groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a number per row's patient, and weights that sum to one per patient."""
    codes = np.unique(np.asarray(groups), return_inverse=True)[1].reshape(-1)
    if codes.max(initial=0) == 0:
        raise ValueError("all candidates are one patient; a reference needs others.")
    return codes, 1.0 / np.bincount(codes)[codes]


def _squared_distances(first: np.ndarray, second: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield blocks of rows of ``first`` and their squared distances to all of ``second``."""
    # About the common mean, the expanded square keeps nearly all digits: an exact copy stays far below FINEST.
    centre = second.mean(0)
    first, second = first - centre, second - centre
    length = (second**2).sum(1)
    for start in range(0, len(first), BLOCK):
        rows = slice(start, start + BLOCK)
        squared = (first[rows] ** 2).sum(1)[:, None] + length - 2 * first[rows] @ second.T
        yield rows, np.maximum(squared, 0.0)


def _nearest(candidates: np.ndarray, others: np.ndarray, *, groups: np.ndarray | None = None) -> np.ndarray:
    """Return the distance to the closest of ``others``; with groups, of those of another patient."""
    codes = None if groups is None else _patients(groups)[0]
    result = np.zeros(len(candidates))
    for rows, squared in _squared_distances(candidates, others):
        if codes is not None:
            squared = np.where(codes[rows, None] == codes, np.inf, squared)
        result[rows] = np.sqrt(squared.min(1))
    return result


def _whitened(candidates: np.ndarray, synthetic: np.ndarray, num_components: int) -> tuple[np.ndarray, np.ndarray]:
    """Return both on the candidates' first principal components, each with unit variance."""
    centre = candidates.mean(0)
    spread, directions = np.linalg.eigh(np.cov(candidates, rowvar=False).reshape(candidates.shape[1], -1))
    order = np.argsort(spread)[::-1][:num_components]
    order = order[spread[order] > 1e-10 * max(float(spread.max()), np.finfo(float).tiny)]
    if not len(order):
        return np.zeros((len(candidates), 1)), np.zeros((len(synthetic), 1))
    scaled = directions[:, order] / np.sqrt(spread[order])
    return (candidates - centre) @ scaled, (synthetic - centre) @ scaled
