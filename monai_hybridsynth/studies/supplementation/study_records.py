"""The records of one cohort as a study uses them: images on demand, findings, patients, and who is set aside."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from monai_hybridsynth.data import Cohort, CohortError, RecordProblem, digest_settings
from monai_hybridsynth.evaluation.judged_cohort import row_groups
from monai_hybridsynth.evaluation.prediction_targets import PredictionTarget, prediction_targets, target_matrix
from monai_hybridsynth.transforms import load_images

__all__ = ["StudyRecords", "check_patients_apart", "study_findings", "study_records"]

# A spreadsheet shows the header as row 1.
FIRST_ROW = 2


@dataclass(frozen=True)
class StudyRecords:
    """Records of one cohort folder.

    Attributes:
        name: of the cohort in the study.
        cohort: the folder, read.
        labels: 1 present, 0 absent, NaN not known, float64 ``(rows, findings)``.
        patients: of each row, object ``(rows,)``.
    """

    name: str
    cohort: Cohort
    labels: np.ndarray
    patients: np.ndarray

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self.cohort)

    def images(self, rows: Sequence[int] | np.ndarray, *, spatial_size: int) -> torch.Tensor:
        """Return images as networks see them, float32 ``(N, C, S, S)`` in [-1, 1]."""
        paths = [self.cohort.image_paths[row] for row in rows]
        return load_images(paths, self.cohort.schema.image, spatial_size=spatial_size)

    def fingerprint(self) -> str:
        """Return a SHA-256 of what decides a training: rows in order, findings, patients, and files by size.

        Files are not read, so that a cell of a large cohort starts at once.
        """
        files = [[path.name, path.stat().st_size] for path in self.cohort.image_paths]
        labels = np.nan_to_num(self.labels, nan=-1.0).tolist()
        return digest_settings([files, labels, [str(patient) for patient in self.patients]])

    def problem(self, row: int, message: str, remedy: str, *, column: str | None = None) -> RecordProblem:
        """Return what is wrong with a row, as its owner knows the row."""
        name = column or self.cohort.schema.group_name
        value = None if name is None or name not in self.cohort.table else str(self.cohort.table[name].iloc[row])
        file = str(self.cohort.folder / "records.csv")
        return RecordProblem(message, remedy, file=file, row=row + FIRST_ROW, column=name, value=value)


def study_findings(
    cohort: Cohort, columns: Sequence[str] | None = None, *, minimum_patients: int = 20
) -> list[PredictionTarget]:
    """Return the yes-or-no outcomes that enough patients have and enough have not.

    Args:
        cohort: the study's training cohort.
        columns: where to look; its target columns that are no numbers when None.
        minimum_patients: patients with the finding, and without it.

    Raises:
        ValueError: if a column is unknown, or no finding is left.
    """
    schema = cohort.schema
    unknown = sorted(set(columns or ()) - set(schema.feature_names))
    if unknown:
        raise ValueError(f"columns {unknown} are not modelled by {cohort.folder}; it models {schema.feature_names}.")
    targets = prediction_targets(schema, list(columns or schema.target_names), cohort.table)
    patients = row_groups(cohort, "train")
    kept = []
    for target in targets:
        if target.is_binary:
            values = target.values(cohort.table)
            counts = [len(np.unique(patients[values == value])) for value in (0, 1)]
            kept += [target] if min(counts) >= minimum_patients else []
    if not kept:
        raise ValueError(
            f"no finding of {cohort.folder} is present and absent in {minimum_patients} patients each; name target "
            "columns when preparing the cohort (--target), give more patients, or lower minimum_patients."
        )
    return kept


def study_records(name: str, cohort: Cohort, findings: Sequence[PredictionTarget]) -> StudyRecords:
    """Return a cohort's records with the study's findings; a column that the cohort lacks is not known there.

    Raises:
        ValueError: if the cohort has none of the findings' columns.
    """
    known = [target.column in cohort.table for target in findings]
    if not any(known):
        columns = sorted({target.column for target in findings})
        raise ValueError(f"{cohort.folder} has none of the columns {columns}; its columns are {list(cohort.table)}.")
    labels = np.full((len(cohort), len(findings)), np.nan)
    labels[:, known] = target_matrix([one for one, there in zip(findings, known, strict=True) if there], cohort.table)
    return StudyRecords(name, cohort, labels, row_groups(cohort, name))


def check_patients_apart(sides: Iterable[tuple[StudyRecords, np.ndarray]]) -> None:
    """Refuse a patient who is on two sides.

    Args:
        sides: records and the rows of them that belong to the side, each side disjoint from all others.

    Raises:
        CohortError: naming the first row of every such patient on the later side.
    """
    seen: dict[str, tuple[str, Path]] = {}
    problems = []
    for records, rows in sides:
        own: dict[str, int] = {}
        for row in rows:
            own.setdefault(str(records.patients[row]), int(row))
        for patient, row in own.items():
            if patient in seen:
                other, folder = seen[patient]
                message = f"is the patient of records in {other} ({folder}) too"
                remedy = "no patient may be on two sides of a study: leave these records out of one cohort"
                problems.append(records.problem(row, message, remedy))
        seen |= {patient: (records.name, records.cohort.folder) for patient in own}
    if problems:
        raise CohortError(problems)
