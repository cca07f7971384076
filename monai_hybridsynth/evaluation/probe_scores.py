"""Scores of predictors between cohorts, with refitted bootstrap replicates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from monai_hybridsynth.evaluation.ridge_probe import RidgeRefit, choose_penalties, patient_folds
from monai_hybridsynth.metrics import REFIT_CONTRACTION, bootstrap_weights, record_weights

__all__ = [
    "PatientCrossfit",
    "ProbeSide",
    "ScoreTable",
    "Statistic",
    "average_tables",
    "shuffled_rows",
    "shuffled_transfer_scores",
    "transfer_scores",
]

Statistic = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class ProbeSide:
    """One cohort as the predictors see it.

    Attributes:
        features: shape ``(rows, F)``.
        targets: shape ``(rows, columns)``; NaN marks missing.
        groups: patient of each row, shape ``(rows,)``.
    """

    features: np.ndarray
    targets: np.ndarray
    groups: np.ndarray

    @property
    def weights(self) -> np.ndarray:
        """One per patient, shared by the patient's rows."""
        return record_weights(self.groups)

    def with_features(self, features: np.ndarray) -> ProbeSide:
        """Return the same rows seen through other features."""
        return ProbeSide(features, self.targets, self.groups)

    def joined(self, other: ProbeSide) -> ProbeSide:
        """Return the rows of both cohorts."""
        parts = zip(
            (self.features, self.targets, self.groups), (other.features, other.targets, other.groups), strict=True
        )
        return ProbeSide(*(np.concatenate(pair) for pair in parts))


@dataclass(frozen=True)
class ScoreTable:
    """Scores of one predictor.

    Attributes:
        point: per column, shape ``(columns,)``.
        replicates: per bootstrap sample and column, shape ``(B, columns)``; replicates of several tables from one call
            share their resampled patients, so differences and ratios are paired.
    """

    point: np.ndarray
    replicates: np.ndarray


def score_columns(
    predictions: np.ndarray, targets: np.ndarray, weights: np.ndarray, statistics: Sequence[Statistic]
) -> np.ndarray:
    """Return each column's score on the rows that have it, shape ``(..., columns)``; NaN where undefined."""
    scores = np.full((*weights.shape[:-1], targets.shape[1]), np.nan)
    for column, statistic in enumerate(statistics):
        rows = ~np.isnan(targets[:, column])
        if rows.any():
            scores[..., column] = statistic(predictions[rows, column], targets[rows, column], weights[..., rows])
    return scores


def shuffled_rows(groups: np.ndarray, *, seed: int) -> np.ndarray:
    """Return an order of rows that gives every image another patient's row, shape ``(rows,)``.

    Rows of one patient stay together, so that shuffled cohorts keep the number of independent units.
    """
    rng = np.random.default_rng(seed)
    codes = np.unique(groups, return_inverse=True)[1].reshape(-1)
    rank = rng.permutation(int(codes.max()) + 1 if codes.size else 0)
    images = np.argsort(rank[codes], kind="stable")
    counts = np.bincount(rank[codes])
    # Shift by at least the largest patient, so that nobody meets an own row while there are enough others.
    shift = (
        int(rng.integers(counts.max(), len(codes) - counts.max() + 1))
        if len(codes) > 2 * counts.max()
        else len(codes) // 2
    )
    rows = np.empty(len(codes), dtype=int)
    rows[images] = np.roll(images, shift)
    return rows


def average_tables(tables: Sequence[ScoreTable]) -> ScoreTable:
    """Return the mean of tables replicate by replicate."""
    return ScoreTable(
        np.mean([table.point for table in tables], axis=0), np.mean([table.replicates for table in tables], axis=0)
    )


def _draws(side: ProbeSide, num_replicates: int, seed: int) -> np.ndarray:
    return bootstrap_weights(side.groups, num_replicates, seed=seed, contraction=REFIT_CONTRACTION) * side.weights


def _penalties(side: ProbeSide, seed: int) -> np.ndarray:
    return choose_penalties(side.features, side.targets, side.weights, side.groups, seed=seed)


def transfer_scores(
    arms: Mapping[str, tuple[ProbeSide, ...]],
    test: ProbeSide,
    statistics: Mapping[str, Sequence[Statistic]],
    *,
    num_replicates: int,
    seed: int,
) -> dict[str, dict[str, ScoreTable]]:
    """Train one predictor per arm, test all on the same patients, and repeat on bootstrap samples of all cohorts.

    Args:
        arms: per arm the cohorts it trains on; a cohort that is in several arms (the same object) shares its samples.
        test: the patients that are predicted.
        statistics: per name one scoring function per column.
        num_replicates: bootstrap samples; each resamples every training cohort, refits, and resamples the tests.
        seed: seed of folds and samples.

    Returns:
        Per arm, per statistic, a table of scores.
    """
    sides = {id(side): side for cohorts in arms.values() for side in cohorts}
    draws = {
        key: _draws(side, num_replicates, seed + 11 * order + 1) for order, (key, side) in enumerate(sides.items())
    }
    test_draws = _draws(test, num_replicates, seed)
    result: dict[str, dict[str, ScoreTable]] = {}
    for arm, cohorts in arms.items():
        training = cohorts[0]
        for other in cohorts[1:]:
            training = training.joined(other)
        refit = RidgeRefit(training.features, training.targets, _penalties(training, seed))
        predicted = refit(np.concatenate([side.weights for side in cohorts])).predict(test.features)
        replicates: dict[str, list[np.ndarray]] = {name: [] for name in statistics}
        for draw in range(num_replicates):
            drawn = refit(np.concatenate([draws[id(side)][draw] for side in cohorts])).predict(test.features)
            for name, kinds in statistics.items():
                replicates[name].append(score_columns(drawn, test.targets, test_draws[draw], kinds))
        result[arm] = {
            name: ScoreTable(score_columns(predicted, test.targets, test.weights, kinds), np.array(replicates[name]))
            for name, kinds in statistics.items()
        }
    return result


