"""A folder of images on which an encoder is pretrained, split into training and validation."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from .cohort_folder import read_cohort
from .record_schema import ImageSettings

__all__ = ["ImagePool", "read_image_pool"]


@dataclass(frozen=True)
class ImagePool:
    """Images for pretraining.

    Attributes:
        training: ``{"image": path}`` per training image.
        validation: likewise, images of other patients.
        image: how the pixels are to be read.
        fingerprint: SHA-256 of the file list and the split; tells one training's data from another's.
    """

    training: list[dict[str, str]]
    validation: list[dict[str, str]]
    image: ImageSettings
    fingerprint: str


def read_image_pool(folder: str | Path, *, validation_images: int = 500, seed: int = 0) -> ImagePool:
    """List the images of a cohort folder, and set whole patients aside for validation.

    Rows without a patient identifier count as patients of their own (public pools often lack one).

    Args:
        folder: a cohort folder; clinical columns are not needed.
        validation_images: images to set aside, at least; at most half of the pool.
        seed: seed of the split.

    Raises:
        ValueError: if the folder has fewer than two images or patients.
    """
    cohort = read_cohort(folder)
    paths = [str(path) for path in cohort.image_paths]
    group = cohort.schema.group_name
    patients = [f"image {row}" for row in range(len(paths))]
    if group is not None:
        known = cohort.table[group]
        patients = [own if pd.isna(value) else str(value) for value, own in zip(known, patients, strict=True)]
    order = sorted(set(patients))
    if len(order) < 2:
        raise ValueError(f"{folder} has {len(paths)} images of {len(order)} patients; pretraining needs at least two.")
    np.random.default_rng(seed).shuffle(order)
    wanted = min(validation_images, len(paths) // 2)
    counts = Counter(patients)
    set_aside: set[str] = set()
    held = 0
    for patient in order:
        if held >= wanted:
            break
        set_aside.add(patient)
        held += counts[patient]
    names = [
        Path(path).name + ("|validation" if p in set_aside else "") for path, p in zip(paths, patients, strict=True)
    ]
    return ImagePool(
        training=[{"image": path} for path, p in zip(paths, patients, strict=True) if p not in set_aside],
        validation=[{"image": path} for path, p in zip(paths, patients, strict=True) if p in set_aside],
        image=cohort.schema.image,
        fingerprint=hashlib.sha256("\n".join(names).encode()).hexdigest(),
    )
