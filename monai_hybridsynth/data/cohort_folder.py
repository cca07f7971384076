"""Read a cohort folder, check every row of it, and write one in blocks."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
import pandas as pd

from .image_files import IMAGE_SUFFIXES
from .record_schema import (
    LATENT_PREFIX,
    CohortError,
    ImageSettings,
    ParsedTable,
    RecordField,
    RecordProblem,
    RecordSchema,
    infer_schema,
)
from .record_tables import RecordTable, read_record_table

__all__ = ["CheckedRecords", "Cohort", "CohortWriter", "check_records", "read_cohort", "read_schema", "write_records"]

# Present from the first block to the last: a folder that still has it was not finished.
_UNFINISHED = ".unfinished"


@dataclass(frozen=True)
class Cohort:
    """A cohort folder in memory, images left on disk.

    Attributes:
        folder: where it lies.
        schema: read from its ``schema.json``, or inferred.
        table: parsed values, columns ``image``, ``patient_id`` if there are patients, then what is modelled.
        image_paths: one per row.
        notes: readings that needed a decision, such as a byte-order mark passed over.
    """

    folder: Path
    schema: RecordSchema
    table: pd.DataFrame
    image_paths: list[Path]
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self.table)


@dataclass(frozen=True)
class CheckedRecords:
    """A table parsed and its image paths looked up, with everything wrong with either.

    Attributes:
        parsed: typed values, with what was set to missing and what was left out.
        image_paths: one per row; meaningless where there is a problem.
        problems: of the values, the patients and the paths. Whether an image can be read is not looked at here.
    """

    parsed: ParsedTable
    image_paths: list[Path]
    problems: list[RecordProblem]


def read_cohort(folder: str | Path, *, schema: RecordSchema | None = None) -> Cohort:
    """Return a checked cohort; every problem of its table and its paths is in one error.

    Args:
        folder: holds ``records.csv`` or ``records.parquet``, ``images/`` and perhaps ``schema.json``.
        schema: used instead of the folder's own; inferred when there is neither.

    Raises:
        CohortError: listing everything that cannot be read safely.
    """
    folder = Path(folder)
    raw = read_record_table(folder)
    schema = read_schema(folder, raw, schema=schema)
    checked = check_records(folder, raw, schema)
    if checked.problems:
        raise CohortError(checked.problems)
    notes = [*raw.notes, *(f"column {name!r} is not in the schema and left out" for name in checked.parsed.unknown)]
    return Cohort(folder, schema, checked.parsed.table, checked.image_paths, notes)


def read_schema(
    folder: Path, raw: RecordTable, *, schema: RecordSchema | None = None, modality: str | None = None
) -> RecordSchema:
    """Return the schema given, else the folder's own, else one inferred from its table."""
    if schema is not None:
        return schema
    if (folder / "schema.json").is_file():
        return RecordSchema.load(folder / "schema.json")
    try:
        return infer_schema(raw.table, modality=modality)
    except ValueError as error:
        raise CohortError([RecordProblem(str(error), file=raw.file, row=1)]) from error


def check_records(folder: Path, raw: RecordTable, schema: RecordSchema) -> CheckedRecords:
    """Parse a table, look its images up, and collect every problem.

    Args:
        folder: the cohort folder that image paths are relative to.
        raw: the table as its file holds it.
        schema: what the table should hold.
    """
    parsed = schema.examine(raw.table, source=raw.file, rows=raw.rows)
    problems = [
        RecordProblem("is named like an image latent", "rename the column", file=raw.file, row=1, column=str(name))
        for name in raw.table.columns
        if str(name).startswith(LATENT_PREFIX)
    ]
    problems += parsed.problems
    image_name = schema.image_name
    if image_name is None or image_name not in raw.table.columns:
        alike = [str(name) for name in raw.table.columns if _names_images(raw.table[name])]
        remedy = (
            f"rename the column {alike[0]!r}, if that is it" if alike else "add one that names each row's image file"
        )
        missing = RecordProblem(f"has no column {image_name or 'image'!r}", remedy, file=raw.file, row=1)
        return CheckedRecords(parsed, [], [missing, *problems])
    paths, found = _look_up_images(folder, parsed.table[image_name], raw)
    problems += found + _patient_problems(parsed.table, schema, raw)
    return CheckedRecords(parsed, paths, sorted(problems, key=lambda problem: problem.row or 0))


