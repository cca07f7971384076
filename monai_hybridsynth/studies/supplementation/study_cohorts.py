"""All cohorts of a study, read and checked before anything is trained: real, test, synthetic, of other hospitals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from monai_hybridsynth.data import Cohort, read_cohort
from monai_hybridsynth.evaluation.judged_cohort import read_synthetic_cohort
from monai_hybridsynth.studies.supplementation.replica_rows import ReplicaRows, check_percent, replica_rows
from monai_hybridsynth.studies.supplementation.study_records import (
    StudyRecords,
    check_patients_apart,
    study_findings,
    study_records,
)
from monai_hybridsynth.workflows import validation_rows

__all__ = ["StudyCohorts"]

Source = ReplicaRows | StudyRecords
_SOURCE_KEYS = {"folder", "rows_of", "patients", "validation_share", "split_seed"}


class StudyCohorts:
    """The cohorts of a supplementation study; patients never cross between training, validation and tests.

    Args:
        folder: the real training patients, those that the generator was trained on.
        tests: cohorts of other patients by name: a folder, or ``{"folder", "findings"}`` to score some findings only.
        synthetic: what real records are supplemented with, by name. ``{"folder"}``: replicas of the study's own rows.
            ``{"folder", "rows_of"}``: replicas of the rows of another hospital's training cohort, perhaps with its own
            ``validation_share`` and ``split_seed``. ``{"folder", "patients": true}``: further real patients, the upper
            control.
        columns: clinical columns with the findings; the cohort's yes-or-no targets when None.
        minimum_patients: patients that must have a finding, and must not.
        validation_share: share of the training patients that stop and choose; give the generator's training the same
            two values, so that it never saw them.
        split_seed: of that split.

    Raises:
        CohortError: if a cohort cannot be read, a synthetic record does not repeat its row, or a patient is on two
            sides; every problem with file, row, column, value and remedy.
        ValueError: if there is no finding or no test, or a setting is unknown.
    """

    def __init__(
        self,
        folder: str | Path,
        tests: Mapping[str, str | Mapping[str, Any]],
        *,
        synthetic: Mapping[str, Mapping[str, Any]] | None = None,
        columns: Sequence[str] | None = None,
        minimum_patients: int = 20,
        validation_share: float = 0.1,
        split_seed: int = 0,
    ) -> None:
        self.validation_share, self.split_seed = validation_share, split_seed
        cohort = read_cohort(folder)
        self.targets = study_findings(cohort, columns, minimum_patients=minimum_patients)
        self.real = study_records("real", cohort, self.targets)
        self.aside = validation_rows(cohort, validation_share=validation_share, seed=split_seed)
        if not tests:
            raise ValueError("tests names no cohort; give at least one of patients that nothing was trained on.")
        given = {name: {"folder": test} if isinstance(test, str | Path) else test for name, test in tests.items()}
        self.tests = {name: self._read(name, read_cohort(test["folder"])) for name, test in given.items()}
        self.scored = {name: self._scored(test.get("findings")) for name, test in given.items()}
        self.sources: dict[str, Source] = {}
        self.manifests: dict[str, dict[str, Any]] = {}
        self._origins = {Path(folder).resolve(): (self.real, self.aside)}
        for name, settings in (synthetic or {}).items():
            self.sources[name] = self._source(name, settings)
        self._check_patients()

    @property
    def findings(self) -> list[str]:
        """Names of the findings, in the order of the labels."""
        columns = {target.column for target in self.targets}
        return [
            str(target.label) if len(columns) == 1 else f"{target.column}: {target.label}" for target in self.targets
        ]

    @property
    def channels(self) -> int:
        """Channels of an image."""
        return self.real.cohort.schema.image.channels

    def real_rows(self, percent: int, *, seed: int) -> np.ndarray:
        """Return the rows of a share of the training patients; a smaller share is part of a larger one."""
        return _share_of_patients(self.real, ~self.aside, percent, seed=seed)

    def added_rows(self, source: str, real_percent: int, percent: int, *, seed: int) -> np.ndarray:
        """Return the records of a source that supplement a share of the real patients by ``percent`` %.

        Replicas are those of exactly the real rows of that share; of another hospital, those of the same share of its
        training patients. Further patients are as many records as asked for.
        """
        found = self.sources[source]
        if isinstance(found, StudyRecords):
            count = check_percent(percent) // 100 * len(self.real_rows(real_percent, seed=seed))
            return self._further(found, count, seed=seed)
        rows = _share_of_patients(found.origin, ~found.aside, real_percent, seed=seed)
        return found.of_rows(rows, percent=percent)

    def records(self, source: str) -> StudyRecords:
        """Return the records of a source."""
        found = self.sources[source]
        return found if isinstance(found, StudyRecords) else found.records

    def _read(self, name: str, cohort: Cohort) -> StudyRecords:
        if cohort.schema.image.channels != self.channels:
            raise ValueError(
                f"images of {cohort.folder} have {cohort.schema.image.channels} channels, those of "
                f"{self.real.cohort.folder} {self.channels}; set the same image scaling in their schemas."
            )
        return study_records(name, cohort, self.targets)

    def _scored(self, names: Sequence[str] | None) -> list[int]:
        """Return the places of the findings that a test scores."""
        unknown = sorted(set(names or ()) - set(self.findings))
        if unknown:
            raise ValueError(f"a test scores {unknown}; the study's findings are {self.findings}.")
        return [place for place, name in enumerate(self.findings) if names is None or name in names]

    def _source(self, name: str, settings: Mapping[str, Any]) -> Source:
        unknown = sorted(set(settings) - _SOURCE_KEYS)
        if unknown or "folder" not in settings:
            raise ValueError(f"synthetic cohort {name!r} has {unknown or 'no folder'}; known are {_SOURCE_KEYS}.")
        if settings.get("patients"):
            return self._read(name, read_cohort(settings["folder"]))
        folder = Path(settings.get("rows_of") or self.real.cohort.folder).resolve()
        if folder not in self._origins:
            origin = self._read(f"origin of {name}", read_cohort(folder))
            share = settings.get("validation_share", self.validation_share)
            seed = settings.get("split_seed", self.split_seed)
            self._origins[folder] = (origin, validation_rows(origin.cohort, validation_share=share, seed=seed))
        origin, aside = self._origins[folder]
        cohort, manifest = read_synthetic_cohort(settings["folder"], origin.cohort.schema)
        self.manifests[name] = manifest or {}
        return replica_rows(self._read(name, cohort), origin, aside, manifest)

    def _further(self, records: StudyRecords, count: int, *, seed: int) -> np.ndarray:
        if count > len(records):
            raise ValueError(f"{records.cohort.folder} has {len(records)} records and {count} are asked for; add some.")
        names = np.unique(records.patients)
        place = dict(zip(np.random.default_rng(seed).permutation(names), range(len(names)), strict=True))
        order = np.argsort([place[patient] for patient in records.patients], kind="stable")
        return np.sort(order[:count])

    def _check_patients(self) -> None:
        sides = [(self.real, np.flatnonzero(~self.aside)), (self.real, np.flatnonzero(self.aside))]
        sides += [(origin, np.arange(len(origin))) for origin, _ in list(self._origins.values())[1:]]
        further = [found for found in self.sources.values() if isinstance(found, StudyRecords)]
        sides += [(records, np.arange(len(records))) for records in (*further, *self.tests.values())]
        check_patients_apart(sides)


def _share_of_patients(records: StudyRecords, allowed: np.ndarray, percent: int, *, seed: int) -> np.ndarray:
    """Return the rows of a share of the allowed patients: the first ones of one order, so that shares are nested."""
    patients = records.patients
    names = np.random.default_rng(seed).permutation(np.unique(patients[allowed]))
    chosen = set(names[: max(1, round(percent / 100 * len(names)))])
    return np.flatnonzero(allowed & np.array([patient in chosen for patient in patients]))
