"""The stated minimum count: what fewer patients have is in no artifact and no record, whatever the kind of column."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from monai_hybridsynth.data import RecordField, RecordSchema
from monai_hybridsynth.fusion import (
    ConditionalGaussianSynthesizer,
    CTGANSynthesizer,
    FactorisedCTGANSynthesizer,
    IndependentSynthesizer,
    JointFlowSynthesizer,
    factorised_ctgan_synthesizer,
)

MINIMUM = 4
CTGAN = {"steps": 8, "batch_size": 50, "pac": 1, "max_clusters": 3}
MAKERS = {
    "independent": IndependentSynthesizer,
    "gaussian": ConditionalGaussianSynthesizer,
    "flow": lambda **given: JointFlowSynthesizer(
        width=16, max_steps=10, check_every=5, num_steps=2, progress=False, **given
    ),
    "ctgan": lambda **given: CTGANSynthesizer(latent_components=2, progress=False, **CTGAN, **given),
    "factorised": lambda **given: FactorisedCTGANSynthesizer(table=CTGAN, progress=False, **given),
}
SCHEMA = RecordSchema(
    [
        RecordField("patient_id", role="group"),
        RecordField("sex", kind="binary", enum=("f", "m", "rareX")),
        RecordField("view", enum=("AP", "PA", "rareV")),
        RecordField("stage", kind="ordinal", enum=("low", "mid", "rareS", "high")),
        RecordField("findings", kind="multilabel", separator="|", enum=("Edema", "Mass", "rareL")),
    ]
)


def make_table(num_patients: int) -> pd.DataFrame:
    """Draw 300 rows of 150 patients; the first patients have the rare values, on both of their images."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "patient_id": [f"p{row // 2}" for row in range(300)],
            "sex": rng.choice(["f", "m"], 300).astype(object),
            "view": rng.choice(["AP", "PA", None], 300).astype(object),
            "stage": rng.choice(["low", "mid", "high"], 300).astype(object),
            "findings": rng.choice(["Edema", "Mass", "Edema|Mass", None], 300).astype(object),
            "latent_000": rng.normal(size=300).astype(np.float32),
        }
    )
    few = slice(0, 2 * num_patients - 1)
    for name, value in {"sex": "rareX", "view": "rareV", "stage": "rareS", "findings": "Mass|rareL"}.items():
        table.loc[few, name] = value
    return table


@pytest.fixture(params=MAKERS)
def fit(request, monkeypatch):
    """Return a function that fits a synthesizer on a table in which so many patients have the rare values."""
    monkeypatch.setattr(factorised_ctgan_synthesizer, "LINK_RECORDS", 100)
    return lambda count: MAKERS[request.param](minimum_patients=MINIMUM).fit(make_table(count), SCHEMA, seed=0)


def test_what_too_few_patients_have_is_nowhere(fit, tmp_path):
    """Six rows have each value, more than the minimum, but they are three patients: patients count, not rows."""
    made = fit(MINIMUM - 1)
    records = made.sample(500, seed=1)
    assert not records.astype(str).apply(lambda column: column.str.contains("rare")).to_numpy().any()
    for path in made.save(tmp_path / "artifact").rglob("*"):
        assert path.is_dir() or b"rare" not in path.read_bytes()
    with pytest.raises(ValueError, match="'rareS' in column 'stage', which was not learned"):
        made.sample(2, conditions={"stage": "rareS"}, seed=0)


def test_what_enough_patients_have_is_learned(fit):
    """The test above can fail: one patient more, and every kind of column draws the value."""
    made = fit(MINIMUM)
    wanted = {"sex": "rareX", "view": "rareV", "stage": "rareS", "findings": "Mass|rareL"}
    for name, value in wanted.items():
        assert made.sample(2, conditions={name: value}, seed=0)[name].tolist() == [value, value]
