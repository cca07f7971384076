"""What every test shares: one thread a process, a cohort of random pictures, the real cohorts if at hand."""

from __future__ import annotations

import json
import os
from pathlib import Path

# Before torch is imported: the suite runs in two processes on two cores, more threads only compete.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from monai_hybridsynth.networks import AlphaGanEncoder, AlphaGanGenerator

REAL_DATA_VARIABLE = "HYBRIDSYNTH_REAL_DATA"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of real cohorts, or skip the test and say how to run it."""
    folder = os.environ.get(REAL_DATA_VARIABLE)
    if not folder:
        pytest.skip(f"real cohorts are not at hand: set {REAL_DATA_VARIABLE} to the folder that holds them")
    path = Path(folder).resolve()
    if not path.is_dir():
        pytest.skip(f"{REAL_DATA_VARIABLE}={folder} is not a folder")
    return path


@pytest.fixture(scope="session")
def repository() -> Path:
    """Return the root of the source tree, where setup.cfg and the bundles lie."""
    return Path(__file__).resolve().parents[1]


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


@pytest.fixture(scope="session")
def make_cohort():
    """Return `write_cohort`, for cohorts of other sizes."""
    return write_cohort


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
