"""Small cohorts of a study: a patch somewhere in noise is the finding; replicas as the bundle writes them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from diffusers import DDIMScheduler
from PIL import Image
from torch import nn

from monai_hybridsynth.data import read_cohort
from monai_hybridsynth.inferers import GuidedDiffusionInferer
from monai_hybridsynth.studies import ClassifierTraining, StudyCohorts, SupplementationStudy
from monai_hybridsynth.transforms import RecordEncoder
from monai_hybridsynth.workflows import ReplicaRequests, ReplicaSynthesis

SIZE = 16


def write_patches(folder: Path, num_records: int, prefix: str, *, seed: int, shuffled: bool = False) -> Path:
    """Write a cohort whose finding ``patch`` shows as a bright square; ``noise`` is a finding that nothing shows."""
    rng = np.random.default_rng(seed)
    patch, noise = rng.random(num_records) < 0.4, rng.random(num_records) < 0.4
    (folder / "images").mkdir(parents=True)
    for row in range(num_records):
        pixels = rng.normal(120, 35, (SIZE, SIZE))
        y, x = rng.integers(0, SIZE - 4, 2)
        pixels[y : y + 4, x : x + 4] += 55 * patch[row]
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / "images" / f"{row}.png")
    told = rng.permutation(patch) if shuffled else patch
    words = [["patch"] * bool(a) + ["noise"] * bool(b) for a, b in zip(told, noise, strict=True)]
    table = pd.DataFrame(
        {
            "image": [f"images/{row}.png" for row in range(num_records)],
            "patient_id": [f"{prefix}{row // 2}" for row in range(num_records)],
            "age": rng.integers(20, 90, num_records),
            "signs": ["|".join(labels) or "none" for labels in words],
        }
    )
    table.to_csv(folder / "records.csv", index=False)
    signs = {"name": "signs", "type": "string", "kind": "multilabel", "role": "target", "separator": "|"}
    fields = [
        {"name": "image", "type": "string", "kind": "categorical", "role": "image"},
        {"name": "patient_id", "type": "string", "kind": "categorical", "role": "group"},
        {"name": "age", "type": "integer", "kind": "integer", "role": "feature", "unit": "a"},
        {**signs, "empty_label": "none", "constraints": {"enum": ["none", "noise", "patch"]}},
    ]
    image = {"modality": "cxr", "scaling": {"kind": "range", "minimum": 0, "maximum": 255}}
    (folder / "schema.json").write_text(json.dumps({"version": 1, "fields": fields, "image": image}))
    return folder


class Flat(nn.Module):
    """Stands in for a diffusion model: every image is some of its noise."""

    in_channels = 1

    def __init__(self, cohort):
        super().__init__()
        self.record_encoding = RecordEncoder(cohort.schema, minimum_patients=2).fit(cohort.table).to_dict()
        self.gain = nn.Parameter(torch.ones(1))

    def forward(self, x, timesteps, context=None):
        return 0.3 * x.tanh() * self.gain


def draw_replicas(folder: Path, out: Path, *, replicas: int, rows=None, seed: int = 0) -> Path:
    """Draw replicas with the bundle's own workflow."""
    cohort = read_cohort(folder)
    scheduler = DDIMScheduler(prediction_type="sample", beta_schedule="squaredcos_cap_v2", rescale_betas_zero_snr=True)
    return ReplicaSynthesis(
        ReplicaRequests(cohort, replicas=replicas, rows=rows),
        Flat(cohort),
        GuidedDiffusionInferer(scheduler, num_inference_steps=1),
        out,
        spatial_size=SIZE,
        seed=seed,
        on_unlearned="replace",
    ).run()


def small_network() -> nn.Module:
    """Return a network that looks for a patch anywhere; dropout makes the seed matter."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 5, padding=2),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveMaxPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.1),
        nn.Linear(8, 3),
    )


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Return folders of a study: train, holdout, other, replicas of train and of other, further patients."""
    root = tmp_path_factory.mktemp("study")
    made = {
        "train": write_patches(root / "train", 48, "t", seed=1),
        "holdout": write_patches(root / "holdout", 120, "h", seed=2),
        "other": write_patches(root / "other", 30, "o", seed=3),
        "fresh": write_patches(root / "fresh", 480, "f", seed=4),
        "shuffled": write_patches(root / "shuffled", 480, "s", seed=5, shuffled=True),
    }
    made["own"] = draw_replicas(made["train"], root / "own", replicas=3)
    made["elsewhere"] = draw_replicas(made["other"], root / "elsewhere", replicas=2)
    return made


@pytest.fixture
def make_cohorts(folders):
    """Return a function that reads the study's cohorts; arguments replace its defaults."""

    def make(**changed):
        settings = {
            "folder": folders["train"],
            "tests": {"internal": str(folders["holdout"])},
            "synthetic": {
                "own": {"folder": folders["own"]},
                "other": {"folder": folders["elsewhere"], "rows_of": folders["other"]},
                "fresh": {"folder": folders["fresh"], "patients": True},
            },
            "minimum_patients": 5,
            "validation_share": 0.25,
        }
        return StudyCohorts(**{**settings, **changed})

    return make


@pytest.fixture
def make_study(make_cohorts, tmp_path):
    """Return a function that sets a study up; arguments replace its defaults."""

    def make(cohorts=None, *, name="study", max_steps=20, **changed):
        settings = {
            "training": ClassifierTraining(
                max_steps=max_steps, learning_rate=0.01, validation_interval=10, augmentation=None
            ),
            "out": tmp_path / name,
            "private": tmp_path / f"{name}_private",
            "arms": [{"name": "mixed", "synthetic": "own", "percents": [100, 300]}],
            "real_percents": (50, 100),
            "seeds": (0, 1),
            "spatial_size": SIZE,
            "num_replicates": 50,
        }
        return SupplementationStudy(cohorts or make_cohorts(), small_network, **{**settings, **changed})

    return make


@pytest.fixture
def draw_from(folders):
    """Return a function that draws replicas of one of the study's cohorts."""

    def draw(name, out, **settings):
        return draw_replicas(folders[name], out, **settings)

    return draw