def _names_images(values: pd.Series) -> bool:
    """Return whether a column may be the image column under another name."""
    return bool(values.astype(str).str.lower().str.endswith(IMAGE_SUFFIXES).mean() > 0.5)


def _look_up_images(folder: Path, names: pd.Series, raw: RecordTable) -> tuple[list[Path], list[RecordProblem]]:
    paths: list[Path] = []
    problems: list[RecordProblem] = []
    first_row: dict[Path, int] = {}
    for number, name in zip(raw.rows, names, strict=True):
        path, wrong, remedy = _look_up(folder, name)
        if not wrong and path in first_row:
            wrong = f"is the image of row {first_row[path]} already"
            remedy = "remove one of the two rows; a record is one image"
        if wrong:
            problems.append(RecordProblem(wrong, remedy, file=raw.file, row=number, column=str(names.name), value=name))
        else:
            first_row[path] = number
        paths.append(path)
    return paths, problems


def _look_up(folder: Path, name: str | None) -> tuple[Path, str, str]:
    """Return the file that a row names, what is wrong with the name, and the remedy; both empty when nothing is."""
    if not name:
        return folder, "is blank", "name the image file, relative to the folder, or remove the row"
    # Tables written under Windows separate folders by backslashes; no other reading of them exists here.
    parts = name.replace("\\", "/").split("/") if not (folder / name).exists() else name.split("/")
    steps: list[str] = []
    outside = name.startswith(("/", "\\")) or bool(PureWindowsPath(name).drive)
    for part in parts:
        if part == "..":
            outside = outside or not steps
            del steps[-1:]
        elif part not in ("", "."):
            steps.append(part)
    if outside or not steps:
        return folder, "lies outside the cohort folder", "move the image into the folder and name it relative to it"
    path = folder.joinpath(*steps)
    if not path.is_file():
        return path, "does not exist", "add the file, correct the name or remove the row"
    return path, "", ""


def _patient_problems(table: pd.DataFrame, schema: RecordSchema, raw: RecordTable) -> list[RecordProblem]:
    name = schema.group_name
    if name is None or name not in table.columns or table[name].isna().all():
        return []
    return [
        RecordProblem("names no patient", "fill it in, or remove the row", file=raw.file, row=number, column=name)
        for number, patient in zip(raw.rows, table[name], strict=True)
        if patient is None
    ]


def write_records(path: Path, table: pd.DataFrame) -> None:
    """Write parsed values as ``records.csv``: missing is empty, numbers are exact, ``inf`` is a detection limit."""
    written = pd.DataFrame({name: table[name].map(_written) for name in table.columns}, columns=table.columns)
    written.to_csv(path, index=False, encoding="utf-8", lineterminator="\n")


