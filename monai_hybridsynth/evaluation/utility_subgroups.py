"""Is the synthetic cohort worth as much for every group of patients? Scores per sex, age band, view and the like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from monai_hybridsynth.data import RecordSchema
from monai_hybridsynth.evaluation.correspondence import class_patients
from monai_hybridsynth.evaluation.judged_cohort import JudgedCohort
from monai_hybridsynth.evaluation.metric_record import MetricRecord
from monai_hybridsynth.evaluation.patient_subgroups import patient_subgroups
from monai_hybridsynth.evaluation.probe_scores import ScoreTable
from monai_hybridsynth.evaluation.utility_records import REAL, ArmKey, UtilityOutcome
from monai_hybridsynth.metrics import REFIT_CONTRACTION, Estimate, interval

__all__ = ["Subgroup", "find_subgroups", "subgroup_records"]

MINIMUM_PATIENTS = 20
MINIMUM_OUTCOME_PATIENTS = 5


@dataclass(frozen=True)
class Subgroup:
    """Some of the holdout patients.

    Attributes:
        name: ``column = level`` or ``column from to``, as it stands in the dimension ``subgroup``.
        column: the column that defines it.
        rows: holdout rows that belong to it, bool ``(rows,)``.
    """

    name: str
    column: str
    rows: np.ndarray


def find_subgroups(schema: RecordSchema, holdout: JudgedCohort) -> list[Subgroup]:
    """Return the groups with at least twenty holdout patients: levels of columns with few levels, bands of an age."""
    found = [
        Subgroup(group.name, group.field.name, group.members(holdout.table))
        for group in patient_subgroups(schema, [holdout.table], [holdout.groups], minimum_patients=MINIMUM_PATIENTS)
    ]
    return [group for group in found if sum(other.column == group.column for other in found) > 1]


def subgroup_records(
    tables: Mapping[ArmKey, Mapping[str, ScoreTable]],
    subgroups: Sequence[Subgroup],
    outcomes: Sequence[UtilityOutcome],
    targets: np.ndarray,
    groups: np.ndarray,
    *,
    synthetic: ArmKey,
    cohort: str,
    dimensions: Mapping[str, str | float],
    estimator: str,
) -> list[MetricRecord]:
    """Return AUROC in each subgroup after training on real and on synthetic records, and the difference of the two.

    Labels of one column are averaged; a subgroup is not scored on the column that defines it.

    Args:
        tables: per arm, scores under the names of the subgroups.
        subgroups: of the holdout.
        outcomes: one per column of the tables.
        targets: holdout outcomes, shape ``(rows, columns)``.
        groups: patient of each holdout row.
        synthetic: key of the synthetic arm.
        cohort: name of the synthetic cohort.
        dimensions: predictor and input.
        estimator: how the scores were obtained.
    """
    records = []
    binary = [outcome for outcome in outcomes if outcome.target.is_binary]
    for column in dict.fromkeys(outcome.target.column for outcome in binary):
        members = [place for place, o in enumerate(outcomes) if o.target.is_binary and o.target.column == column]
        for subgroup in (group for group in subgroups if group.column != column):
            counts = {
                place: class_patients(targets[subgroup.rows, place], groups[subgroup.rows], binary=True)
                for place in members
            }
            used = [place for place, count in counts.items() if count >= MINIMUM_OUTCOME_PATIENTS]
            writer = _SubgroupWriter(cohort, column, subgroup.name, dimensions, estimator, len(used), len(members))
            if not used:
                records.append(writer.absent(max(counts.values())))
                continue
            real, made = (tables[key][subgroup.name] for key in (REAL, synthetic))
            points = [float(table.point[used].mean()) for table in (real, made)]
            replicates = [table.replicates[:, used].mean(1) for table in (real, made)]
            patients = max(counts[place] for place in used)
            records += writer.records(points, replicates, patients, volume=synthetic[1])
    return records


@dataclass(frozen=True)
class _SubgroupWriter:
    cohort: str
    column: str
    subgroup: str
    dimensions: Mapping[str, str | float]
    estimator: str
    scored: int
    labels: int

    def absent(self, patients: int) -> MetricRecord:
        reason = (
            f"too few patients with the rarer outcome among those with {self.subgroup}: {patients}; "
            f"{MINIMUM_OUTCOME_PATIENTS} are needed"
        )
        return self._record(Estimate.absent(reason), "auroc_difference", {}, reading="-")

    def records(
        self, points: Sequence[float], replicates: Sequence[np.ndarray], patients: int, *, volume: float
    ) -> list[MetricRecord]:
        """Return the scores of both arms and their difference; points and replicates in order real, synthetic."""
        records = []
        for (arm, size), value, drawn in zip((REAL, ("synthetic", volume)), points, replicates, strict=True):
            reading = (
                f"Among patients with {self.subgroup}, a predictor of {self.column} trained on {arm} records orders "
                f"two patients rightly in {100 * value:.0f} of 100 cases; guessing does in 50."
            )
            records.append(
                self._record(
                    self._estimate(value, drawn, patients, (0.0, 1.0)),
                    "auroc",
                    {"arm": arm, "volume": size},
                    floor=0.5,
                    ceiling=points[0],
                    reading=reading,
                )
            )
        lost = points[1] - points[0]
        reading = (
            f"Among patients with {self.subgroup}, training on synthetic instead of real records changes the AUROC of "
            f"{self.column} by {lost:+.2f}; training on nothing would change it by {0.5 - points[0]:+.2f}."
        )
        records.append(
            self._record(
                self._estimate(lost, replicates[1] - replicates[0], patients, (-1.0, 1.0)),
                "auroc_difference",
                {"volume": volume},
                floor=0.5 - points[0],
                ceiling=0.0,
                reading=reading,
            )
        )
        return records

    @staticmethod
    def _estimate(value: float, replicates: np.ndarray, patients: int, bounds: tuple[float, float]) -> Estimate:
        low, high = interval(value, replicates, num_groups=patients, bounds=bounds, contraction=REFIT_CONTRACTION)
        return Estimate(value, low, high, patients)

    def _record(
        self,
        estimate: Estimate,
        name: str,
        extra: Mapping[str, str | float],
        *,
        reading: str,
        floor: float | None = None,
        ceiling: float | None = None,
    ) -> MetricRecord:
        averaged = f"; mean of {self.scored} of {self.labels} labels" if self.labels > 1 else ""
        return MetricRecord.of(
            estimate,
            cohort=self.cohort,
            family="utility",
            name=name,
            column=self.column,
            dimensions={"subgroup": self.subgroup, **extra, **self.dimensions},
            floor=floor,
            ceiling=ceiling,
            reading=reading,
            estimator=self.estimator + averaged,
        )
