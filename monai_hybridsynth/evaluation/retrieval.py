"""Can the right row be picked from the image alone? Retrieval by predictors of real pairs, among equally many rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from monai_hybridsynth.evaluation.findings import Findings
from monai_hybridsynth.evaluation.judged_cohort import JudgedCohort
from monai_hybridsynth.evaluation.metric_record import MetricRecord
from monai_hybridsynth.evaluation.ridge_probe import RidgeRefit, choose_penalties, patient_folds
from monai_hybridsynth.evaluation.train_on_synthetic import encoded_rows
from monai_hybridsynth.metrics import (
    Estimate,
    bootstrap_estimate,
    hit_chances,
    permutation_p_value,
    record_weights,
    share_estimate,
)

__all__ = ["retrieval_findings"]

NUM_CANDIDATES = 100
NUM_PERMUTATIONS = 999
MAXIMUM_RECORDS = 2500
FEWEST_PATIENTS = 20
# Below this share of unexplained variance a direction of the row counts as known; it could rule alone otherwise.
LEAST_RESIDUAL = 0.05


def retrieval_findings(
    train: JudgedCohort, holdout: JudgedCohort, synthetic: JudgedCohort, *, seed: int, num_folds: int = 5
) -> Findings:
    """Return retrieval_at_1, retrieval_at_10 and retrieval_p_value of the synthetic records.

    A ridge predictor learns the encoded row from image features of real patients, fold by fold. A real patient is
    retrieved by the predictor that has not seen the patient, a synthetic record by that of a fold it is dealt to.

    Args:
        train: patients the generator was fitted on.
        holdout: patients it never saw.
        synthetic: the cohort that is judged.
        seed: seed of folds, deals, bootstrap and permutations.
        num_folds: folds over the real patients.
    """
    sides = [side.limited(MAXIMUM_RECORDS, seed=seed) for side in (train, holdout, synthetic)]
    patients = sides[0].num_groups + sides[1].num_groups
    rows = encoded_rows(train.cohort.schema, sides)
    reason = ""
    if min(patients, len(sides[2])) < FEWEST_PATIENTS:
        reason = (
            f"there are {patients} real patients and {len(sides[2])} synthetic records; {FEWEST_PATIENTS} are needed"
        )
    elif not rows[0].shape[1] or not _varying(np.concatenate(rows[:2])).any():
        reason = "no clinical column varies, so rows cannot be told apart"
    if reason:
        return Findings(_absent(synthetic.name, reason))
    features = [np.concatenate([sides[0].features, sides[1].features]), sides[2].features]
    groups = [np.concatenate([sides[0].groups, sides[1].groups]), sides[2].groups]
    scores = _scores(features, [np.concatenate(rows[:2]), rows[2]], groups, seed=seed, num_folds=num_folds)
    fewest = min(int((~np.isnan(score)).sum(1).min()) for score in scores)
    return Findings(_Retrieval(synthetic.name, scores, groups, min(NUM_CANDIDATES, fewest), seed).records())


def _varying(rows: np.ndarray) -> np.ndarray:
    return rows.std(0) > 1e-9


def _scores(
    features: Sequence[np.ndarray],
    rows: Sequence[np.ndarray],
    groups: Sequence[np.ndarray],
    *,
    seed: int,
    num_folds: int,
) -> list[np.ndarray]:
    """Return how well every row of a cohort fits every image of it, for real and synthetic, NaN within a patient.

    Rows are turned into uncorrelated directions of unit variance. The score is the log likelihood of the row given the
    image minus that of the row alone, both Gaussian: a rare row is not far from every image, and what images do not
    tell does not count.
    """
    weights = record_weights(groups[0])
    rows = _whitened(rows, weights)
    dealt = [patient_folds(group, num_folds, seed=seed + order) for order, group in enumerate(groups)]
    folds = int(dealt[0].max()) + 1
    penalties = choose_penalties(features[0], rows[0], weights, groups[0], seed=seed)
    probes = RidgeRefit(features[0], rows[0], penalties).folds(weights, dealt[0], folds)
    predicted = [np.empty_like(side) for side in rows]
    for seen, deal, found in zip(features, dealt, predicted, strict=True):
        for fold, probe in enumerate(probes):
            found[deal % folds == fold] = probe.predict(seen[deal % folds == fold])
    residual = np.average((rows[0] - predicted[0]) ** 2, axis=0, weights=weights)
    told = residual < 1
    variance = np.maximum(residual[told], LEAST_RESIDUAL)
    result = []
    for side, found, group in zip(rows, predicted, groups, strict=True):
        row, image = side[:, told], found[:, told]
        # -(row - image)^2 / variance + row^2, written as products; a term of the image alone changes no rank.
        score = 2 * (image / variance) @ row.T + ((1 - 1 / variance) * row**2).sum(1)
        codes = np.unique(group, return_inverse=True)[1].reshape(-1)
        same = (codes[:, None] == codes[None, :]) & ~np.eye(len(codes), dtype=bool)
        result.append(np.where(same, np.nan, score))
    return result


def _whitened(rows: Sequence[np.ndarray], weights: np.ndarray) -> list[np.ndarray]:
    """Return rows of several cohorts in directions that are uncorrelated in the first (real) one."""
    varying = _varying(rows[0])
    mean = np.average(rows[0][:, varying], axis=0, weights=weights)
    spread = np.sqrt(np.average((rows[0][:, varying] - mean) ** 2, axis=0, weights=weights))
    scaled = [(side[:, varying] - mean) / spread for side in rows]
    variances, directions = np.linalg.eigh((scaled[0] * weights[:, None]).T @ scaled[0] / weights.sum())
    kept = variances > 1e-6 * variances[-1]
    return [side @ (directions[:, kept] / np.sqrt(variances[kept])) for side in scaled]


@dataclass(frozen=True)
class _Retrieval:
    """Turns scores into records: real patients give the ceiling, chance the floor."""

    cohort: str
    scores: list[np.ndarray]
    groups: list[np.ndarray]
    candidates: int
    seed: int

    def records(self) -> list[MetricRecord]:
        found = []
        for k in (1, 10):
            places = min(k, self.candidates)
            chances = [hit_chances(score, num_candidates=self.candidates, k=places) for score in self.scores]
            real, made = (
                self._share(np.diagonal(chance), group) for chance, group in zip(chances, self.groups, strict=True)
            )
            found.append(self._record(k, made, real))
        return [*found, self._p_value(chances[1], chances[0])]

    def _share(self, hits: np.ndarray, groups: np.ndarray) -> Estimate:
        def mean(weights: np.ndarray) -> np.ndarray:
            return weights @ hits / np.maximum(weights.sum(-1), 1e-12)

        return bootstrap_estimate(mean, groups, seed=self.seed, bounds=(0.0, 1.0))

    def _record(self, k: int, made: Estimate, real: Estimate) -> MetricRecord:
        chance = min(k, self.candidates) / self.candidates
        percent = [f"{100 * value:.1f} %" if value is not None else "-" for value in (made.value, real.value, chance)]
        place = "first" if k == 1 else f"among the first {k}"
        note = ""
        if real.low is not None and real.low <= chance:
            note = "real rows are not told from their images either, so little can be lost or kept here"
        return MetricRecord.of(
            made,
            cohort=self.cohort,
            family="correspondence",
            name=f"retrieval_at_{k}",
            dimensions={"candidates": self.candidates, "predictor": "linear"},
            floor=chance,
            ceiling=real.value,
            reading=f"Shown a synthetic image and {self.candidates} rows, a predictor that learned from real pairs "
            f"puts the image's own row {place} in {percent[0]} of cases; in real patients in {percent[1]}, by chance "
            f"in {percent[2]}.",
            estimator="ridge predictors of the encoded row, cross-fitted over real patients; mean over all candidate "
            "sets; floor: chance; ceiling: real patients left out; bootstrap over records, predictors held fixed",
            note=note,
        )

    def _p_value(self, made: np.ndarray, real: np.ndarray) -> MetricRecord:
        value, count = permutation_p_value(made, num_permutations=NUM_PERMUTATIONS, seed=self.seed)
        ceiling = permutation_p_value(real, num_permutations=NUM_PERMUTATIONS, seed=self.seed)[0]
        exact = share_estimate(count, NUM_PERMUTATIONS)
        low, high = min(exact.low or 0.0, value), max(exact.high or 0.0, value)
        words = "chance alone would rarely do as well" if value < 0.05 else "shuffled pairs do as well"
        return MetricRecord.of(
            Estimate(value, low, high, len(made)),
            cohort=self.cohort,
            family="correspondence",
            name="retrieval_p_value",
            dimensions={"candidates": self.candidates, "permutations": NUM_PERMUTATIONS, "predictor": "linear"},
            better="lower",
            floor=0.5,
            ceiling=ceiling,
            reading=f"{100 * value:.1f} % of random pairings of these images and rows are retrieved at least as well "
            f"as the given one: {words}.",
            estimator="permutation test of retrieval_at_10, exact interval of the share; floor: mean of shuffled "
            "cohorts; ceiling: real patients",
        )


def _absent(cohort: str, reason: str) -> list[MetricRecord]:
    return [
        MetricRecord.of(
            Estimate.absent(f"not estimable because {reason}"),
            cohort=cohort,
            family="correspondence",
            name=name,
            better="lower" if name == "retrieval_p_value" else "higher",
            estimator="ridge predictors of the encoded row, cross-fitted over real patients",
            reading="-",
        )
        for name in ("retrieval_at_1", "retrieval_at_10", "retrieval_p_value")
    ]
