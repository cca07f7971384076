"""Choose or learn an attack on one half of the patients and report it on the other, both ways, without fooling oneself.

Reporting the best of several attacks on the patients on which it was best overstates it. Here each half's attack comes
from the other half. The two results then still hang together: what is chosen by luck in one half was lucky there for
the same reason in the other. How strongly is found by shuffling who is a member and doing everything again; averaging
the halves with that correlation gives intervals that keep their word.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from monai_hybridsynth.metrics.estimate import record_weights
from monai_hybridsynth.metrics.ranking import weighted_auroc

__all__ = ["CrossFittedAttack", "LEARNED", "learned_attack", "patient_halves", "strongest_attack"]

LEARNED = "classifier"
NUM_SHUFFLES = 200
NUM_FOLDS = 4
# Strength of the ridge, in patients: some ten scores on a few hundred patients need little.
RIDGE = 10.0


@dataclass(frozen=True)
class CrossFittedAttack:
    """Scores of an attack that was learned or chosen on the other half of the patients.

    Attributes:
        scores: shape ``(rows,)``, comparable within a half only.
        chosen: the attack used on the first and on the second half.
        correlation: between the areas under the curve of both halves when membership is shuffled.
        chance: share of the shuffles (and the truth) that reach the true mean area: an exact p-value of no leak.
    """

    scores: np.ndarray
    chosen: tuple[str, str]
    correlation: float
    chance: float = 1.0


def patient_halves(
    member: np.ndarray, groups: np.ndarray, *, strata: np.ndarray | None = None, seed: int
) -> np.ndarray:
    """Return 0 or 1 for each row: half of the members and half of the others, records of a patient together.

    Args:
        member: whether the row's patient is a member, bool ``(rows,)``.
        groups: patient of each row.
        strata: a code per row, one for all rows of a patient; each stratum is halved, so that both halves have some.
        seed: of the draw.
    """
    rng = np.random.default_rng(seed)
    halves = np.zeros(len(groups), dtype=int)
    codes = np.zeros(len(groups), dtype=int) if strata is None else np.asarray(strata)
    for side in (True, False):
        # One order through all strata, dealt in turn: each stratum and the whole are halved to the patient.
        patients, first = np.unique(groups[member == side], return_index=True)
        order = rng.permutation(len(patients))
        order = order[np.argsort(codes[member == side][first][order], kind="stable")]
        halves[(member == side) & np.isin(groups, patients[order[1::2]])] = 1
    return halves


def learned_attack(
    features: np.ndarray, member: np.ndarray, groups: np.ndarray, halves: np.ndarray, *, seed: int
) -> CrossFittedAttack:
    """Return the scores of a linear classifier of membership, learned on the other half.

    Args:
        features: per record, label-free (scores of other attacks), shape ``(rows, F)``; ranked before use.
        member: whether the row's patient is a member, bool ``(rows,)``.
        groups: patient of each row.
        halves: from :func:`patient_halves`.
        seed: of the shuffles.
    """
    labels = _shuffled_labels(member, groups, halves, seed=seed)
    outer, _ = _learned_scores(_normal_scores(features, groups), labels, groups, halves, seed=seed)
    areas = _half_areas(outer, labels, record_weights(groups), halves)
    return CrossFittedAttack(outer[0], (LEARNED, LEARNED), _correlation(areas), _chance(areas))


def strongest_attack(
    scores: Mapping[str, np.ndarray], member: np.ndarray, groups: np.ndarray, halves: np.ndarray, *, seed: int
) -> tuple[CrossFittedAttack, CrossFittedAttack]:
    """Return the attack that was strongest on the other half, and the classifier that learned from all scores.

    The classifier competes with its cross-validated result within the half on which the choice is made.

    Args:
        scores: of each attack by name, each ``(rows,)``.
        member: whether the row's patient is a member, bool ``(rows,)``.
        groups: patient of each row.
        halves: from :func:`patient_halves`.
        seed: of folds and shuffles.
    """
    names = [*scores, LEARNED]
    table = np.stack(list(scores.values()))
    weights = record_weights(groups)
    labels = _shuffled_labels(member, groups, halves, seed=seed)
    outer, inner = _learned_scores(_normal_scores(table.T, groups), labels, groups, halves, seed=seed)
    fixed = np.stack([_label_areas(row, labels, weights, halves) for row in table], axis=-1)
    # Chosen by the cross-validated classifier, reported with the one learned on the whole other half.
    judged = np.concatenate([fixed, _half_areas(inner, labels, weights, halves)[..., None]], axis=-1)
    learned = _half_areas(outer, labels, weights, halves)
    reported = np.concatenate([fixed, learned[..., None]], axis=-1)
    best = judged.argmax(-1)[:, ::-1]
    areas = np.take_along_axis(reported, best[..., None], axis=-1)[..., 0]
    every = np.vstack([table, outer[:1]])
    strongest = np.where(halves == 0, every[best[0, 0]], every[best[0, 1]])
    chosen = (names[best[0, 0]], names[best[0, 1]])
    return (
        CrossFittedAttack(strongest, chosen, _correlation(areas), _chance(areas)),
        CrossFittedAttack(outer[0], (LEARNED, LEARNED), _correlation(learned), _chance(learned)),
    )


def _shuffled_labels(member: np.ndarray, groups: np.ndarray, halves: np.ndarray, *, seed: int) -> np.ndarray:
    """Return the true labels and shuffled ones, float ``(1 + shuffles, rows)``; patients are shuffled within halves."""
    rng = np.random.default_rng([seed, 1])
    labels = np.tile(member.astype(float), (1 + NUM_SHUFFLES, 1))
    for half in (0, 1):
        rows = np.flatnonzero(halves == half)
        _, first, codes = np.unique(groups[rows], return_index=True, return_inverse=True)
        truth = member[rows][first].astype(float)
        for shuffle in range(1, 1 + NUM_SHUFFLES):
            labels[shuffle, rows] = rng.permutation(truth)[codes]
    return labels


def _normal_scores(features: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Replace each column by the normal quantiles of its ranks; patients weigh the same."""
    from scipy import stats

    weights = record_weights(groups)
    columns = []
    for column in features.T:
        place = np.unique(column, return_inverse=True)[1]
        mass = np.bincount(place, weights=weights)
        columns.append(stats.norm.ppf(((np.cumsum(mass) - 0.5 * mass) / weights.sum())[place]))
    return np.column_stack(columns)


