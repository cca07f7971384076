"""Kinds of patients that a cohort must serve alike: categories of clinical columns and bands of age."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from monai_hybridsynth.data import RecordField, RecordSchema

__all__ = ["PatientSubgroup", "patient_subgroups"]

# In years; round numbers, so that no patient's age is written down.
AGE_BANDS = ((0, 18), (18, 40), (40, 60), (60, 80), (80, np.inf))
MAXIMUM_LEVELS = 6
MAXIMUM_SUBGROUPS = 16
AGE_WORDS = ("age", "alter")


@dataclass(frozen=True)
class PatientSubgroup:
    """Records with one category of a column, or with an age within a band.

    Attributes:
        field: the column.
        level: its category; None for a band.
        band: from (included) and to (excluded), in years.
    """

    field: RecordField
    level: str | None = None
    band: tuple[float, float] = (-np.inf, np.inf)

    @property
    def name(self) -> str:
        """As it stands among a metric's dimensions, such as ``sex = F`` or ``age 40 to 60``."""
        if self.level is not None:
            return f"{self.field.name} = {self.level}"
        low, high = self.band
        if not np.isfinite(high):
            return f"{self.field.name} from {low:g}"
        return f"{self.field.name} {low:g} to {high:g}" if low > 0 else f"{self.field.name} below {high:g}"

    def members(self, table: pd.DataFrame) -> np.ndarray:
        """Return which rows belong to it, bool ``(rows,)``; a missing value belongs nowhere."""
        column = table[self.field.name]
        if self.level is not None:
            return np.array([not pd.isna(value) and str(value) == self.level for value in column], dtype=bool)
        values = column.astype("float64").to_numpy(dtype=float, na_value=np.nan)
        return (values >= self.band[0]) & (values < self.band[1])


def _is_age(field: RecordField) -> bool:
    words = field.name.lower().replace("_", " ").replace("-", " ").split()
    return field.is_numeric and field.unit in (None, "a") and any(word in words for word in AGE_WORDS)


def patient_subgroups(
    schema: RecordSchema, tables: Sequence[pd.DataFrame], groups: Sequence[np.ndarray], *, minimum_patients: int
) -> list[PatientSubgroup]:
    """Return the subgroups that hold enough patients on every given (real) side, target columns first.

    Args:
        schema: of the training cohort.
        tables: rows of the real cohorts.
        groups: patient of each row, per table.
        minimum_patients: a smaller subgroup is left out.
    """
    candidates: list[PatientSubgroup] = []
    targets = set(schema.target_names)
    for name in sorted(schema.feature_names, key=lambda name: name not in targets):
        field = schema[name]
        if _is_age(field):
            candidates += [PatientSubgroup(field, band=band) for band in AGE_BANDS]
        elif field.kind in ("binary", "categorical"):
            counts = tables[0][name].dropna().astype(str).value_counts()
            if len(counts) > 1:
                candidates += [PatientSubgroup(field, str(level)) for level in sorted(counts.index[:MAXIMUM_LEVELS])]

    def holds_enough(subgroup: PatientSubgroup) -> bool:
        return all(
            len(np.unique(patients[subgroup.members(table)])) >= minimum_patients
            for table, patients in zip(tables, groups, strict=True)
        )

    return [subgroup for subgroup in candidates if holds_enough(subgroup)][:MAXIMUM_SUBGROUPS]
