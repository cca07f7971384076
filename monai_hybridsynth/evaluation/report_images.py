"""Galleries of the report: real and synthetic records side by side, and the closest pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from monai_hybridsynth.data import RecordSchema
from monai_hybridsynth.evaluation.judged_cohort import JudgedCohort
from monai_hybridsynth.evaluation.nearness import closest_training_rows
from monai_hybridsynth.transforms import load_images

__all__ = ["ClosePair", "Picture", "closest_pairs", "draw_gallery", "display_size", "row_caption"]

NUM_CAPTION_VALUES = 5


@dataclass(frozen=True)
class Picture:
    """One image of a gallery.

    Attributes:
        path: relative to the page.
        caption: the row's values, one text each.
    """

    path: str
    caption: tuple[str, ...]


@dataclass(frozen=True)
class ClosePair:
    """A record and the training record closest to it."""

    record: Picture
    nearest: Picture
    distance: float


def row_caption(schema: RecordSchema, row: pd.Series) -> tuple[str, ...]:
    """Return a row's first values, targets before features, as ``column value`` texts; missing values are left out."""
    names = [*schema.target_names, *(name for name in schema.feature_names if name not in schema.target_names)]
    texts = []
    for name in names:
        value = row[name]
        if pd.isna(value):
            continue
        field = schema[name]
        text = f"{float(value):.4g}" if field.is_numeric else str(value).replace(field.separator or "|", ", ")
        unit = {"a": "years", "d": "days"}.get(field.unit or "", field.unit or "")
        texts.append(f"{name}: {text}{' ' + unit if unit else ''}")
    return tuple(texts[:NUM_CAPTION_VALUES])


def display_size(cohorts: Sequence[JudgedCohort]) -> int:
    """Return the edge at which all images are shown: that of the synthetic ones, between 64 and 256 pixels."""
    with Image.open(cohorts[0].cohort.image_paths[0]) as first:
        return int(np.clip(max(first.size), 64, 256))


def draw_gallery(
    cohort: JudgedCohort, rows: Sequence[int], schema: RecordSchema, folder: Path, *, prefix: str, size: int
) -> list[Picture]:
    """Write the images of some rows as PNG into ``folder/images`` and return them with captions."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    images = load_images(
        [cohort.cohort.image_paths[row] for row in rows], cohort.cohort.schema.image, spatial_size=size
    )
    pictures = []
    for row, image in zip(rows, images, strict=True):
        pixels = ((image[0].numpy() + 1) * 127.5).round().clip(0, 255).astype(np.uint8)
        name = f"images/{prefix}_{row:06d}.png"
        Image.fromarray(pixels).save(folder / name)
        pictures.append(Picture(name, row_caption(schema, cohort.table.iloc[row])))
    return pictures


def closest_pairs(
    cohort: JudgedCohort, train: JudgedCohort, folder: Path, *, prefix: str, size: int, count: int = 6
) -> list[ClosePair]:
    """Return the records that lie closest to a training image, closest first, each with that image."""
    distances, indices = closest_training_rows(cohort.features[:5000], train.features)
    chosen = np.argsort(distances, kind="stable")[:count]
    schema = train.cohort.schema
    left = draw_gallery(cohort, chosen.tolist(), schema, folder, prefix=f"{prefix}_close", size=size)
    right = draw_gallery(train, indices[chosen].tolist(), schema, folder, prefix=f"{prefix}_train", size=size)
    return [
        ClosePair(record, nearest, float(distances[row]))
        for record, nearest, row in zip(left, right, chosen, strict=True)
    ]
