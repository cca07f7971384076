"""What would betray a private cohort: its names, rare values, rows, latents and images, gathered to be searched for."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from monai_hybridsynth.data import RecordSchema, infer_schema
from monai_hybridsynth.data.cohort_folder import read_schema
from monai_hybridsynth.data.image_files import IMAGE_SUFFIXES, read_image
from monai_hybridsynth.data.record_tables import read_record_table

__all__ = ["SIDE", "CohortTraces", "fingerprints", "name_parts", "rare_numbers"]

SIDE = 32
MINIMUM_PATIENTS = 5
SHORTEST_NAME = 5
WORD = re.compile(r"[^\W_]+(?:[_\-.][^\W_]+)*", re.UNICODE)


@dataclass
class CohortTraces:
    """What is searched for.

    Attributes:
        folder: the cohort.
        names: identifiers and file names, without what many patients share and without running numbers.
        phrases: texts of columns that are not modelled, such as a diagnosis in words.
        numbers: values with at least five significant digits that fewer than five patients have.
        categories: per modelled column the categories that fewer than five patients have.
        table: modelled columns as text.
        patients: one per row.
        latents: rows of known latent tables ``(rows, latents)``, or None.
        images: fingerprints ``(images, SIDE * SIDE)``.
        mean_image: what is taken off before two images are compared.
        copy_threshold: correlation above which two images are the same: above what different patients reach.
    """

    folder: Path
    names: set[str] = field(default_factory=set)
    phrases: set[str] = field(default_factory=set)
    numbers: np.ndarray = field(default_factory=lambda: np.zeros(0))
    categories: dict[str, set[str]] = field(default_factory=dict)
    table: pd.DataFrame = field(default_factory=pd.DataFrame)
    patients: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=object))
    latents: np.ndarray | None = None
    images: np.ndarray = field(default_factory=lambda: np.zeros((0, SIDE * SIDE), dtype=np.float32))
    mean_image: np.ndarray = field(default_factory=lambda: np.zeros(SIDE * SIDE, dtype=np.float32))
    copy_threshold: float = 0.98

    @classmethod
    def read(cls, source: str | Path) -> CohortTraces:
        """Gather the traces of a cohort folder, or of a latent table (Parquet or CSV) that was made from one.

        Raises:
            ValueError: if the source is neither.
        """
        source = Path(source)
        if source.is_file() and source.suffix in (".parquet", ".csv"):
            raw = pd.read_parquet(source) if source.suffix == ".parquet" else pd.read_csv(source)
            schema = infer_schema(raw[[name for name in raw.columns if not str(name).startswith("latent_")]])
            traces = cls(source.parent)
            traces._read_table(raw, schema)
            return traces
        if not source.is_dir():
            raise ValueError(f"{source} is no cohort folder and no latent table; give one to --against.")
        if not any((source / name).is_file() for name in ("records.csv", "records.parquet")):
            parts = [source / side for side in ("train", "holdout") if (source / side).is_dir()]
            if not parts:
                raise ValueError(f"{source} holds no records.csv or records.parquet; give the cohort's own folder.")
            return cls._joined(source, [cls.read(part) for part in parts])
        found = read_record_table(source)
        traces = cls(source)
        schema = read_schema(source, found)
        traces._read_table(found.table, schema)
        traces._read_images(source, found.table, schema)
        for path in sorted(source.glob("*latent*.parquet")):
            traces.latents = _latents(pd.read_parquet(path))
        return traces

    @classmethod
    def _joined(cls, folder: Path, parts: list[CohortTraces]) -> CohortTraces:
        """Join the two sides of a prepared cohort."""
        first = cls(folder)
        first.names = set().union(*[part.names for part in parts])
        first.phrases = set().union(*[part.phrases for part in parts])
        first.numbers = np.unique(np.concatenate([part.numbers for part in parts]))
        first.table = pd.concat([part.table for part in parts], ignore_index=True)
        first.patients = np.concatenate([part.patients for part in parts])
        first._read_rare()
        first.images = np.concatenate([part.images + part.mean_image for part in parts])
        first._centre_images()
        return first

    def _read_table(self, raw: pd.DataFrame, schema: RecordSchema) -> None:
        """Gather names, rare numbers and rows."""
        text = raw.astype(object).where(raw.notna(), "").map(str)
        group = schema.group_name or "patient_id"
        self.patients = text[group].to_numpy() if group in text.columns else np.arange(len(text)).astype(str)
        latent = [name for name in text.columns if str(name).startswith("latent_")]
        modelled = [name for name in schema.feature_names if name in text.columns]
        derivations = [schema[name].derive for name in schema.feature_names]
        sources = {str(rule["from"]) for rule in derivations if rule is not None}
        for name in text.columns:
            if name in modelled or name in latent or name in sources:
                continue
            role = schema[name].role if name in schema else "identifier"
            rare = _rare_values(text[name], self.patients)
            self.phrases |= {
                value.strip().lower() for value in rare if len(value.strip()) >= 16 and " " in value.strip()
            }
            self.names |= _names_of(text[name], self.patients, role=role)
        numeric = [name for name in text.columns if name not in latent]
        self.numbers = rare_numbers(text[numeric], self.patients)
        self.table = text[modelled]
        self.latents = _latents(raw)
        self._read_rare(schema)

    def _read_rare(self, schema: RecordSchema | None = None) -> None:
        """Gather the categories of few patients."""
        for name in self.table.columns:
            numeric = pd.to_numeric(self.table[name], errors="coerce").notna().mean() > 0.5
            if numeric or (schema is not None and schema[name].is_numeric):
                continue
            separator = (schema[name].separator if schema is not None else None) or "|"
            pairs = pd.DataFrame(
                {"value": self.table[name].str.split(separator, regex=False), "patient": self.patients}
            )
            counts = pairs.explode("value").drop_duplicates()["value"].value_counts()
            rare = {str(value) for value, count in counts.items() if count < MINIMUM_PATIENTS and len(str(value)) >= 4}
            if rare:
                self.categories[name] = rare

    def _read_images(self, folder: Path, raw: pd.DataFrame, schema: RecordSchema) -> None:
        """Gather fingerprints; an image that cannot be read is left to the cohort's own checks."""
        image_name = schema.image_name or "image"
        paths = [folder / str(name) for name in raw.get(image_name, [])]
        paths = [path for path in paths if path.is_file() and path.name.lower().endswith(IMAGE_SUFFIXES)]
        prints = []
        for path in paths:
            try:
                pixels = read_image(path).pixels
                prints.append(fingerprints([pixels.reshape(-1, *pixels.shape[-2:])[0]]))
            except (ValueError, OSError):
                continue
        if prints:
            self.images = np.concatenate(prints)
            self._centre_images()

    def _centre_images(self) -> None:
        """Take the mean image off, and learn how alike the images of different patients are."""
        self.mean_image = self.images.mean(axis=0) if len(self.images) > 1 else self.mean_image
        self.images = self.images - self.mean_image
        normed = normed_rows(self.images)
        if len(normed) == len(self.patients) and len(normed) > 20:
            alike = normed @ normed.T
            alike[self.patients[:, None] == self.patients[None, :]] = -1.0
            self.copy_threshold = float(np.clip(np.quantile(alike.max(axis=1), 0.95) + 0.02, 0.97, 0.99))


