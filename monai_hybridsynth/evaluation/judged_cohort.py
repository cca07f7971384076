"""A cohort as the evaluation sees it: its rows, its image features, its patients."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from monai_hybridsynth.data import Cohort, RecordSchema, read_cohort
from monai_hybridsynth.metrics import record_weights
from monai_hybridsynth.transforms import load_images

__all__ = [
    "CODES",
    "JudgedCohort",
    "embed_cohort",
    "limited_rows",
    "read_real_cohort",
    "read_synthetic_cohort",
    "tolerant_schema",
]

IMAGES_AT_ONCE = 256
CODES = "codes"


@dataclass(frozen=True)
class JudgedCohort:
    """One cohort with everything the metrics need.

    Attributes:
        name: as it stands in metrics.json.
        role: ``train``, ``holdout`` or ``synthetic``.
        cohort: the folder, read.
        features: images as the judge embeds them, float64 ``(rows, F)``.
        groups: patient of each row; every row its own where the cohort names no patients.
        manifest: the synthetic cohort's ``manifest.json``, if any.
        pixels: the images themselves, uint8 ``(rows, C, S, S)``, 0 for -1 and 255 for 1; empty where none were kept.
        spaces: further embeddings by name, float64 ``(rows, F)``: ``texture`` (untrained convolutions) always,
            ``supervised`` and ``encoder`` where they were asked for.
        codes: images as the generator's own encoder leaves them, float64 ``(rows, latent_dim)``; empty without one.
            The space ``encoder`` is made of the training images' components of them; no component is fitted here.
    """

    name: str
    role: str
    cohort: Cohort
    features: np.ndarray
    groups: np.ndarray
    manifest: dict[str, Any] | None = None
    pixels: np.ndarray = field(default_factory=lambda: np.zeros((0, 1, 0, 0), dtype=np.uint8))
    spaces: Mapping[str, np.ndarray] = field(default_factory=dict)
    codes: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))

    @property
    def table(self) -> pd.DataFrame:
        """Parsed rows."""
        return self.cohort.table

    @property
    def weights(self) -> np.ndarray:
        """One per patient, shared by the patient's rows, shape ``(rows,)``."""
        return record_weights(self.groups)

    @property
    def num_groups(self) -> int:
        """Patients of a real cohort, records of a synthetic one."""
        return len(np.unique(self.groups))

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self.cohort)

    def images(self, rows: Sequence[int] | np.ndarray | slice = slice(None)) -> torch.Tensor:
        """Return images of the given rows, float32 ``(N, C, S, S)`` in [-1, 1]."""
        return torch.from_numpy(np.asarray(self.pixels[rows])).float().div_(127.5).sub_(1.0)

    def limited(self, count: int, *, seed: int) -> JudgedCohort:
        """Return the cohort itself, or a random part of it with ``count`` records."""
        return self if len(self) <= count else self.subset(limited_rows(len(self), count, seed=seed))

    def subset(self, rows: np.ndarray) -> JudgedCohort:
        """Return the records at the given positions, in that order."""
        cohort = replace(
            self.cohort,
            table=self.table.iloc[rows].reset_index(drop=True),
            image_paths=[self.cohort.image_paths[row] for row in rows],
        )
        return replace(
            self,
            cohort=cohort,
            features=self.features[rows],
            groups=self.groups[rows],
            pixels=self.pixels[rows] if len(self.pixels) else self.pixels,
            spaces={name: space[rows] for name, space in self.spaces.items()},
            codes=self.codes[rows] if len(self.codes) else self.codes,
        )

    def summary(self) -> dict[str, Any]:
        """Return what metrics.json says about the cohort."""
        named = self.cohort.schema.group_name in self.table.columns if self.cohort.schema.group_name else False
        return {
            "role": self.role,
            "records": len(self),
            "patients": self.num_groups if named else None,
            "manifest": self.manifest,
        }


def limited_rows(count: int, maximum: int, *, seed: int) -> np.ndarray:
    """Return the rows ``0 ... count - 1``, or a random part of them in order, shape ``(min(count, maximum),)``."""
    if count <= maximum:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).permutation(count)[:maximum])


