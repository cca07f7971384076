"""A small latent table with every kind of column, and one short CTGAN fit that the tests share."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from monai_hybridsynth.data import RecordField, RecordSchema
from monai_hybridsynth.fusion import CTGANSynthesizer

NUM_LATENTS = 6


def make_schema() -> RecordSchema:
    return RecordSchema(
        [
            RecordField("image", role="image"),
            RecordField("patient_id", role="group"),
            RecordField("age", "number", kind="continuous", unit="a"),
            RecordField("sex", kind="binary"),
            RecordField("view", kind="categorical"),
            RecordField("crp", "number", kind="continuous", censored=True),
            RecordField("images_before", "integer", kind="integer"),
            RecordField("findings", kind="multilabel", separator="|", role="target"),
        ]
    )


def make_table(num_rows: int = 300, *, seed: int = 0) -> pd.DataFrame:
    """Draw rows in which sex rules latent 0, view rules latent 1 and age rules latent 2; two images per patient."""
    rng = np.random.default_rng(seed)
    sex = rng.choice(["F", "M"], num_rows).astype(object)
    view = rng.choice(["AP", "PA", "LL"], num_rows, p=[0.3, 0.6, 0.1]).astype(object)
    view[rng.random(num_rows) < 0.1] = None
    age = np.round(rng.normal(50, 15, num_rows).clip(1, 90))
    crp = np.round(rng.gamma(2.0, 10.0, num_rows), 1)
    crp[rng.random(num_rows) < 0.3] = np.nan
    crp[rng.random(num_rows) < 0.1] = np.inf
    findings = []
    for _ in range(num_rows):
        found = [label for label, share in (("Effusion", 0.25), ("Mass", 0.15)) if rng.random() < share]
        findings.append("|".join(found) or "No Finding")
    latents = rng.normal(size=(num_rows, NUM_LATENTS)).astype(np.float32)
    latents[:, 0] += np.where(sex == "M", 2.0, -2.0)
    latents[:, 1] += np.where(view == "PA", 2.0, -2.0)
    latents[:, 2] += (age - 50) / 7.5
    table = pd.DataFrame({"patient_id": [f"patient-{row // 2:04d}" for row in range(num_rows)], "age": age, "sex": sex})
    table["view"] = view
    table["crp"] = crp
    for number in range(NUM_LATENTS):
        table[f"latent_{number:03d}"] = latents[:, number]
    # After the latents, so that a test of the order can fail.
    table["images_before"] = pd.array(rng.integers(0, 6, num_rows), dtype="Int64")
    table["findings"] = pd.Series(findings, dtype=object)
    return table


@pytest.fixture(scope="package")
def schema() -> RecordSchema:
    return make_schema()


@pytest.fixture(scope="package")
def table() -> pd.DataFrame:
    return make_table()


@pytest.fixture(scope="package")
def public_schema() -> RecordSchema:
    """Return the schema with declared limits and categories, as private fits need it."""
    limits = {"age": (0, 100), "crp": (0, 200), "images_before": (0, 9)}
    enums = {"sex": ("F", "M"), "view": ("AP", "LL", "PA"), "findings": ("Effusion", "Mass", "No Finding")}
    made = make_schema()
    fields = [replace(made[name], minimum=low, maximum=high) for name, (low, high) in limits.items()]
    fields += [replace(made[name], enum=enum) for name, enum in enums.items()]
    return made.with_fields(*fields).with_fields(replace(fields[-1], empty_label="No Finding"))


@pytest.fixture(scope="package")
def fitted(table, schema) -> CTGANSynthesizer:
    """Fit long enough that sex and view are linked to the latents."""
    made = CTGANSynthesizer(
        "tuned",
        steps=400,
        latent_components=4,
        embedding_dim=16,
        generator_dim=[64],
        discriminator_dim=[128],
        discriminator_steps=2,
        batch_size=60,
        pac=1,
        generator_lr=2e-3,
        discriminator_lr=2e-3,
        max_clusters=3,
        progress=False,
    )
    return made.fit(table, schema, seed=0)
