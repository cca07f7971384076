"""The arms of a utility comparison: predictors that differ only in what they were trained on, tested alike."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from monai_hybridsynth.evaluation.probe_scores import ProbeSide, ScoreTable
from monai_hybridsynth.evaluation.ridge_probe import (
    PENALTIES,
    RidgeProbe,
    RidgeRefit,
    choose_penalties,
    patient_folds,
)
from monai_hybridsynth.metrics import REFIT_CONTRACTION, LogisticLink, bootstrap_weights, supplement_weight

__all__ = ["ArmPrediction", "ArmScorer", "TrainingArm", "arm_scores"]

# A head that starts from the synthetic one may also stay where it started.
FINE_TUNING_PENALTIES = (*PENALTIES, 30.0, 100.0, 1000.0)
NUM_FOLDS = 5


@dataclass(frozen=True)
class TrainingArm:
    """What one predictor learns from.

    Attributes:
        cohorts: it is fitted on all their rows together, one weight per patient or synthetic record.
        supplemented: whether the cohorts behind the first are synthetic and weigh together no more than the first does
            (`supplement_weight`).
        start: cohorts that it is fitted on before; the fit on ``cohorts`` is then shrunk towards that predictor
            instead of towards zero, as strongly as cross-validation over the patients of ``cohorts`` asks for.
        calibrated: whether its predictions come with a link to probabilities, refitted on every sample.
    """

    cohorts: tuple[ProbeSide, ...]
    start: tuple[ProbeSide, ...] = ()
    calibrated: bool = False
    supplemented: bool = False

    @property
    def sides(self) -> tuple[ProbeSide, ...]:
        """Every cohort that takes part."""
        return (*self.start, *self.cohorts)


@dataclass(frozen=True)
class ArmPrediction:
    """What an arm predicts for the test rows.

    Attributes:
        scores: shape ``(rows, columns)``.
        link: turns scores into probabilities; None unless asked for.
    """

    scores: np.ndarray
    link: LogisticLink | None

    @property
    def probabilities(self) -> np.ndarray:
        """Calibrated probabilities, shape ``(rows, columns)``; meaningful for 0 / 1 outcomes."""
        if self.link is None:
            raise RuntimeError("no probabilities were asked for; give TrainingArm(..., calibrated=True).")
        return self.link(self.scores)


ArmScorer = Callable[[ArmPrediction, np.ndarray], np.ndarray]
Weights = Callable[[ProbeSide], np.ndarray]
Arm = TypeVar("Arm", bound=Hashable)


class _ArmFit:
    """Fits one arm again under other weights; penalties are chosen once, folds are dealt once."""

    def __init__(self, arm: TrainingArm, *, seed: int) -> None:
        self.arm = arm
        self.start: RidgeRefit | None = None
        self.training = _joined(arm.cohorts)
        self.factors = [1.0] * len(arm.cohorts)
        if arm.supplemented:
            patients, *records = (float(side.weights.sum()) for side in arm.cohorts)
            self.factors[1:] = [supplement_weight(patients, sum(records))] * len(records)
        base = self._weights(lambda side: side.weights)
        targets = self.training.targets
        grid: tuple[float, ...] = PENALTIES
        if arm.start:
            before = _joined(arm.start)
            self.start = RidgeRefit(before.features, before.targets, _penalties(before, before.targets, seed=seed))
            # Shrinking towards a predictor is plain ridge regression on what that predictor leaves over.
            targets = targets - self.start(before.weights).predict(self.training.features)
            grid = FINE_TUNING_PENALTIES
        penalties = choose_penalties(
            self.training.features, targets, base, self.training.groups, seed=seed, num_folds=NUM_FOLDS, grid=grid
        )
        self.refit = RidgeRefit(self.training.features, self.training.targets, penalties)
        self.folds = patient_folds(self.training.groups, NUM_FOLDS, seed=seed + 5)

    def _weights(self, weights: Weights) -> np.ndarray:
        """Return the weights of all rows that the arm is fitted on."""
        parts = zip(self.arm.cohorts, self.factors, strict=True)
        return np.concatenate([factor * weights(side) for side, factor in parts])

    def predict(self, features: np.ndarray, weights: Weights) -> ArmPrediction:
        """Fit under ``weights(side)`` of every cohort and predict; the link is fitted on out-of-fold scores."""
        drawn = self._weights(weights)
        start: RidgeProbe | None = None
        if self.start is not None:
            start = self.start(np.concatenate([weights(side) for side in self.arm.start]))
        scores = self.refit(drawn, start=start).predict(features)
        if not self.arm.calibrated:
            return ArmPrediction(scores, None)
        unseen = np.empty_like(self.training.targets)
        num_folds = int(self.folds.max()) + 1
        for fold, probe in enumerate(self.refit.folds(drawn, self.folds, num_folds, start=start)):
            rows = self.folds == fold
            unseen[rows] = probe.predict(self.training.features[rows])
        labels = np.where(self.training.targets > 0, 1.0, np.where(np.isnan(self.training.targets), np.nan, 0.0))
        return ArmPrediction(scores, LogisticLink().fit(unseen, labels, drawn))


def _joined(cohorts: tuple[ProbeSide, ...]) -> ProbeSide:
    training = cohorts[0]
    for other in cohorts[1:]:
        training = training.joined(other)
    return training


def _penalties(side: ProbeSide, targets: np.ndarray, *, seed: int) -> np.ndarray:
    return choose_penalties(side.features, targets, side.weights, side.groups, seed=seed, num_folds=NUM_FOLDS)


def arm_scores(
    arms: Mapping[Arm, TrainingArm],
    test: ProbeSide,
    scorers: Mapping[Arm, Mapping[str, ArmScorer]],
    *,
    num_replicates: int,
    seed: int,
) -> tuple[dict[Arm, dict[str, ScoreTable]], dict[Arm, ArmPrediction]]:
    """Train every arm, test all on the same patients, and repeat on bootstrap samples of all cohorts.

    The samples are those of :func:`transfer_scores`: every cohort is resampled by patient and refitted, and a cohort in
    several arms (the same object) is resampled alike, so that differences and ratios between arms are paired.

    Args:
        arms: what each predictor learns from.
        test: the patients that are predicted.
        scorers: per arm and name, a function of the prediction and of weights ``(rows,)`` that returns one score per
            column.
        num_replicates: bootstrap samples.
        seed: seed of folds and samples.

    Returns:
        Per arm and scorer, a table of scores; per arm, the prediction on the cohorts themselves.
    """
    sides = {id(side): side for arm in arms.values() for side in arm.sides}
    draws = {
        key: _draws(side, num_replicates, seed + 11 * order + 1) for order, (key, side) in enumerate(sides.items())
    }
    test_draws = _draws(test, num_replicates, seed)
    result: dict[Arm, dict[str, ScoreTable]] = {}
    points: dict[Arm, ArmPrediction] = {}
    for name, arm in arms.items():
        fit = _ArmFit(arm, seed=seed)
        point = points[name] = fit.predict(test.features, lambda side: side.weights)
        replicates: dict[str, list[np.ndarray]] = {scorer: [] for scorer in scorers[name]}
        for draw in range(num_replicates):
            drawn = fit.predict(test.features, lambda side, draw=draw: draws[id(side)][draw])  # type: ignore[misc]
            for scorer, score in scorers[name].items():
                replicates[scorer].append(score(drawn, test_draws[draw]))
        result[name] = {
            scorer: ScoreTable(score(point, test.weights), np.array(replicates[scorer]))
            for scorer, score in scorers[name].items()
        }
    return result, points


def _draws(side: ProbeSide, num_replicates: int, seed: int) -> np.ndarray:
    return bootstrap_weights(side.groups, num_replicates, seed=seed, contraction=REFIT_CONTRACTION) * side.weights
