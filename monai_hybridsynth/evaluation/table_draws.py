"""Two comparisons of tables at one size: weights of synthetic rows and of held-out rows against the training rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from monai_hybridsynth.data import RecordSchema, split_patients
from monai_hybridsynth.data.patient_split import SPLIT_SIDES, target_classes
from monai_hybridsynth.evaluation.judged_cohort import JudgedCohort, limited_rows
from monai_hybridsynth.metrics import Estimate, bootstrap_weights, interval

__all__ = ["TableComparison", "TableDraws", "table_draws"]

NUM_DRAWS = 8
NUM_REPLICATES = 200
# Of a larger synthetic cohort so many records take part in a stratified draw, and at least so many for each one drawn.
MOST_DEALT, FEWEST_PER_DRAWN = 10_000, 4

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


def table_draws(
    train: JudgedCohort, holdout: JudgedCohort, synthetic: JudgedCohort, *, seed: int, stratified: bool = False
) -> TableDraws:
    """Return draws in which holdout and synthetic cohort have equally many patients or records.

    A distance between two samples is the larger the smaller they are. A large synthetic cohort would reach the floor
    that few held-out patients set although it differs more than they do.

    Held-out patients who were dealt by the classes of the targets have nearly the training patients' shares of them,
    which patients drawn at random have not. Then synthetic records are dealt by the same rule, from the classes of the
    synthetic cohort itself, so that a cohort with the right shares is not held to be worse for the chance of a draw.

    Args:
        train: training patients.
        holdout: held-out patients.
        synthetic: the cohort that is judged.
        seed: of the draws.
        stratified: whether holdout and train were dealt by the training schema's targets.
    """
    size = min(holdout.num_groups, synthetic.num_groups)
    whole = size == holdout.num_groups == synthetic.num_groups
    # A part of the holdout, and all of the synthetic cohort, are as chance made them.
    stratified = stratified and size == holdout.num_groups < synthetic.num_groups
    num_draws = 1 if whole else NUM_DRAWS
    real = np.vstack(
        [
            np.repeat(train.weights[None], num_draws, axis=0),
            bootstrap_weights(train.groups, NUM_REPLICATES, seed=seed) * train.weights,
        ]
    )
    held = _parts(holdout, size, num_draws, seed=seed + 1) * holdout.weights
    if stratified:
        made = _stratified_parts(synthetic, train.cohort.schema, size, num_draws, seed=seed + 2)
    else:
        made = _parts(synthetic, size, num_draws, seed=seed + 2)
    made = made * synthetic.weights
    codes = np.unique(synthetic.groups, return_inverse=True)[1].reshape(-1)
    rng = np.random.default_rng(seed + 3)
    chance = np.full(synthetic.num_groups, 1 / synthetic.num_groups)
    drawn = rng.multinomial(size, chance, size=NUM_REPLICATES)[:, codes] * synthetic.weights
    return TableDraws((train, holdout, synthetic), real, held, np.vstack([made, drawn]), size, stratified)


def _stratified_parts(side: JudgedCohort, schema: RecordSchema, size: int, num_draws: int, *, seed: int) -> np.ndarray:
    """Return which rows belong to each draw of ``size`` records, dealt as a split deals its held-out patients.

    A class that a draw holds less than once on average is left to chance: a split puts one patient of it on either
    side, and here that would hide how rare it has become.
    """
    parts, most = np.zeros((num_draws, len(side))), max(MOST_DEALT, FEWEST_PER_DRAWN * size)
    for draw in range(num_draws):
        rows = limited_rows(len(side), most, seed=seed + draw)
        classes = target_classes(side.table.iloc[rows], schema)
        held_out = size / len(rows)
        common = classes.loc[:, classes.sum(axis=0) * held_out >= 1]
        dealt = split_patients(side.groups[rows], common, holdout=held_out, seed=seed + draw)
        parts[draw, rows[(dealt == SPLIT_SIDES[1]).to_numpy()]] = 1
    return parts


def _parts(side: JudgedCohort, size: int, num_draws: int, *, seed: int) -> np.ndarray:
    """Return which rows belong to each draw of ``size`` patients, 0 / 1 ``(D, rows)``; draws differ while they can."""
    codes = np.unique(side.groups, return_inverse=True)[1].reshape(-1)
    order = np.random.default_rng(seed).permutation(side.num_groups)
    chosen = np.zeros((num_draws, side.num_groups))
    for draw in range(num_draws):
        chosen[draw, order[(draw * size + np.arange(size)) % side.num_groups]] = 1
    return chosen[:, codes]