def _learned_scores(
    features: np.ndarray, labels: np.ndarray, groups: np.ndarray, halves: np.ndarray, *, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return ridge scores for each row of labels: learned on the other half, and cross-validated within the own."""
    weights = record_weights(groups)
    outer, inner = np.zeros_like(labels), np.zeros_like(labels)
    for half in (0, 1):
        own, other = np.flatnonzero(halves == half), np.flatnonzero(halves != half)
        outer[:, own] = _ridge(features, labels, weights, other) @ _with_constant(features[own]).T
        folds = _folds(groups[own], labels[0, own], seed=seed)
        for fold in range(NUM_FOLDS):
            tested = own[folds == fold]
            inner[:, tested] = (
                _ridge(features, labels, weights, own[folds != fold]) @ _with_constant(features[tested]).T
            )
    return outer, inner


def _folds(groups: np.ndarray, labels: np.ndarray, *, seed: int) -> np.ndarray:
    """Return a fold per row; members and others are spread evenly, records of a patient stay together."""
    rng = np.random.default_rng([seed, 2])
    folds = np.zeros(len(groups), dtype=int)
    for side in (0.0, 1.0):
        patients = rng.permutation(np.unique(groups[labels == side]))
        for place, patient in enumerate(patients):
            folds[(groups == patient) & (labels == side)] = place % NUM_FOLDS
    return folds


def _with_constant(features: np.ndarray) -> np.ndarray:
    return np.column_stack([features, np.ones(len(features))])


def _ridge(features: np.ndarray, labels: np.ndarray, weights: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return coefficients with a constant for each row of labels, shape ``(labels, F + 1)``."""
    design = _with_constant(features[rows])
    weighted = design * weights[rows, None]
    penalty = np.diag([RIDGE] * features.shape[1] + [1e-9])
    return np.linalg.solve(weighted.T @ design + penalty, weighted.T @ labels[:, rows].T).T


def _label_areas(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray, halves: np.ndarray) -> np.ndarray:
    """Return areas of one score under many labellings in each half, shape ``(labels, 2)``.

    The sum of weighted mid-ranks of the members counts pairs with others and pairs among members; of the latter, half
    are in order whoever they are. So one matrix product serves all labellings.
    """
    result = np.empty((len(labels), 2))
    for half in (0, 1):
        rows = halves == half
        place = np.unique(scores[rows], return_inverse=True)[1]
        mass = np.bincount(place, weights=weights[rows])
        middle = (np.cumsum(mass) - 0.5 * mass)[place]
        members = labels[:, rows] @ weights[rows]
        won = labels[:, rows] @ (weights[rows] * middle) - 0.5 * members**2
        result[:, half] = won / np.maximum(members * (weights[rows].sum() - members), 1e-12)
    return result


def _half_areas(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray, halves: np.ndarray) -> np.ndarray:
    """Return areas in each half where each labelling has scores of its own, shape ``(labels, 2)``."""
    return np.array(
        [
            [
                float(weighted_auroc(row[halves == half], label[halves == half], weights[halves == half]))
                for half in (0, 1)
            ]
            for row, label in zip(scores, labels, strict=True)
        ]
    )


def _correlation(areas: np.ndarray) -> float:
    """Return the correlation of both halves' areas over the shuffled labellings; the first row is the truth."""
    shuffled = areas[1:]
    if min(shuffled.std(axis=0)) < 1e-9:
        return 0.0
    return float(np.clip(np.corrcoef(shuffled.T)[0, 1], 0.0, 1.0))


def _chance(areas: np.ndarray) -> float:
    """Return the share of labellings, the true first one among them, whose mean area reaches the true one."""
    mean = areas.mean(1)
    return float((mean >= mean[0] - 1e-12).mean())
