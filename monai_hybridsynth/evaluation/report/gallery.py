"""Galleries of the report: records side by side, the closest pairs, broken images, and what predictors look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from monai_hybridsynth.data import RecordSchema
from monai_hybridsynth.evaluation.judged_cohort import JudgedCohort
from monai_hybridsynth.transforms import load_images

__all__ = [
    "OccludedImage",
    "Picture",
    "PicturePair",
    "closest_pairs",
    "display_size",
    "draw_gallery",
    "listed_pairs",
    "occluded_images",
    "row_caption",
]

PAIR_WORDS = {"correlation": "correlation", "distance": "relative distance"}
NUM_CAPTION_VALUES = 5
# Closest pairs are searched among this many records where no stage has listed them.
MAXIMUM_SEARCHED = 5000
WARM, COLD = np.array([255, 140, 0]), np.array([60, 140, 255])


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
class PicturePair:
    """A record, the training record closest to it, and in words how close they are."""

    record: Picture
    nearest: Picture
    words: str


@dataclass(frozen=True)
class OccludedImage:
    """An image, and how much its places matter to predictors trained on held-out patients and on synthetic records."""

    target: str
    image: Picture
    real: Picture
    synthetic: Picture


def row_caption(schema: RecordSchema, row: pd.Series) -> tuple[str, ...]:
    """Return a row's first values, targets before features, as ``column value`` texts; missing values are left out."""
    names = [*schema.target_names, *(name for name in schema.feature_names if name not in schema.target_names)]
    texts = []
    for name in names:
        value = row[name]
        if pd.isna(value):
            continue
        field = schema[name]
        if field.is_numeric and not np.isfinite(float(value)):
            texts.append(f"{name}: below detection")
            continue
        text = f"{float(value):.4g}" if field.is_numeric else str(value).replace(field.separator or "|", ", ")
        unit = {"a": "years", "d": "days", "1": ""}.get(field.unit or "", field.unit or "")
        texts.append(f"{name}: {text}{' ' + unit if unit else ''}")
    return tuple(texts[:NUM_CAPTION_VALUES])


def display_size(cohorts: Sequence[JudgedCohort]) -> int:
    """Return the edge at which all images are shown: that of the synthetic ones, between 64 and 256 pixels."""
    with Image.open(cohorts[0].cohort.image_paths[0]) as first:
        return int(np.clip(max(first.size), 64, 256))


def _greys(cohort: JudgedCohort, rows: Sequence[int], size: int) -> np.ndarray:
    """Return the first channel of some images, uint8 ``(N, size, size)``."""
    paths = [cohort.cohort.image_paths[row] for row in rows]
    if not paths:
        return np.zeros((0, size, size), dtype=np.uint8)
    images = load_images(paths, cohort.cohort.schema.image, spatial_size=size).numpy()[:, 0]
    return ((images + 1) * 127.5).round().clip(0, 255).astype(np.uint8)