class CohortWriter:
    """Write a synthetic cohort folder block by block, so that memory does not grow with its size.

    Args:
        folder: created; must be empty or absent, or left unfinished by a run that was killed: then it is begun anew.
        schema: of the private cohort; only fields present in the appended tables are written, without reasons,
            percentiles and unused categories, so that nothing of a private row stands in it.

    Example:
        >>> with CohortWriter("synthetic", schema) as writer:  # doctest: +SKIP
        ...     writer.append(table, images)
        ...     writer.close({"synthetic": True})
    """

    def __init__(self, folder: str | Path, schema: RecordSchema):
        self.folder = Path(folder)
        self.schema = schema
        if (self.folder / _UNFINISHED).is_file():
            shutil.rmtree(self.folder)
        if self.folder.exists() and any(self.folder.iterdir()):
            raise FileExistsError(f"{self.folder} is not empty; give a new folder, or remove it first.")
        (self.folder / "images").mkdir(parents=True, exist_ok=True)
        (self.folder / _UNFINISHED).touch()
        # Kept open over all blocks; the context manager of this class closes it.
        self._records = open(self.folder / "records.csv", "w", newline="", encoding="utf-8")  # noqa: SIM115
        self._writer = csv.writer(self._records)
        self._columns: list[str] | None = None
        self._seen: dict[str, set[str]] = {}
        self._count = 0
        self._channels = 0

    def __enter__(self) -> CohortWriter:
        """Return the writer."""
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        """Close the table; after an error no manifest is written, so that the folder does not look complete."""
        if kind is None and not self._records.closed:
            self.close({})
        self._records.close()

    def append(self, table: pd.DataFrame, images: np.ndarray) -> None:
        """Write a block of records.

        Args:
            table: parsed values of the modelled columns, one row per image.
            images: uint8 ``(N, C, H, W)``; one channel is written as PNG, several (CT windows) as NumPy files, since
                a picture with three channels would pass for a colour picture.
        """
        images = np.asarray(images)
        if images.dtype != np.uint8 or images.ndim != 4 or len(images) != len(table):
            raise ValueError(
                f"images are {images.dtype} of shape {images.shape} for {len(table)} rows; "
                "give uint8 (N, C, H, W), one per row."
            )
        if self._channels not in (0, images.shape[1]):
            raise ValueError(f"this block has {images.shape[1]} channels, the first one had {self._channels}.")
        self._channels = images.shape[1]
        columns = [str(name) for name in table.columns if name not in ("image", "patient_id")]
        if self._columns is None:
            unknown = [name for name in columns if name not in self.schema.feature_names]
            if unknown:
                raise ValueError(
                    f"columns {unknown} are not modelled by the schema; it models {self.schema.feature_names}."
                )
            self._columns = columns
            self._writer.writerow(["image", *columns])
        elif columns != self._columns:
            raise ValueError(f"this block has columns {columns}, the first one had {self._columns}.")
        from PIL import Image

        written = [table[name].map(_written) for name in columns]
        rows = list(zip(*written, strict=True)) if columns else [()] * len(table)
        for values, pixels in zip(rows, images, strict=True):
            name = f"images/{self._count:06d}.{'png' if self._channels == 1 else 'npy'}"
            if self._channels == 1:
                Image.fromarray(pixels[0]).save(self.folder / name)
            else:
                np.save(self.folder / name, pixels)
            self._writer.writerow([name, *values])
            self._count += 1
        for name in columns:
            if self.schema[name].enum is not None:
                self._seen.setdefault(name, set()).update(table[name].dropna().astype(str).unique())

    def close(self, manifest: dict[str, Any]) -> None:
        """Write ``manifest.json`` and ``schema.json`` and finish the folder."""
        if self._records.closed:
            raise RuntimeError("this cohort is already closed.")
        self._records.close()
        self._released_schema().save(self.folder / "schema.json")
        text = json.dumps({"synthetic": True, "num_records": self._count, **manifest}, indent=2, allow_nan=False)
        (self.folder / "manifest.json").write_text(text + "\n", encoding="utf-8")
        (self.folder / _UNFINISHED).unlink()

    def _released_schema(self) -> RecordSchema:
        fields = []
        for name in self._columns or []:
            entry = self.schema[name]
            seen = self._seen.get(name, set())
            if entry.separator:
                seen = {label for value in seen for label in value.split(entry.separator)}
            enum = None if entry.enum is None else tuple(value for value in entry.enum if value in seen)
            blank = entry.blank_means if enum and entry.blank_means in enum else None
            fields.append(replace(entry, enum=enum, blank_means=blank, derive=None, typical_range=None, reason=""))
        scaling = {"kind": "range", "minimum": 0.0, "maximum": 255.0}
        if self._channels > 1:
            scaling["channels"] = self._channels
        settings = ImageSettings(self.schema.image.modality, scaling=scaling)
        image = replace(self.schema["image"], reason="") if "image" in self.schema else None
        rules = self.schema.rules.within({entry.name: entry.enum for entry in fields})
        return RecordSchema([image or RecordField("image", role="image"), *fields], settings, rules)


def _written(value: Any) -> Any:
    """Return a parsed value as it stands in a CSV: missing is empty, numbers in their shortest exact form."""
    if pd.isna(value):
        return ""
    return repr(float(value)) if isinstance(value, (float, np.floating)) else str(value)