def fingerprints(images: list[np.ndarray]) -> np.ndarray:
    """Return images of any size, padded to squares and averaged to ``SIDE`` pixels, each with mean 0 and spread 1."""
    found = np.zeros((len(images), SIDE * SIDE), dtype=np.float32)
    for number, image in enumerate(images):
        grey = torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32))[None, None]
        height, width = grey.shape[-2:]
        side = max(height, width)
        left, top = (side - width) // 2, (side - height) // 2
        grey = torch.nn.functional.pad(
            grey, (left, side - width - left, top, side - height - top), value=float(grey.min())
        )
        small = torch.nn.functional.interpolate(grey, (SIDE, SIDE), mode="area").flatten()
        found[number] = ((small - small.mean()) / (small.std() + 1e-6)).numpy()
    return found


def normed_rows(rows: np.ndarray) -> np.ndarray:
    """Return rows of length one."""
    return rows / (np.linalg.norm(rows, axis=1, keepdims=True) + 1e-12)


def name_parts(word: str) -> set[str]:
    """Return a word and all its runs of parts between ``_``, ``-`` and ``.``, at least five characters long."""
    parts = re.split(r"([_\-.])", word)
    runs = {
        "".join(parts[start:stop])
        for start in range(0, len(parts), 2)
        for stop in range(start + 1, min(len(parts), start + 12) + 1, 2)
    }
    return {run.lower() for run in runs if len(run) >= SHORTEST_NAME}


def rare_numbers(table: pd.DataFrame, patients: np.ndarray) -> np.ndarray:
    """Return numbers of at least five significant digits that fewer than five patients have."""
    found: set[float] = set()
    for name in table.columns:
        text = table[name].astype(str).str.strip()
        precise = text.str.fullmatch(r"[+-]?\d*\.?\d+(?:[eE][+-]?\d+)?") & (
            text.str.replace(r"[eE].*|\D", "", regex=True).str.strip("0").str.len() >= 5
        )
        found |= {float(value) for value in _rare_values(text[precise], patients[precise.to_numpy()])}
    return np.array(sorted(value for value in found if abs(value) < 1e30))


def _rare_values(values: pd.Series, patients: np.ndarray) -> list[str]:
    """Return the values that fewer than five patients have."""
    counts = pd.DataFrame({"value": values, "patient": patients}).drop_duplicates()["value"].value_counts()
    return [str(value) for value, count in counts.items() if count < MINIMUM_PATIENTS]


def _names_of(values: pd.Series, patients: np.ndarray, *, role: str) -> set[str]:
    """Return searchable names that few patients share; running numbers such as 000012 name nobody.

    Words without a digit count only in identifying columns: elsewhere they are vocabulary.
    """
    owners: dict[str, set[str]] = {}
    for value, patient in zip(values, patients, strict=True):
        pieces = [Path(value).name] if role == "image" else re.split(r"[\\/\s^,;]+", value)
        for piece in pieces:
            stem = re.sub(r"\.[A-Za-z]{2,5}(?:\.gz)?$", "", piece)
            for word in WORD.findall(stem):
                owners.setdefault(word.lower(), set()).add(patient)
    words = {word for word, found in owners.items() if len(word) >= SHORTEST_NAME and len(found) < MINIMUM_PATIENTS}
    digits = {word for word in words if word.isdigit()}
    if digits and max(int(word) for word in digits) < 4 * len(values) + 10:
        words -= digits
    named = role in ("identifier", "group")
    return {word for word in words if any(letter.isdigit() for letter in word) or named}


def _latents(table: pd.DataFrame) -> np.ndarray | None:
    """Return the latent columns of a table, if it has any."""
    names = [name for name in table.columns if re.fullmatch(r"latent_\d+", str(name))]
    return table[names].to_numpy(dtype=float) if names else None
