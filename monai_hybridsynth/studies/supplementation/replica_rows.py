"""Which real row each synthetic record repeats, and which records may supplement which real rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from monai_hybridsynth.data import CohortError
from monai_hybridsynth.studies.supplementation.study_records import FIRST_ROW, StudyRecords

__all__ = ["TRAINING", "VALIDATION", "ReplicaRows", "check_percent", "replica_rows"]

TRAINING, VALIDATION = "training", "validation"
_MOST_NAMED = 5


@dataclass(frozen=True)
class ReplicaRows:
    """The replicas of a cohort's rows, as :class:`monai_hybridsynth.workflows.ReplicaSynthesis` writes them.

    Attributes:
        records: the synthetic cohort.
        origin: the real cohort whose rows it repeats.
        aside: which rows of the origin are set aside for validation, bool ``(rows,)``.
        table: one row per synthetic record: ``row`` of the origin, ``replica``, ``seed`` of the draw, ``fold``
            (training or validation, inherited from the row) and ``patient`` (of the row).
    """

    records: StudyRecords
    origin: StudyRecords
    aside: np.ndarray
    table: pd.DataFrame

    @property
    def num_replicas(self) -> int:
        """Replicas of each row."""
        return int(self.table["replica"].max()) + 1

    def of_rows(self, rows: Sequence[int] | np.ndarray, *, percent: int) -> np.ndarray:
        """Return the records that supplement real training rows by r %: their replicas k < r / 100.

        Args:
            rows: numbers of the origin's rows.
            percent: a positive multiple of 100.

        Returns:
            Numbers of synthetic records, ascending.

        Raises:
            ValueError: if ``percent`` asks for more replicas than there are, a row has none, or a row is set aside
                for validation.
        """
        wanted = check_percent(percent) // 100
        if wanted > self.num_replicas:
            raise ValueError(
                f"{percent} % of {self.records.name} needs {wanted} replicas of each row, but "
                f"{self.records.cohort.folder} has {self.num_replicas}; draw more (--replicas {wanted})."
            )
        asked = {int(row) for row in rows}
        known = self.table[self.table["row"].isin(asked)]
        leaking = sorted(row for row in asked if self.aside[row])
        if leaking:
            remedy = "only replicas of training rows may be trained on"
            raise CohortError(
                self.origin.problem(row, "is a patient set aside for validation", remedy) for row in leaking
            )
        absent = sorted(asked - set(known["row"]))
        if absent:
            shown = ", ".join(str(row + FIRST_ROW) for row in absent[:_MOST_NAMED])
            raise ValueError(
                f"{self.records.cohort.folder} has no replicas of {len(absent)} rows of {self.origin.cohort.folder} "
                f"(rows {shown} ...); draw replicas of all training rows."
            )
        return np.sort(known.index[known["replica"] < wanted].to_numpy())


def check_percent(percent: int) -> int:
    """Return a share of synthetic records, in percent of the real rows.

    Raises:
        ValueError: if it is no positive multiple of 100: replicas of all rows are added, or of none.
    """
    if percent < 100 or percent % 100:
        raise ValueError(f"percent is {percent}; give multiples of 100, since each real row gets the same replicas.")
    return int(percent)


def replica_rows(
    records: StudyRecords, origin: StudyRecords, aside: np.ndarray, manifest: dict[str, Any] | None
) -> ReplicaRows:
    """Tell which row each synthetic record repeats, and check it against the values of the rows.

    Args:
        records: the synthetic cohort.
        origin: the real cohort that it was drawn for.
        aside: which rows of the origin are set aside for validation, bool ``(rows,)``.
        manifest: the synthetic cohort's manifest.json.

    Raises:
        ValueError: if the manifest does not say how often which rows were repeated.
        CohortError: if a synthetic record does not repeat its row's values: file, row, column, value, remedy.
    """
    folder = records.cohort.folder
    replicas = (manifest or {}).get("replicas")
    count = ((manifest or {}).get("rows") or {}).get("number")
    if not replicas or not count or replicas * count != len(records):
        raise ValueError(
            f"{folder}/manifest.json speaks of {replicas} replicas of {count} rows for {len(records)} records; "
            "a study takes cohorts that ReplicaSynthesis wrote (configs/inference.json)."
        )
    choices = {len(origin): np.arange(len(origin)), int((~aside).sum()): np.flatnonzero(~aside)}
    if count not in choices:
        raise ValueError(
            f"{folder} repeats {count} rows, but {origin.cohort.folder} has {len(origin)} rows, "
            f"{int((~aside).sum())} of them for training; draw replicas of all rows or of all training rows."
        )
    rows = np.tile(choices[count], replicas)
    _check_values(records, origin, rows, {**(manifest or {})})
    table = pd.DataFrame(
        {
            "row": rows,
            "replica": np.repeat(np.arange(replicas), count),
            "seed": (manifest or {}).get("seed"),
            "fold": np.where(aside[rows], VALIDATION, TRAINING),
            "patient": origin.patients[rows],
        }
    )
    return ReplicaRows(records, origin, aside, table)


def _check_values(records: StudyRecords, origin: StudyRecords, rows: np.ndarray, manifest: dict[str, Any]) -> None:
    """Compare every column that the generator was told as it stands in the row."""
    changed = {*manifest.get("replaced_in_columns", ()), *manifest.get("fixed_columns", ())}
    problems = []
    for name in origin.cohort.schema.feature_names:
        if name in changed or name not in records.cohort.table:
            continue
        made, real = _comparable(records, origin, name), _comparable(origin, origin, name)[rows]
        differs = (pd.isna(made) != pd.isna(real)) | (~pd.isna(made) & (made != real))
        for place in np.flatnonzero(differs)[:_MOST_NAMED]:
            source = f"row {rows[place] + FIRST_ROW} of {origin.cohort.folder / 'records.csv'}"
            message = f"does not repeat {source}, which has {real[place]!r}"
            remedy = "give the cohort that these records were drawn for, or draw them again"
            problems.append(records.problem(int(place), message, remedy, column=name))
    if problems:
        raise CohortError(problems)


def _comparable(records: StudyRecords, origin: StudyRecords, name: str) -> np.ndarray:
    """Return a column's values; the order of several labels does not matter."""
    separator = origin.cohort.schema[name].separator
    values = records.cohort.table[name].astype(object)
    if separator:
        values = values.map(lambda text: text if pd.isna(text) else separator.join(sorted(str(text).split(separator))))
    return values.to_numpy()