def shuffled_transfer_scores(
    training: ProbeSide,
    test: ProbeSide,
    statistics: Sequence[Statistic],
    *,
    num_shuffles: int,
    num_replicates: int,
    seed: int,
) -> ScoreTable:
    """Return the floor of :func:`transfer_scores`: predictors trained after shuffling which row belongs to which image.

    The mean over several shuffles. The shuffled predictors stay fixed over the replicates, whose test patients are
    those of :func:`transfer_scores` with the same seed.
    """
    test_draws = _draws(test, num_replicates, seed)
    penalties = _penalties(training, seed)
    tables = []
    for shuffle in range(num_shuffles):
        rows = shuffled_rows(training.groups, seed=seed + 1000 + shuffle)
        probe = RidgeRefit(training.features, training.targets[rows], penalties)(training.weights)
        predicted = probe.predict(test.features)
        tables.append(
            ScoreTable(
                score_columns(predicted, test.targets, test.weights, statistics),
                score_columns(predicted, test.targets, test_draws, statistics),
            )
        )
    return average_tables(tables)


class PatientCrossfit:
    """Trains on real patients fold by fold, and scores every real patient and every other record by a fold's predictor.

    Real patients are predicted by the predictor that has not seen them; each other record is dealt to a fold at random
    and predicted by that fold's predictor, so that both sides are scored by predictors of equal strength.

    Args:
        real: cohort that trains and is tested.
        others: further cohorts that are only tested, by name.
        statistics: one scoring function per column.
        num_replicates: bootstrap samples of real patients and of other records.
        seed: seed of folds, deals and samples.
        num_folds: folds over patients.
    """

    def __init__(
        self,
        real: ProbeSide,
        others: Mapping[str, ProbeSide],
        statistics: Sequence[Statistic],
        *,
        num_replicates: int,
        seed: int,
        num_folds: int = 5,
    ) -> None:
        self.real, self.statistics, self.num_replicates, self.seed = real, statistics, num_replicates, seed
        self.tested = {"real": real, **others}
        self.dealt = {
            name: patient_folds(side.groups, num_folds, seed=seed + order)
            for order, (name, side) in enumerate(self.tested.items())
        }
        self.num_folds = int(self.dealt["real"].max()) + 1
        self.draws = {
            name: _draws(side, num_replicates, seed + 17 * order)
            for order, (name, side) in enumerate(self.tested.items())
        }
        self.penalties = _penalties(real, seed)

    def _predict(self, refit: RidgeRefit, weights: np.ndarray) -> dict[str, np.ndarray]:
        probes = refit.folds(weights, self.dealt["real"], self.num_folds)
        result = {}
        for name, side in self.tested.items():
            result[name] = np.empty_like(side.targets)
            for fold, probe in enumerate(probes):
                rows = self.dealt[name] % self.num_folds == fold
                result[name][rows] = probe.predict(side.features[rows])
        return result

    def matched(self) -> dict[str, ScoreTable]:
        """Return scores of true pairs, per cohort tested; every replicate refits the predictors."""
        refit = RidgeRefit(self.real.features, self.real.targets, self.penalties)
        point = self._predict(refit, self.real.weights)
        replicates: dict[str, list[np.ndarray]] = {name: [] for name in self.tested}
        for draw in range(self.num_replicates):
            drawn = self._predict(refit, self.draws["real"][draw])
            for name, side in self.tested.items():
                replicates[name].append(
                    score_columns(drawn[name], side.targets, self.draws[name][draw], self.statistics)
                )
        return {
            name: ScoreTable(
                score_columns(point[name], side.targets, side.weights, self.statistics), np.array(replicates[name])
            )
            for name, side in self.tested.items()
        }

    def shuffled(self, num_shuffles: int) -> dict[str, ScoreTable]:
        """Return the floor: predictors trained on shuffled real pairs, the mean over several shuffles, held fixed."""
        tables: dict[str, list[ScoreTable]] = {name: [] for name in self.tested}
        for shuffle in range(num_shuffles):
            rows = shuffled_rows(self.real.groups, seed=self.seed + 1000 + shuffle)
            refit = RidgeRefit(self.real.features, self.real.targets[rows], self.penalties)
            predicted = self._predict(refit, self.real.weights)
            for name, side in self.tested.items():
                tables[name].append(
                    ScoreTable(
                        score_columns(predicted[name], side.targets, side.weights, self.statistics),
                        score_columns(predicted[name], side.targets, self.draws[name], self.statistics),
                    )
                )
        return {name: average_tables(found) for name, found in tables.items()}
