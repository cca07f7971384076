"""How well an attack tells members from others: AUROC and true positive rate with honest intervals over patients.

A patient with many records gets one vote in every figure: each value is that of a random record of a random member
against a random record of a random non-member, so neither the value nor its expectation under no leak depends on how
many records a patient has, as a maximum over a patient's records would.
"""

from __future__ import annotations

import numpy as np

from monai_hybridsynth.metrics.estimate import Estimate, bootstrap_weights, interval, record_weights
from monai_hybridsynth.metrics.ranking import weighted_auroc

__all__ = [
    "attack_auroc_estimate",
    "attack_curve",
    "attack_true_positive_estimate",
    "auroc_score_interval",
    "patient_scores",
]

MINIMUM_PATIENTS = 3
# Draws of one record per held-out patient, over which a threshold is averaged.
NUM_PICKS = 20


def patient_scores(scores: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the patients and the mean place of their records among all records, from 0 to 1, highest most suspicious.

    Args:
        scores: of an attack, shape ``(rows,)``.
        groups: patient of each row, shape ``(rows,)``.
    """
    weights = record_weights(groups)
    values, place_of = np.unique(scores, return_inverse=True)
    below = np.bincount(place_of, weights=weights, minlength=len(values))
    middle = (np.cumsum(below) - 0.5 * below)[place_of] / weights.sum()
    patients, codes = np.unique(groups, return_inverse=True)
    return patients, np.bincount(codes, weights=middle * weights)


def auroc_score_interval(
    value: float, num_members: float, num_others: float, *, confidence: float = 0.95
) -> tuple[float, float]:
    """Return the score interval of an area under the curve; it stays honest at 0 and 1, where a bootstrap is silent.

    At 0.5 its variance is exactly that of the rank sum test: it contains 0.5 where that test sees nothing.

    Args:
        value: the area.
        num_members: independent positives.
        num_others: independent negatives; neither needs to be whole.
        confidence: nominal coverage.

    Source:
        Newcombe 2006, Statistics in Medicine 25:559, method 5, as commonly described.
    """
    from scipy import stats

    area = np.linspace(0, 1, 20001)
    extra = (num_members + num_others) / 2 - 1
    variance = area * (1 - area) * (1 + extra * (1 - area) / (2 - area) + extra * area / (1 + area))
    reach = stats.norm.ppf(0.5 + confidence / 2) * np.sqrt(variance / (num_members * num_others))
    inside = area[np.abs(area - value) <= reach + 1e-9]
    return float(min(inside.min(initial=value), value)), float(max(inside.max(initial=value), value))


def attack_auroc_estimate(
    scores: np.ndarray,
    member: np.ndarray,
    groups: np.ndarray,
    *,
    parts: np.ndarray | None = None,
    correlation: float = 0.0,
    seed: int,
    num_replicates: int = 400,
    confidence: float = 0.95,
) -> Estimate:
    """Estimate the share of pairs in which a member scores above a non-member.

    The interval is the wider, at either end, of a bootstrap over patients and of the score interval.

    Args:
        scores: of an attack, shape ``(rows,)``.
        member: whether the row's patient is a member, bool ``(rows,)``.
        groups: patient of each row.
        parts: rows whose scores may be compared with each other; areas are averaged over the parts.
        correlation: between the areas of the parts where each part's attack was learned or chosen on another part.
        seed: of the bootstrap.
        num_replicates: bootstrap samples.
        confidence: nominal coverage.
    """
    parts = np.zeros(len(scores), dtype=int) if parts is None else np.asarray(parts)
    counts = _patient_counts(member, groups, parts)
    members, others = (int(count) for count in counts.sum(0)) if len(counts) else (0, 0)
    reason = _too_few(counts)
    if reason:
        return Estimate.absent(reason, n=members + others, confidence=confidence)
    base = record_weights(groups)
    drawn = np.ones((num_replicates, len(scores)), dtype=np.float32)
    for place, (part, side) in enumerate((part, side) for part in np.unique(parts) for side in (False, True)):
        rows = (parts == part) & (member == side)
        drawn[:, rows] = bootstrap_weights(groups[rows], num_replicates, seed=seed + place)
    weights = np.vstack([base[None], drawn * base])
    areas = np.mean([weighted_auroc(scores[rows], member[rows], weights[:, rows]) for rows in _rows_of(parts)], axis=0)
    inflated = 1 + max(correlation, 0.0) * (len(counts) > 1)
    value = float(areas[0])
    low, high = interval(
        value,
        areas[1:],
        num_groups=min(members, others),
        confidence=confidence,
        bounds=(0.0, 1.0),
        contraction=inflated**-0.5,
    )
    least, most = auroc_score_interval(value, members / inflated, others / inflated, confidence=confidence)
    return Estimate(value, float(np.fmin(low, least)), float(np.fmax(high, most)), members + others, confidence)


def attack_true_positive_estimate(
    scores: np.ndarray,
    member: np.ndarray,
    groups: np.ndarray,
    *,
    false_positive_rate: float = 0.1,
    parts: np.ndarray | None = None,
    correlation: float = 0.0,
    seed: int,
    num_replicates: int = 200,
    confidence: float = 0.95,
) -> Estimate:
    """Estimate the share of members that is found at a threshold which accuses a given share of non-members.

    The threshold is the non-members' j-th largest score out of n, j = rate (n + 1), interpolated: a random attacker
    then finds exactly that rate on average, also where n is small. Of each non-member a random record counts, averaged
    over draws; equal scores are ordered at random. The interval is Clopper-Pearson's on patients, with fewer of them
    than there are: the uncertain threshold adds the variance of a share among n + 2 non-members, or that seen when
    non-members are resampled, if it is larger.

    Args as in :func:`attack_auroc_estimate`, and ``false_positive_rate`` between 0 and 1.
    """
    from scipy import stats

    parts = np.zeros(len(scores), dtype=int) if parts is None else np.asarray(parts)
    counts = _patient_counts(member, groups, parts)
    members, others = (int(count) for count in counts.sum(0)) if len(counts) else (0, 0)
    reason = _too_few(counts)
    if reason:
        return Estimate.absent(reason, n=members + others, confidence=confidence)
    base = record_weights(groups)
    shares, variance = [], 0.0
    for place, rows in enumerate(_rows_of(parts)):
        picked = _one_record_each(groups[rows], ~member[rows], NUM_PICKS + num_replicates, seed=seed + place)
        picked[NUM_PICKS:] *= bootstrap_weights(groups[rows], num_replicates, seed=seed + place)
        found = _found_shares(scores[rows], member[rows], base[rows], picked, false_positive_rate, seed)
        shares.append(found[:NUM_PICKS].mean())
        variance += float(found[NUM_PICKS:].var()) / len(counts) ** 2
    value = float(np.mean(shares))
    inflated = 1 + max(correlation, 0.0) * (len(counts) > 1)
    spread = value * (1 - value)
    # Near 0 and 1 the resampled variance is itself a matter of chance: it may cost three quarters of the patients.
    resampled = spread / variance if variance > 0 and spread > 0 else np.inf
    thresholds = (others + 2.0) * min(max(resampled / (others + 2.0), 0.25), 1.0)
    effective = 1 / (1 / members + 1 / thresholds) / inflated
    tail, hits = (1 - confidence) / 2, value * effective
    low = stats.beta.ppf(tail, hits, effective - hits + 1) if hits > 0 else 0.0
    high = stats.beta.ppf(1 - tail, hits + 1, effective - hits) if hits < effective else 1.0
    return Estimate(value, float(low), float(high), members + others, confidence)


def attack_curve(
    scores: np.ndarray, member: np.ndarray, groups: np.ndarray, *, parts: np.ndarray | None = None, points: int = 101
) -> tuple[np.ndarray, np.ndarray]:
    """Return false and true positive rates, shape ``(points,)``, averaged over the parts, for drawing."""
    parts = np.zeros(len(scores), dtype=int) if parts is None else np.asarray(parts)
    grid = np.linspace(0, 1, points)
    base, curves = record_weights(groups), []
    for rows in _rows_of(parts):
        place = np.unique(-scores[rows], return_inverse=True)[1]
        steps = [np.bincount(place, weights=base[rows] * (member[rows] == side)) for side in (False, True)]
        false, true = (np.concatenate([[0.0], np.cumsum(step) / max(step.sum(), 1e-12)]) for step in steps)
        curves.append(np.interp(grid, false, true))
    return grid, np.mean(curves, axis=0)


def _rows_of(parts: np.ndarray) -> list[np.ndarray]:
    return [np.flatnonzero(parts == part) for part in np.unique(parts)]


def _patient_counts(member: np.ndarray, groups: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Return the number of members and of others in each part, shape ``(parts, 2)``."""
    return np.array(
        [[len(np.unique(groups[(parts == part) & (member == side)])) for side in (True, False)] for part in set(parts)]
    ).reshape(-1, 2)


def _too_few(counts: np.ndarray) -> str:
    """Return why nothing can be estimated, or nothing."""
    if len(counts) and counts.min() >= MINIMUM_PATIENTS:
        return ""
    members, others = counts.sum(0) if len(counts) else (0, 0)
    return (
        f"not estimable because {members} training and {others} held-out patients are too few: at least "
        f"{MINIMUM_PATIENTS} of each are needed" + (" in each half" if len(counts) > 1 else "")
    )


def _one_record_each(groups: np.ndarray, wanted: np.ndarray, draws: int, *, seed: int) -> np.ndarray:
    """Return draws of one record of each patient among the wanted rows, 0 or 1, float ``(draws, rows)``."""
    rng = np.random.default_rng([seed, 3])
    places = np.flatnonzero(wanted)
    codes = np.unique(groups, return_inverse=True)[1].reshape(-1)
    picked = np.zeros((draws, len(groups)))
    for draw in picked:
        mixed = rng.permutation(places)
        draw[mixed[np.unique(codes[mixed], return_index=True)[1]]] = 1.0
    return picked


def _found_shares(
    scores: np.ndarray, member: np.ndarray, base: np.ndarray, drawn: np.ndarray, rate: float, seed: int
) -> np.ndarray:
    """Return the share of members above the threshold set by each draw of non-members, shape ``(draws,)``."""
    # Ties in random order: who cannot tell must guess.
    order = np.lexsort((np.random.default_rng(seed).random(len(scores)), -scores))
    weights = np.where(member, base, 0.0)[order]
    above = np.cumsum(weights) / weights.sum()
    shares = []
    for draw in drawn[:, order]:
        there = draw > 0
        places = np.concatenate([[0.0], np.cumsum(draw[there]), [draw.sum() + 1]])
        shares.append(np.interp(rate * places[-1], places, np.concatenate([[0.0], above[there], [1.0]])))
    return np.array(shares)
