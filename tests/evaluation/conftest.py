"""Cohorts with a known link between image features and row, in memory and on disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from monai_hybridsynth.data import (
    Cohort,
    CohortWriter,
    ImageSettings,
    RecordField,
    RecordSchema,
    phantom_schema,
)
from monai_hybridsynth.data import draw_images as draw_phantom_images
from monai_hybridsynth.data import draw_rows as draw_phantom_rows
from monai_hybridsynth.evaluation.judged_cohort import JudgedCohort, row_groups
from monai_hybridsynth.features import PixelPCA, RandomConvolutionFeatures

NUM_FEATURES = 12


@pytest.fixture(scope="session")
def schema() -> RecordSchema:
    """Sex and age follow the image, the laboratory value is censored and mostly missing, smoking is unrelated."""
    return RecordSchema(
        [
            RecordField("image", role="image"),
            RecordField("patient_id", role="group"),
            RecordField("sex", kind="binary", role="target", enum=("f", "m")),
            RecordField("age", "number", kind="continuous", role="target", unit="a", minimum=0, maximum=120),
            RecordField("labels", kind="multilabel", separator="|", enum=("none", "wet", "dry")),
            RecordField("crp", "number", kind="continuous", censored=True, unit="mg/L"),
            RecordField("smoker", kind="categorical", enum=("no", "yes", "former")),
        ],
        ImageSettings(scaling={"kind": "range", "minimum": 0.0, "maximum": 255.0}),
    )


def draw_rows(count: int, rng: np.random.Generator) -> tuple[pd.DataFrame, np.ndarray]:
    """Return rows and the features that go with them; the first three carry sex, age and labels."""
    features = rng.normal(size=(count, NUM_FEATURES))
    crp = np.exp(rng.normal(size=count)) * 10
    crp[rng.random(count) < 0.2] = -np.inf
    crp[rng.random(count) < 0.4] = np.nan
    wet, dry = features[:, 2] + rng.normal(size=count) > 0.8, rng.random(count) < 0.2
    labels = [
        "|".join(n for n, yes in (("wet", w), ("dry", d)) if yes) or "none" for w, d in zip(wet, dry, strict=True)
    ]
    table = pd.DataFrame(
        {
            "sex": np.where(1.5 * features[:, 0] + rng.normal(size=count) > 0, "m", "f").astype(object),
            "age": np.clip(50 + 15 * features[:, 1] + 8 * rng.normal(size=count), 0, 120),
            "labels": np.array(labels, dtype=object),
            "crp": crp,
            "smoker": rng.choice(np.array(["no", "yes", "former"], dtype=object), count),
        }
    )
    return table, features


@pytest.fixture(scope="session")
def judged(schema) -> Callable[..., JudgedCohort]:
    """Return a function that draws a cohort in memory; ``shuffled`` breaks the pairing."""

    def draw(role: str, count: int, seed: int, *, shuffled: bool = False, name: str | None = None) -> JudgedCohort:
        rng = np.random.default_rng(seed)
        table, features = draw_rows(count, rng)
        if shuffled:
            features = features[rng.permutation(count)]
        groups = np.array(
            [f"{role} {seed} {row // 2 if role == 'train' else row}" for row in range(count)], dtype=object
        )
        if role != "synthetic":
            table.insert(0, "patient_id", groups)
        cohort = Cohort(Path(role), schema, table, [Path(f"{row}.png") for row in range(count)])
        return JudgedCohort(name or role, role, cohort, features, groups)

    return draw


def draw_images(table: pd.DataFrame, features: np.ndarray, size: int = 16) -> np.ndarray:
    """Return uint8 ``(N, 1, S, S)`` whose brightness, tilt and spot follow the first features."""
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    waves = [x, y, x * y, np.cos(3 * x), np.cos(3 * y), np.sin(4 * x), np.sin(4 * y), x**2, y**2, x**3, y**3, x**2 * y]
    images = 128 + 22 * np.tensordot(features, np.stack(waves[:NUM_FEATURES]), axes=1)
    return np.clip(images, 0, 255).astype(np.uint8)[:, None]


@pytest.fixture(scope="session")
def folders(schema, tmp_path_factory) -> dict[str, Path]:
    """Write train, holdout, an honest synthetic cohort and one with broken pairing."""
    root = tmp_path_factory.mktemp("cohorts")
    for seed, (name, count) in enumerate({"train": 120, "holdout": 60, "honest": 150, "unmatched": 150}.items()):
        rng = np.random.default_rng(seed)
        table, features = draw_rows(count, rng)
        images = draw_images(table, features)
        if name in ("honest", "unmatched"):
            order = rng.permutation(count) if name == "unmatched" else np.arange(count)
            with CohortWriter(root / name, schema) as writer:
                writer.append(table, images[order])
                writer.close({"generator": "a <b>test</b>", "seed": seed})
            continue
        (root / name / "images").mkdir(parents=True)
        paths = [f"images/{row}.png" for row in range(count)]
        for path, pixels in zip(paths, images, strict=True):
            Image.fromarray(pixels[0]).save(root / name / path)
        table.insert(0, "image", paths)
        table.insert(1, "patient_id", [f"{name}{row // 2}" for row in range(count)])
        table.to_csv(root / name / "records.csv", index=False)
        schema.save(root / name / "schema.json")
    return {path.name: path for path in root.iterdir()}


def side_of(name: str, role: str, table: pd.DataFrame, pixels: np.ndarray, schema: RecordSchema) -> JudgedCohort:
    """Return a judged cohort of the given rows and images uint8 ``(N, 1, S, S)``."""
    table = table.reset_index(drop=True)
    cohort = Cohort(Path(name), schema, table, [Path(f"{row}.png") for row in range(len(table))])
    texture = RandomConvolutionFeatures(1, channels=4, num_scales=3)(torch.from_numpy(pixels).float() / 127.5 - 1)
    spaces = {"texture": texture.double().numpy()}
    return JudgedCohort(name, role, cohort, np.zeros((len(table), 1)), row_groups(cohort, role), None, pixels, spaces)


def phantom_side(role: str, count: int, *, seed: int) -> JudgedCohort:
    """Return a cohort of fresh phantom patients at 32 pixels."""
    table = draw_phantom_rows(count, seed=seed)
    pixels = draw_phantom_images(table, spatial_size=32, seed=seed)[:, None]
    table["patient_id"] = [f"{seed} {patient}" for patient in table["patient_id"]]
    return side_of(role, role, table, pixels, phantom_schema("paper"))


def joined_side(rows_of: JudgedCohort, rows: np.ndarray, images_of: JudgedCohort, images: np.ndarray) -> JudgedCohort:
    """Return a synthetic cohort of one cohort's rows on another one's images."""
    table = rows_of.table.iloc[rows].drop(columns="patient_id")
    return side_of("made", "synthetic", table, images_of.pixels[images], rows_of.cohort.schema)


@pytest.fixture(scope="session")
def phantoms() -> SimpleNamespace:
    """Return what makes phantom cohorts in memory and joins rows of one to images of another."""
    return SimpleNamespace(draw=phantom_side, join=joined_side, of=side_of)


@pytest.fixture(scope="session")
def pictured(judged) -> Callable[..., JudgedCohort]:
    """Return a function that draws a cohort in memory with grainy images of 32 pixels and their texture.

    ``change`` takes and returns uint8 pixels ``(N, 1, 32, 32)``; the judge's features follow the changed images.
    """
    texture = RandomConvolutionFeatures()
    judge = PixelPCA(10).fit(_grainy(judged("train", 120, 1), 1).float().div(127.5) - 1)

    def draw(role: str, count: int, seed: int, *, change: Callable | None = None, name: str | None = None):
        side = judged(role, count, seed, name=name)
        pixels = _grainy(side, seed).numpy()
        pixels = pixels if change is None else change(pixels)
        images = torch.from_numpy(pixels).float().div(127.5) - 1
        features, spaces = judge(images).double().numpy(), {"texture": texture(images).double().numpy()}
        return replace(side, features=features, pixels=pixels, spaces=spaces)

    return draw


def _grainy(side: JudgedCohort, seed: int) -> torch.Tensor:
    smooth = draw_images(side.table, side.features, size=32)
    grain = np.random.default_rng(seed).normal(scale=6, size=smooth.shape)
    return torch.from_numpy(np.clip(smooth + grain, 0, 255).astype(np.uint8))
