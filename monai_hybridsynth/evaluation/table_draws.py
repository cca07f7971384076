"""Two comparisons of tables at one size: weights of synthetic rows and of held-out rows against the training rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from monai_hybridsynth.data import split_patients
from monai_hybridsynth.data.patient_split import SPLIT_SIDES, target_classes
from monai_hybridsynth.evaluation.judged_cohort import JudgedCohort
from monai_hybridsynth.metrics import Estimate, bootstrap_weights, interval

__all__ = ["TableComparison", "TableDraws", "table_draws"]

NUM_DRAWS = 8
NUM_REPLICATES = 200
# Root mean square of the standardised deviations of class counts: 1 on average where patients are held out at random;
# iterative stratification leaves .2 to .3.
STRATIFIED = 0.5

# Takes the training table, the other table and weights (..., rows) of both; returns statistics (...).
TableStatistic = Callable[[pd.DataFrame, pd.DataFrame, np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class TableComparison:
    """One statistic of synthetic against train, with replicates, and of holdout against train.

    Attributes:
        value: mean over draws; NaN if undefined.
        replicates: on bootstrap samples, shape ``(B,)``.
        floor: holdout against train at the same size; NaN if undefined.
        count: independent units of the smaller side.
    """

    value: float
    replicates: np.ndarray
    floor: float
    count: int

    def estimate(self, estimator: str, *, bounds: tuple[float, float] = (0.0, 1.0)) -> Estimate:
        """Return the value with its interval."""
        if not np.isfinite(self.value):
            return Estimate.absent("a side has no value to compare", n=self.count, estimator=estimator)
        low, high = interval(self.value, self.replicates, num_groups=self.count, bounds=bounds)
        return Estimate(self.value, low, high, self.count, 0.95, estimator)


@dataclass(frozen=True)
class TableDraws:
    """Weights of rows; the first ``num_draws`` are samples of one size, the rest bootstrap samples of that size.

    Attributes:
        sides: train, holdout and synthetic.
        real: weights of the training rows, shape ``(D + B, rows)``.
        holdout: weights of held-out rows, shape ``(D, rows)``.
        synthetic: weights of synthetic rows, shape ``(D + B, rows)``.
        size: patients or records in a draw of holdout or synthetic.
        stratified: whether synthetic records were drawn as the held-out patients were, by the classes of the targets.
    """

    sides: tuple[JudgedCohort, JudgedCohort, JudgedCohort]
    real: np.ndarray
    holdout: np.ndarray
    synthetic: np.ndarray
    size: int
    stratified: bool = False

    @property
    def num_draws(self) -> int:
        """Samples behind the value."""
        return len(self.holdout)

    @property
    def count(self) -> int:
        """Independent units of the smaller side."""
        return min(self.size, self.sides[0].num_groups)

    def describe(self) -> str:
        """Return how values are obtained, for the reader."""
        dealt = ", dealt by the targets like the held-out patients" if self.stratified else ""
        return (
            f"{self.size} synthetic rows{dealt} against {self.sides[0].num_groups} training patients, mean of "
            f"{self.num_draws} draws; floor: {self.size} held-out patients against the same, so that sizes are equal; "
            "interval for one sample of that size: patient-level bootstrap of both cohorts, "
            f"{NUM_REPLICATES} replicates"
        )

    def compare(self, statistic: TableStatistic) -> TableComparison:
        """Return a statistic that takes weights with leading dimensions."""
        tables = [side.table for side in self.sides]
        return self.comparison(
            statistic(tables[0], tables[2], self.real, self.synthetic),
            statistic(tables[0], tables[1], self.real[: self.num_draws], self.holdout),
        )

    def comparison(self, scores: np.ndarray, floors: np.ndarray) -> TableComparison:
        """Return the comparison of scores ``(D + B,)`` of synthetic and ``(D,)`` of held-out rows."""
        return TableComparison(
            _mean(scores[: self.num_draws]), np.asarray(scores[self.num_draws :]), _mean(floors), self.count
        )


def _mean(values: np.ndarray) -> float:
    finite = np.asarray(values)[np.isfinite(values)]
    return float(finite.mean()) if finite.size else float("nan")


def table_draws(train: JudgedCohort, holdout: JudgedCohort, synthetic: JudgedCohort, *, seed: int) -> TableDraws:
    """Return draws in which holdout and synthetic cohort have equally many patients or records.

    A distance between two samples is the larger the smaller they are. A large synthetic cohort would reach the floor
    that few held-out patients set although it differs more than they do. And held-out patients who were dealt by the
    classes of the targets are nearer to the training patients than patients drawn at random: where they were, synthetic
    records are dealt by the same rule, from the classes of the synthetic cohort itself, so that records as good as real
    ones reach the floor.
    """
    size = min(holdout.num_groups, synthetic.num_groups)
    whole = size == holdout.num_groups == synthetic.num_groups
    stratified = size == holdout.num_groups < synthetic.num_groups and _is_stratified(train, holdout)
    num_draws = 1 if whole else NUM_DRAWS
    real = np.vstack(
        [
            np.repeat(train.weights[None], num_draws, axis=0),
            bootstrap_weights(train.groups, NUM_REPLICATES, seed=seed) * train.weights,
        ]
    )
    held = _parts(holdout, size, num_draws, seed=seed + 1) * holdout.weights
    draw = _stratified_parts if stratified else _parts
    made = draw(synthetic, size, num_draws, seed=seed + 2) * synthetic.weights
    codes = np.unique(synthetic.groups, return_inverse=True)[1].reshape(-1)
    rng = np.random.default_rng(seed + 3)
    chance = np.full(synthetic.num_groups, 1 / synthetic.num_groups)
    drawn = rng.multinomial(size, chance, size=NUM_REPLICATES)[:, codes] * synthetic.weights
    return TableDraws((train, holdout, synthetic), real, held, np.vstack([made, drawn]), size, stratified)


def _is_stratified(train: JudgedCohort, holdout: JudgedCohort) -> bool:
    """Return whether each class of the targets has its share of patients in the holdout, nearer than by chance."""
    table = pd.concat([train.table, holdout.table], ignore_index=True)
    groups = np.concatenate([train.groups, holdout.groups])
    classes = target_classes(table, train.cohort.schema).groupby(groups).any()
    held = classes.index.isin(holdout.groups)
    share, counts = held.mean(), classes.sum(axis=0)
    excess = (classes[held].sum(axis=0) - share * counts) / np.sqrt(share * (1 - share) * counts)
    return bool(len(counts) and np.sqrt((excess**2).mean()) < STRATIFIED)


def _stratified_parts(side: JudgedCohort, size: int, num_draws: int, *, seed: int) -> np.ndarray:
    """Return which rows belong to each draw of ``size`` patients, dealt as a split deals its held-out patients."""
    classes = target_classes(side.table, side.cohort.schema)
    sides = [
        split_patients(side.groups, classes, holdout=size / side.num_groups, seed=seed + draw)
        for draw in range(num_draws)
    ]
    return np.array([held == SPLIT_SIDES[1] for held in sides], dtype=float)


def _parts(side: JudgedCohort, size: int, num_draws: int, *, seed: int) -> np.ndarray:
    """Return which rows belong to each draw of ``size`` patients, 0 / 1 ``(D, rows)``; draws differ while they can."""
    codes = np.unique(side.groups, return_inverse=True)[1].reshape(-1)
    order = np.random.default_rng(seed).permutation(side.num_groups)
    chosen = np.zeros((num_draws, side.num_groups))
    for draw in range(num_draws):
        chosen[draw, order[(draw * size + np.arange(size)) % side.num_groups]] = 1
    return chosen[:, codes]
