"""A cohort of random pictures, small enough to be encoded in milliseconds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from monai_hybridsynth.networks import AlphaGanEncoder, AlphaGanGenerator


def write_cohort(folder: Path, num_records: int = 11, *, seed: int = 0, spatial_size: int = 16) -> Path:
    """Write a cohort whose brightness follows the column ``bright``, with a schema."""
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    table = pd.DataFrame(
        {
            "image": [f"images/{index}.png" for index in range(num_records)],
            "patient_id": [f"p{index // 2}" for index in range(num_records)],
            "age": rng.integers(20, 90, num_records).astype(str),
            "bright": np.where(rng.random(num_records) < 0.5, "yes", "no"),
        }
    )
    table.loc[1, "age"] = ""
    for name, bright in zip(table["image"], table["bright"], strict=True):
        low, high = (100, 255) if bright == "yes" else (0, 155)
        pixels = rng.integers(low, high, (spatial_size, spatial_size), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)
    table.to_csv(folder / "records.csv", index=False)
    fields = [
        {"name": "image", "type": "string", "kind": "categorical", "role": "image"},
        {"name": "patient_id", "type": "string", "kind": "categorical", "role": "group"},
        {"name": "age", "type": "number", "kind": "continuous", "role": "feature", "unit": "a"},
        {
            "name": "bright",
            "type": "string",
            "kind": "binary",
            "role": "target",
            "constraints": {"enum": ["no", "yes"]},
        },
    ]
    image = {"modality": "cxr", "scaling": {"kind": "range", "minimum": 0, "maximum": 255}}
    (folder / "schema.json").write_text(json.dumps({"version": 1, "fields": fields, "image": image}))
    return folder


@pytest.fixture
def cohort_folder(tmp_path) -> Path:
    """Return a cohort folder of 11 records of 6 patients."""
    return write_cohort(tmp_path / "cohort")


@pytest.fixture
def encoder() -> torch.nn.Module:
    """Return an untrained encoder, 16 pixels to 6 latents."""
    torch.manual_seed(1)
    return AlphaGanEncoder(2, 1, 16, latent_dim=6, channels=4)


@pytest.fixture
def generator() -> torch.nn.Module:
    """Return an untrained generator, 6 latents to 16 pixels."""
    torch.manual_seed(2)
    return AlphaGanGenerator(2, 1, 16, latent_dim=6, channels=4)
