"""What ``prepare`` tells a person: how each column is used and why, what was changed, and what each side holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from monai_hybridsynth.data import RecordSchema

__all__ = ["PreparedCohort", "SummaryNote", "describe_columns", "describe_sides"]


@dataclass(frozen=True)
class SummaryNote:
    """One thing done or seen while preparing.

    Attributes:
        subject: the column, or "table", "images", "split".
        action: ``derived``, ``excluded``, ``set to missing``, ``read as``, ``left out``, ``noted`` or ``warning``.
        count: how many values, rows or images it concerns; None where that says nothing.
        reason: why, and what a person can do about it.
    """

    subject: str
    action: str
    count: int | None
    reason: str


@dataclass(frozen=True)
class PreparedCohort:
    """Where a cohort was prepared, and what was done.

    Attributes:
        folder: holds ``train``, ``holdout`` and ``schema.json``.
        schema: as written there.
        notes: everything derived, excluded, set to missing or noted.
        columns: one row per column: how it is used, how many values it lacks, why.
        sides: one row per side or target class: patients and images on either side.
        image_sizes: height and width of each image, int ``(images, 2)``.
    """

    folder: Path
    schema: RecordSchema
    notes: list[SummaryNote]
    columns: pd.DataFrame
    sides: pd.DataFrame
    image_sizes: np.ndarray = field(repr=False)

    def to_text(self) -> str:
        """Return the summary table that ``prepare`` prints."""
        used = self.columns[self.columns["used"].isin(["feature", "target"])]
        aside = self.columns[~self.columns["used"].isin(["feature", "target"])]
        heights, widths = self.image_sizes.T
        size = f"{int(np.median(widths))} x {int(np.median(heights))}"
        if heights.min() != heights.max() or widths.min() != widths.max():
            size += f" (from {widths.min()} x {heights.min()} to {widths.max()} x {heights.max()})"
        scaling = {name: value for name, value in self.schema.image.to_dict()["scaling"].items() if name != "kind"}
        told = ", ".join(f"{name} {_shown(value)}" for name, value in scaling.items())
        parts = [
            f"Modelled columns ({len(used)})",
            _aligned(used[["column", "used", "missing", "reason"]]),
            f"\nSet aside ({len(aside)})",
            _aligned(aside[["column", "used", "reason"]]),
            "\nDone and seen",
            _aligned(
                pd.DataFrame([vars(note) for note in self.notes], columns=["subject", "action", "count", "reason"])
            ),
            f"\nImages: {self.schema.image.modality}, {len(self.image_sizes)} files, median size {size} pixels; "
            f"scaling by {self.schema.image.scaling['kind']} ({told})",
            "\nSides",
            _aligned(self.sides),
            f"\nWritten to {self.folder}: train, holdout, schema.json (edit it and prepare again with --schema)",
        ]
        return "\n".join(parts)


def describe_columns(schema: RecordSchema, table: pd.DataFrame) -> pd.DataFrame:
    """Return how each column is used: columns ``column``, ``used``, ``missing`` (rows), ``reason``.

    Args:
        schema: of the prepared cohort.
        table: its parsed rows.
    """
    rows = [
        {
            "column": entry.name,
            "used": entry.role if entry.kind != "free_text" else "free text",
            "missing": int(table[entry.name].isna().sum()) if entry.name in table else None,
            "reason": entry.reason,
        }
        for entry in schema
    ]
    return pd.DataFrame(rows, columns=["column", "used", "missing", "reason"])


def describe_sides(table: pd.DataFrame, schema: RecordSchema, sides: pd.Series, names: Sequence[str]) -> pd.DataFrame:
    """Return patients, images and each target's classes on either side.

    Args:
        table: parsed rows.
        schema: says the patient column and the targets.
        sides: side of each row.
        names: the sides, in order.
    """
    assert schema.group_name is not None
    patients = table[schema.group_name]
    lines = [{"": "all", **{side: _counted(sides == side, patients) for side in names}}]
    for target in schema.target_names:
        entry, values = schema[target], table[target]
        if entry.is_numeric:
            numbers = values.astype("float64")
            numbers = numbers.where(np.isfinite(numbers))
            lines.append({"": f"{target}: mean", **{side: _mean(numbers[sides == side]) for side in names}})
            continue
        labels = values.str.split(entry.separator, regex=False) if entry.separator else values
        exploded = labels.explode()
        for value in exploded.value_counts().index:
            having = (exploded == value).groupby(level=0).any().reindex(table.index, fill_value=False)
            counts = {side: _counted(having & (sides == side), patients, of=sides == side) for side in names}
            lines.append({"": f"{target}: {value}", **counts})
    return pd.DataFrame(lines)


def _counted(rows: pd.Series, patients: pd.Series, *, of: pd.Series | None = None) -> str:
    told = f"{_number(patients[rows].nunique(), 'patient')}, {_number(int(rows.sum()), 'image')}"
    return told if of is None else f"{told} ({rows.sum() / max(of.sum(), 1):.1%})"


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _mean(numbers: pd.Series) -> str:
    return f"{numbers.mean():.3g}" if numbers.notna().any() else "none"


def _shown(value: object) -> str:
    if isinstance(value, list):
        return "; ".join(
            " ".join(f"{item:g}" if isinstance(item, float) else str(item) for item in w.values()) for w in value
        )
    return f"{value:g}" if isinstance(value, float) else str(value)


def _aligned(table: pd.DataFrame) -> str:
    """Return a table as text, one line a row, columns under one another; the last one runs free."""
    if table.empty:
        return "  none"
    cells = [[str(name) for name in table.columns]]
    for row in table.itertuples(index=False):
        cells.append(["" if value is None or value != value else _plain(value) for value in row])
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]) - 1)]
    return "\n".join(
        "  " + "  ".join([*(text.ljust(width) for text, width in zip(line, widths, strict=False)), line[-1]]).rstrip()
        for line in cells
    )


def _plain(value: object) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