def tolerant_schema(schema: RecordSchema) -> RecordSchema:
    """Return the schema without limits, categories, required values and rules between columns.

    A synthetic cohort that breaks a constraint shall be read and counted, not refused.
    """
    fields = []
    for entry in schema:
        if entry.is_modelled:
            entry = replace(
                entry,
                minimum=None,
                maximum=None,
                enum=entry.enum if entry.kind == "ordinal" else None,
                required=False,
                on_invalid="missing",
                blank_means=None,
                derive=None,
            )
        fields.append(entry)
    return RecordSchema(fields, schema.image)


def read_real_cohort(folder: str | Path, *, schema: RecordSchema | None = None) -> Cohort:
    """Return a prepared cohort; the schema of the training cohort reads the holdout too."""
    cohort = read_cohort(folder, schema=schema)
    if not len(cohort):
        raise ValueError(f"{folder} has no records; evaluation needs at least one.")
    return cohort


def read_synthetic_cohort(folder: str | Path, schema: RecordSchema) -> tuple[Cohort, dict[str, Any] | None]:
    """Return a synthetic cohort read with the training cohort's columns and its own image scaling, and its manifest.

    Args:
        folder: synthetic cohort folder.
        schema: of the training cohort.

    Raises:
        CohortError: if a column of the schema is absent.
    """
    folder = Path(folder)
    own = folder / "schema.json"
    image = RecordSchema.load(own).image if own.is_file() else schema.image
    cohort = read_cohort(folder, schema=tolerant_schema(schema).with_image(image))
    if not len(cohort):
        raise ValueError(f"{folder} has no records; evaluation needs at least one.")
    manifest = folder / "manifest.json"
    return cohort, json.loads(manifest.read_text(encoding="utf-8")) if manifest.is_file() else None


def row_groups(cohort: Cohort, role: str) -> np.ndarray:
    """Return each row's patient, object ``(rows,)``; a row without one stands alone."""
    name = cohort.schema.group_name
    rows = np.array([f"{role} row {position}" for position in range(len(cohort))], dtype=object)
    if role == "synthetic" or name is None or name not in cohort.table.columns:
        return rows
    patients = cohort.table[name]
    return np.where(patients.isna(), rows, patients.astype(str)).astype(object)


def embed_cohort(
    cohort: Cohort,
    features: Callable[[torch.Tensor], torch.Tensor],
    *,
    name: str,
    role: str,
    spatial_size: int,
    spaces: Mapping[str, Callable[[torch.Tensor], torch.Tensor]] | None = None,
    codes: Callable[[torch.Tensor], torch.Tensor] | None = None,
    manifest: dict[str, Any] | None = None,
    progress: Callable[[int], Any] = lambda done: None,
) -> JudgedCohort:
    """Read and embed a cohort's images block by block; what is kept of an image is one byte per pixel.

    Args:
        cohort: read cohort.
        features: the judge, images ``(B, C, S, S)`` in [-1, 1] to ``(B, F)``.
        name: as it stands in metrics.json.
        role: ``train``, ``holdout`` or ``synthetic``.
        spatial_size: edge of the images that ``features`` takes.
        spaces: further embeddings by name.
        codes: the generator's own encoder.
        manifest: of a synthetic cohort.
        progress: called with the number of images just embedded.
    """
    embeddings = {"": features, **(spaces or {}), **({} if codes is None else {CODES: codes})}
    found: dict[str, list[np.ndarray]] = {space: [] for space in embeddings}
    pixels = []
    for start in range(0, len(cohort), IMAGES_AT_ONCE):
        paths = cohort.image_paths[start : start + IMAGES_AT_ONCE]
        images = load_images(paths, cohort.schema.image, spatial_size=spatial_size)
        pixels.append(((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).numpy())
        with torch.no_grad():
            for space, embedding in embeddings.items():
                found[space].append(embedding(images).double().numpy())
        progress(len(paths))
    joined = {space: np.concatenate(blocks) for space, blocks in found.items()}
    seen, groups, coded = joined.pop(""), row_groups(cohort, role), joined.pop(CODES, np.zeros((0, 0)))
    return JudgedCohort(name, role, cohort, seen, groups, manifest, np.concatenate(pixels), joined, coded)
