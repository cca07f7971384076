"""Rules that hold in a real cohort: patients keep them, and so does every synthetic record."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from monai_hybridsynth.data import CohortError, RecordSchema, read_cohort
from monai_hybridsynth.evaluation.constraint_fidelity import broken_constraints
from monai_hybridsynth.fusion import (
    ConditionalGaussianSynthesizer,
    CTGANSynthesizer,
    IndependentSynthesizer,
    load_synthesizer,
)

DAYS = ["admission_offset", "icu_admission_offset", "icu_release_offset", "death_offset"]
RULES = [
    {"ascending": DAYS},
    {"if": {"column": "icu", "equals": "yes"}, "then": {"column": "icu_admission_offset", "is": "present"}},
    {"if": {"column": "icu", "equals": "no"}, "then": {"column": "icu_admission_offset", "is": "missing"}},
    {
        "if": {"column": "icu_admission_offset", "is": "present"},
        "then": {"column": "icu_release_offset", "is": "present"},
    },
]
SHORT = {"steps": 20, "batch_size": 60, "generator_dim": [32], "discriminator_dim": [32], "max_clusters": 3}
MADE = {
    "independent": IndependentSynthesizer,
    "gaussian": ConditionalGaussianSynthesizer,
    "ctgan": lambda: CTGANSynthesizer("tuned", **SHORT, progress=False),
}


def breaks(row: dict) -> bool:
    """Read the rules by hand."""
    days = [row[name] for name in DAYS if not pd.isna(row[name])]
    icu, release = (not pd.isna(row[name]) for name in DAYS[1:3])
    return days != sorted(days) or icu != (row["icu"] == "yes") or (icu and not release)


@pytest.fixture(scope="module")
def ruled(real_data) -> tuple[RecordSchema, pd.DataFrame]:
    """Return the Hannover cohort with its days and whether the patient came to intensive care, and random latents."""
    found = read_cohort(real_data / "hannover_covid").schema
    derived = {"from": "icu_admission_offset", "rule": "is_present"}
    icu = replace(found["sex"], name="icu", enum=("no", "yes"), derive=derived)
    schema = RecordSchema([*found.fields, icu], found.image, RULES)
    table = read_cohort(real_data / "hannover_covid", schema=schema).table
    latents = np.random.default_rng(0).normal(size=(len(table), 8)).astype(np.float32)
    return schema, table.assign(**{f"latent_{number:03d}": latents[:, number] for number in range(8)})


def test_real_patients_keep_the_rules(ruled, real_data):
    schema, table = ruled
    assert not any(breaks(row) for row in table.to_dict("records"))
    wrong = RecordSchema(schema.fields, schema.image, [{"ascending": DAYS[::-1]}])
    with pytest.raises(CohortError, match="breaks rule 1"):
        read_cohort(real_data / "hannover_covid", schema=wrong)


@pytest.mark.slow
@pytest.mark.parametrize("name", MADE)
def test_synthetic_records_keep_the_rules_of_real_patients(name, ruled, tmp_path):
    schema, table = ruled
    free = RecordSchema(schema.fields, schema.image)
    drawn = MADE[name]().fit(table, free, seed=0).sample(2000, seed=1)
    assert np.mean([breaks(row) for row in drawn.to_dict("records")]) > 0.02, "without rules they are broken"
    made = load_synthesizer(MADE[name]().fit(table, schema, seed=0).save(tmp_path / "artifact"))
    records = made.sample(2000, seed=1)
    assert not any(breaks(row) for row in records.to_dict("records"))
    assert not any(constraint.startswith("rule") for _, constraint in broken_constraints(schema, records))
    assert records["icu"].nunique() == 2
