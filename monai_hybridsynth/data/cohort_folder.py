"""Read a cohort folder, and write one in blocks."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import pandas as pd

from .record_schema import CohortError, ImageSettings, RecordProblem, RecordSchema, infer_schema

__all__ = ["Cohort", "CohortWriter", "read_cohort", "read_records"]


@dataclass(frozen=True)
class Cohort:
    """A cohort folder in memory, images left on disk.

    Attributes:
        folder: where it lies.
        schema: read from its ``schema.json``, or inferred.
        table: parsed values, columns ``image``, ``patient_id`` if there are patients, then what is modelled.
        image_paths: one per row.
        notes: readings that needed a decision, such as a byte-order mark skipped.
    """

    folder: Path
    schema: RecordSchema
    table: pd.DataFrame
    image_paths: list[Path]
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self.table)


def read_records(folder: str | Path) -> pd.DataFrame:
    """Return the raw table of a cohort folder: text for a CSV, typed columns for Parquet."""
    folder = Path(folder)
    if (folder / "records.parquet").is_file():
        return pd.read_parquet(folder / "records.parquet")
    if not (folder / "records.csv").is_file():
        raise CohortError([RecordProblem("has no records.csv or records.parquet", "add one", file=str(folder))])
    return pd.read_csv(folder / "records.csv", dtype=str, keep_default_na=False, encoding="utf-8-sig")


def read_cohort(folder: str | Path, *, schema: RecordSchema | None = None) -> Cohort:
    """Return a checked cohort; every problem of its table and its paths is in one error.

    Args:
        folder: holds ``records.csv`` or ``records.parquet``, ``images/`` and perhaps ``schema.json``.
        schema: used instead of the folder's own; inferred when there is neither.

    Raises:
        CohortError: listing everything that cannot be read safely.
    """
    folder = Path(folder)
    raw = read_records(folder)
    if schema is None:
        stored = folder / "schema.json"
        schema = RecordSchema.load(stored) if stored.is_file() else infer_schema(raw)
    parsed = schema.examine(raw, source="records.csv")
    problems = list(parsed.problems)
    if schema.image_name is None or schema.image_name not in raw.columns:
        raise CohortError([*problems, RecordProblem("has no column 'image'", "name each row's image", file="records.csv")])
    paths = []
    for position, name in enumerate(parsed.table[schema.image_name]):
        path, problem = resolve_image(folder, name)
        paths.append(path)
        if problem:
            problems.append(replace(problem, row=position + 2))
    if problems:
        raise CohortError(problems)
    return Cohort(folder, schema, parsed.table, paths)


def resolve_image(folder: Path, name: str | None) -> tuple[Path, RecordProblem | None]:
    """Return the file a row names, and what is wrong with the name: empty, outside the folder, or no file."""
    if not name:
        return folder, RecordProblem("names no image", "give a path inside the folder", file="records.csv", column="image")
    outside = PurePosixPath(name).is_absolute() or PureWindowsPath(name).is_absolute() or PureWindowsPath(name).drive
    depth = 0
    for part in name.replace("\\", "/").split("/"):
        depth += -1 if part == ".." else part not in ("", ".")
        outside = outside or depth < 0
    problem = RecordProblem("", file="records.csv", column="image", value=name)
    if outside:
        return folder, replace(problem, message="lies outside the cohort folder", remedy="move the image into the folder and name it relative to it")
    path = folder / name
    if not path.is_file():
        return path, replace(problem, message="does not exist", remedy="add the file or remove the row")
    return path, None


class CohortWriter:
    """Write a synthetic cohort folder block by block, so that memory does not grow with its size.

    Args:
        folder: created; must be empty or absent.
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
        if self.folder.exists() and any(self.folder.iterdir()):
            raise FileExistsError(f"{self.folder} is not empty; give a new folder, or remove it first.")
        (self.folder / "images").mkdir(parents=True, exist_ok=True)
        self._records = open(self.folder / "records.csv", "w", newline="", encoding="utf-8")
        self._writer = csv.writer(self._records)
        self._columns: list[str] | None = None
        self._seen: dict[str, set[str]] = {}
        self._count = 0

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
            images: uint8 ``(N, C, H, W)`` with one channel, or three that are written as they are.
        """
        images = np.asarray(images)
        if images.dtype != np.uint8 or images.ndim != 4 or len(images) != len(table):
            raise ValueError(
                f"images are {images.dtype} of shape {images.shape} for {len(table)} rows; give uint8 (N, C, H, W), one per row."
            )
        columns = [str(name) for name in table.columns if name not in ("image", "patient_id")]
        if self._columns is None:
            unknown = [name for name in columns if name not in self.schema.feature_names]
            if unknown:
                raise ValueError(f"columns {unknown} are not modelled by the schema; a synthetic cohort holds {self.schema.feature_names}.")
            self._columns = columns
            self._writer.writerow(["image", *columns])
        elif columns != self._columns:
            raise ValueError(f"this block has columns {columns}, the first one had {self._columns}.")
        from PIL import Image

        rows = zip(*(table[name].map(_written) for name in columns), strict=True) if columns else ([] for _ in range(len(table)))
        for values, pixels in zip(rows, images, strict=True):
            name = f"images/{self._count:06d}.png"
            Image.fromarray(pixels[0] if pixels.shape[0] == 1 else np.moveaxis(pixels, 0, -1)).save(self.folder / name)
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
        settings = ImageSettings(self.schema.image.modality, scaling={"kind": "range", "minimum": 0.0, "maximum": 255.0})
        image = replace(self.schema["image"], reason="") if "image" in self.schema else None
        from .record_schema import RecordField

        return RecordSchema([image or RecordField("image", role="image"), *fields], settings)


def _written(value: Any) -> Any:
    """Return a parsed value as it stands in a CSV: missing is empty, numbers in their shortest exact form."""
    if pd.isna(value):
        return ""
    return repr(float(value)) if isinstance(value, (float, np.floating)) else str(value)