def draw_gallery(
    cohort: JudgedCohort, rows: Sequence[int], schema: RecordSchema, folder: Path, *, prefix: str, size: int
) -> list[Picture]:
    """Write the images of some rows as PNG into ``folder/images`` and return them with captions."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    pictures = []
    for place, (row, pixels) in enumerate(zip(rows, _greys(cohort, rows, size), strict=True)):
        # Numbered by place: a row's number would point into the private cohort.
        name = f"images/{prefix}_{place:03d}.png"
        Image.fromarray(pixels).save(folder / name)
        pictures.append(Picture(name, row_caption(schema, cohort.table.iloc[row])))
    return pictures


def _pairs(
    cohort: JudgedCohort,
    train: JudgedCohort,
    rows: Sequence[tuple[int, int, str]],
    folder: Path,
    *,
    prefix: str,
    size: int,
) -> list[PicturePair]:
    schema = train.cohort.schema
    left = draw_gallery(cohort, [row[0] for row in rows], schema, folder, prefix=f"{prefix}_close", size=size)
    right = draw_gallery(train, [row[1] for row in rows], schema, folder, prefix=f"{prefix}_train", size=size)
    return [PicturePair(a, b, row[2]) for a, b, row in zip(left, right, rows, strict=True)]


def listed_pairs(
    cohort: JudgedCohort,
    train: JudgedCohort,
    listed: Sequence[Mapping[str, Any]],
    folder: Path,
    *,
    prefix: str,
    size: int,
) -> list[PicturePair]:
    """Return the pairs that the search for copies listed, in its order.

    Args:
        cohort: whose rows stand under ``synthetic`` or ``holdout``.
        train: whose rows stand under ``train``.
        listed: mappings with both rows, ``correlation``, ``distance`` and ``transform``.
        folder: of the page.
        prefix: of file names.
        size: edge in pixels.
    """
    rows = []
    for pair in listed:
        row = pair["synthetic"] if "synthetic" in pair else pair["holdout"]
        words = [f"{text} {pair[key]:.2f}" for key, text in PAIR_WORDS.items() if pair.get(key) is not None]
        transform = str(pair.get("transform") or "")
        if transform and transform not in ("none", "identity"):
            words.append(transform)
        rows.append((int(row), int(pair["train"]), ", ".join(words)))
    return _pairs(cohort, train, rows, folder, prefix=prefix, size=size)


def closest_pairs(
    cohort: JudgedCohort, train: JudgedCohort, folder: Path, *, prefix: str, size: int, count: int = 6
) -> list[PicturePair]:
    """Return the records that lie closest to a training image in the judge's features, closest first."""
    from sklearn.neighbors import NearestNeighbors

    search = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(train.features)
    found, places = search.kneighbors(cohort.features[:MAXIMUM_SEARCHED])
    distances, indices = found[:, 0], places[:, 0]
    chosen = np.argsort(distances, kind="stable")[:count]
    rows = [(int(row), int(indices[row]), f"distance {distances[row]:.2f}") for row in chosen]
    return _pairs(cohort, train, rows, folder, prefix=prefix, size=size)


def occluded_images(
    holdout: JudgedCohort, listed: Sequence[Mapping[str, Any]], folder: Path, *, prefix: str, size: int
) -> list[OccludedImage]:
    """Return held-out images with their occlusion maps: orange speaks for the target, blue against it.

    Args:
        holdout: whose images were occluded.
        listed: mappings with ``row``, ``target`` and two maps, ``real`` and ``synthetic``, rows of numbers.
        folder: of the page.
        prefix: of file names.
        size: edge in pixels.
    """
    schema = holdout.cohort.schema
    plain = draw_gallery(
        holdout, [one["row"] for one in listed], schema, folder, prefix=f"{prefix}_occluded", size=size
    )
    greys = _greys(holdout, [one["row"] for one in listed], size)
    shown = []
    for place, (one, picture, grey) in enumerate(zip(listed, plain, greys, strict=True)):
        sides = []
        for side in ("real", "synthetic"):
            name = f"images/{prefix}_occlusion_{side}_{place:03d}.png"
            Image.fromarray(_overlay(grey, np.asarray(one[side], dtype=float))).save(folder / name)
            sides.append(Picture(name, ("trained on held-out patients" if side == "real" else "trained on synthetic",)))
        shown.append(OccludedImage(str(one["target"]), picture, sides[0], sides[1]))
    return shown


def _overlay(grey: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return a grey image with a signed map on it, uint8 ``(S, S, 3)``; its own largest value is opaque."""
    values = np.nan_to_num(values)
    scale = float(np.abs(values).max()) or 1.0
    small = Image.fromarray((values / scale).astype(np.float32), mode="F")
    signed = np.asarray(small.resize((grey.shape[1], grey.shape[0]), Image.Resampling.BICUBIC)).clip(-1, 1)
    strength = 0.75 * np.abs(signed)[..., None]
    colour = np.where(signed[..., None] >= 0, WARM, COLD)
    return ((1 - strength) * grey[..., None] + strength * colour).round().clip(0, 255).astype(np.uint8)
