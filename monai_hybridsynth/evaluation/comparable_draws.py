"""Two comparisons at one size: synthetic records against training patients, held-out patients against the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from monai_hybridsynth.evaluation.judged_cohort import JudgedCohort
from monai_hybridsynth.metrics import Estimate, half_samples, interval

__all__ = ["ComparableDraws", "Comparison", "comparable_draws", "patient_draws"]

NUM_DRAWS = 8
NUM_REPLICATES = 96
MAXIMUM_PATIENTS = 1000
# A half must still hold a record, its five neighbours and some more.
MINIMUM_PATIENTS = 16

# Takes rows of train and rows of the other side, which is "holdout" or "synthetic"; returns K statistics.
Statistic = Callable[[np.ndarray, np.ndarray, str], np.ndarray]


@dataclass(frozen=True)
class Comparison:
    """K statistics of synthetic against train, with replicates, and of holdout against train.

    Attributes:
        values: mean over draws, shape ``(K,)``.
        replicates: the same on random halves, shape ``(B, K)``.
        floors: holdout against train at the same size, mean over draws, shape ``(K,)``.
        count: records a side of the smaller side.
    """

    values: np.ndarray
    replicates: np.ndarray
    floors: np.ndarray
    count: int

    def estimate(self, place: int, *, bounds: tuple[float, float] = (-np.inf, np.inf), estimator: str = "") -> Estimate:
        """Return one statistic with its interval."""
        value = float(self.values[place])
        if not np.isfinite(value):
            return Estimate.absent("the statistic is undefined on these records", n=self.count, estimator=estimator)
        low, high = interval(value, self.replicates[:, place], num_groups=self.count, bounds=bounds)
        return Estimate(value, low, high, self.count, 0.95, estimator)


@dataclass(frozen=True)
class ComparableDraws:
    """Rows of the three cohorts, drawn several times: one record per patient, holdout and synthetic of one size.

    Attributes:
        train: rows of each draw.
        holdout: rows of each draw, as many as of ``synthetic``.
        synthetic: rows of each draw.
        seed: seed of the halves.
    """

    train: tuple[np.ndarray, ...]
    holdout: tuple[np.ndarray, ...]
    synthetic: tuple[np.ndarray, ...]
    seed: int

    @property
    def count(self) -> int:
        """Records of holdout or synthetic in each draw."""
        return len(self.synthetic[0])

    @property
    def smallest(self) -> int:
        """Records of the smallest side in a half."""
        return min(self.count, len(self.train[0])) // 2

    @property
    def problem(self) -> str:
        """Why nothing can be compared; empty if it can."""
        fewest = min(self.count, len(self.train[0]))
        if fewest >= MINIMUM_PATIENTS:
            return ""
        return f"the smallest side has {fewest} patients or records, and {MINIMUM_PATIENTS} are needed"

    def describe(self, *, num_replicates: int = NUM_REPLICATES) -> str:
        """Return how values are obtained, for the reader."""
        return (
            f"one record per patient; {self.count} synthetic records against {len(self.train[0])} training patients, "
            f"mean of {len(self.train)} draws; floor: {self.count} held-out patients against the same, so that sizes "
            f"are equal; interval for one sample of that size, from {num_replicates} random halves of both sides"
        )

    def compare(self, statistic: Statistic, *, num_replicates: int = NUM_REPLICATES) -> Comparison:
        """Return the statistics on every draw and on random halves of the draws in turn."""
        sides = {"holdout": self.holdout, "synthetic": self.synthetic}
        found = {
            name: np.array([statistic(real, other, name) for real, other in zip(self.train, rows, strict=True)])
            for name, rows in sides.items()
        }
        values = found["synthetic"].mean(0)
        halves = [
            half_samples(size, num_replicates, seed=self.seed + order)
            for order, size in enumerate((len(self.train[0]), self.count))
        ]
        replicates = []
        for replicate in range(num_replicates):
            draw = replicate % len(self.train)
            real, other = self.train[draw][halves[0][replicate]], self.synthetic[draw][halves[1][replicate]]
            replicates.append(statistic(real, other, "synthetic") - found["synthetic"][draw] + values)
        return Comparison(values, np.array(replicates), found["holdout"].mean(0), self.count)


def patient_draws(groups: np.ndarray, count: int, num_draws: int, *, seed: int) -> tuple[np.ndarray, ...]:
    """Draw one random row of each of ``count`` patients; later draws take other patients while there are any.

    Args:
        groups: patient of each row, shape ``(rows,)``.
        count: patients a draw; all of them where there are fewer.
        num_draws: draws.
        seed: seed of the draws.
    """
    rng = np.random.default_rng(seed)
    codes = np.unique(groups, return_inverse=True)[1].reshape(-1)
    num_patients = int(codes.max()) + 1 if codes.size else 0
    count = min(count, num_patients)
    order = rng.permutation(num_patients)
    draws = []
    for draw in range(num_draws):
        shuffled = rng.permutation(len(codes))
        row_of = np.zeros(num_patients, dtype=int)
        row_of[codes[shuffled]] = shuffled
        draws.append(row_of[order[(draw * count + np.arange(count)) % max(num_patients, 1)]])
    return tuple(draws)


def comparable_draws(
    train: JudgedCohort,
    holdout: JudgedCohort,
    synthetic: JudgedCohort,
    *,
    seed: int,
    num_draws: int = NUM_DRAWS,
    maximum: int = MAXIMUM_PATIENTS,
) -> ComparableDraws:
    """Return rows at which synthetic and held-out records can be compared with training patients like with like.

    Precision, recall, coverage and the Fréchet distance depend on how many records are compared, and images of one
    patient resemble each other. So every patient gives one record at a time, and holdout and synthetic cohort give
    equally many.
    """
    count = min(holdout.num_groups, synthetic.num_groups, maximum)
    sizes = (min(train.num_groups, maximum), count, count)
    sides = (train, holdout, synthetic)
    draws = [
        patient_draws(side.groups, size, num_draws, seed=seed + order)
        for order, (side, size) in enumerate(zip(sides, sizes, strict=True))
    ]
    return ComparableDraws(draws[0], draws[1], draws[2], seed)
