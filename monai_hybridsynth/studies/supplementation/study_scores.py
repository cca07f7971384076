"""Scores of all arms on the same bootstrap samples of patients, and their gains over real records alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from monai_hybridsynth.metrics import bootstrap_weights, interval, record_weights, weighted_auroc
from monai_hybridsynth.studies.supplementation.study_cells import REAL_ARM, StudyCell
from monai_hybridsynth.studies.supplementation.study_cohorts import StudyCohorts

__all__ = ["ArmEstimate", "StudyScores", "holm", "seed_weights"]

# A test scores a finding that this many of its patients have, and have not.
FEWEST_TEST_PATIENTS = 5
MACRO = None


@dataclass(frozen=True)
class ArmEstimate:
    """AUROC of an arm, or its gain over real records alone, averaged over seeds.

    Attributes:
        arm: name of the arm.
        real_percent: share of the real training patients.
        percent: synthetic records per hundred real ones.
        test: name of the test cohort.
        finding: None for the mean over findings.
        value: the estimate.
        low: lower end of the 95 % interval over patients and seeds; None when it cannot be formed.
        high: upper end.
        n: test patients.
        seeds: the value of each seed.
        p: two-sided, of a gain of 0; None for scores.
        p_holm: of a finding's gain, corrected over the findings of the same comparison.
    """

    arm: str
    real_percent: int
    percent: int
    test: str
    finding: str | None
    value: float
    low: float | None
    high: float | None
    n: int
    seeds: list[float] = field(default_factory=list)
    p: float | None = None
    p_holm: float | None = None


Place = tuple[str, int, int, str]


class StudyScores:
    """Collects predictions cell by cell; every cell is scored on the same samples of the test patients.

    Intervals come from a bootstrap of patients, and of the seeds beside them, paired between arms. A gain compares
    cells of the same seeds.

    Args:
        cohorts: the study's cohorts.
        num_replicates: bootstrap samples.
        seed: of the samples.
    """

    def __init__(self, cohorts: StudyCohorts, *, num_replicates: int = 500, seed: int = 0) -> None:
        self.cohorts, self.num_replicates, self.seed = cohorts, num_replicates, seed
        self._weights, self.scored, self.sizes = {}, {}, {}
        for name, test in cohorts.tests.items():
            base = record_weights(test.patients)
            drawn = bootstrap_weights(test.patients, num_replicates, seed=seed) * base
            self._weights[name] = np.concatenate([base[None], drawn])
            self.scored[name] = [
                place for place in cohorts.scored[name] if _scorable(test.labels[:, place], test.patients)
            ]
            self.sizes[name] = len(np.unique(test.patients))
        # Per place and seed: row 0 the sample itself, then its replicates, (1 + B, findings).
        self._found: dict[Place, dict[int, np.ndarray]] = {}

    def add(self, cell: StudyCell, predictions: Mapping[str, np.ndarray]) -> None:
        """Score a cell's predictions, ``(rows, findings)`` per test."""
        for name, test in self.cohorts.tests.items():
            columns = []
            for place in self.scored[name]:
                known = ~np.isnan(test.labels[:, place])
                weights = self._weights[name][:, known]
                columns.append(weighted_auroc(predictions[name][known, place], test.labels[known, place], weights))
            if columns:
                key = (cell.arm, cell.real_percent, cell.percent, name)
                self._found.setdefault(key, {})[cell.seed] = np.stack(columns, axis=-1)

    def scores(self) -> list[ArmEstimate]:
        """Return the macro AUROC and each finding's, of every arm, size and test."""
        return [one for place, found in self._found.items() for one in self._estimates(place, found, gain=False)]

    def gains(self) -> list[ArmEstimate]:
        """Return what every arm gains over real records alone of the same size and seeds."""
        result = []
        for place, found in self._found.items():
            real = self._found.get((REAL_ARM, place[1], 0, place[3]), {})
            shared = sorted(set(found) & set(real))
            if place[0] != REAL_ARM and shared:
                result += self._estimates(place, {seed: found[seed] - real[seed] for seed in shared}, gain=True)
        return result

    def _estimates(self, place: Place, found: Mapping[int, np.ndarray], *, gain: bool) -> list[ArmEstimate]:
        values = np.stack([found[seed] for seed in sorted(found)])
        names = [self.cohorts.findings[column] for column in self.scored[place[3]]]
        macro = self._estimate(place, MACRO, np.nanmean(values, axis=-1), gain=gain)
        single = [self._estimate(place, name, values[..., column], gain=gain) for column, name in enumerate(names)]
        if gain:
            corrected = holm([1.0 if one.p is None else one.p for one in single])
            single = [ArmEstimate(**{**vars(one), "p_holm": p}) for one, p in zip(single, corrected, strict=True)]
        return [macro, *single]

    def _estimate(self, place: Place, finding: str | None, values: np.ndarray, *, gain: bool) -> ArmEstimate:
        """Return an estimate from ``(seeds, 1 + B)``."""
        value, count = float(values[:, 0].mean()), self.sizes[place[3]]
        weights = seed_weights(len(values), self.num_replicates, seed=self.seed + 1)
        replicates = (weights * values[:, 1:].T).sum(-1)
        low, high = interval(value, replicates, num_groups=count, bounds=(-1.0, 1.0) if gain else (0.0, 1.0))
        formed = bool(np.isfinite(low))
        p = None
        if gain and formed:
            known = replicates[np.isfinite(replicates)]
            p = float((1 + (np.abs(known - np.median(known)) >= abs(value)).sum()) / (1 + len(known)))
        seeds = [float(one) for one in values[:, 0]]
        return ArmEstimate(*place, finding, value, low if formed else None, high if formed else None, count, seeds, p)


def seed_weights(num_seeds: int, num_replicates: int, *, seed: int) -> np.ndarray:
    """Return weights of a mean over seeds in each bootstrap sample of the seeds, shape ``(num_replicates, num_seeds)``.

    Deviations from equal weights are stretched by ``sqrt(n / (n - 1))``, so that the variance of the mean comes out
    right for few seeds. Rows sum to one; with one seed all weights are one.
    """
    if num_seeds == 1:
        return np.ones((num_replicates, 1))
    counts = np.random.default_rng(seed).multinomial(num_seeds, np.full(num_seeds, 1 / num_seeds), size=num_replicates)
    return (1 + np.sqrt(num_seeds / (num_seeds - 1)) * (counts - 1)) / num_seeds


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number, in the given order.

    Source:
        Holm 1979, "A simple sequentially rejective multiple test procedure".

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values, kind="stable")
    factors = len(p_values) - np.arange(len(p_values))
    corrected = np.minimum(np.maximum.accumulate(np.asarray(p_values, dtype=float)[order] * factors), 1.0)
    result = np.empty(len(p_values))
    result[order] = corrected
    return [float(value) for value in result]


def _scorable(labels: np.ndarray, patients: np.ndarray) -> bool:
    return min(len(np.unique(patients[labels == value])) for value in (0, 1)) >= FEWEST_TEST_PATIENTS
