"""What a conditional network is trained on: whole patients set aside, rows encoded, a pool whose rows are missing."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from monai_hybridsynth.data import read_cohort
from monai_hybridsynth.networks import RecordEmbedding
from monai_hybridsynth.workflows import condition_records, read_training_records, validation_rows


@pytest.fixture
def cohort(make_cohort, tmp_path):
    return make_cohort(tmp_path / "big", 40, seed=2)


@pytest.fixture
def pool(make_cohort, tmp_path):
    return make_cohort(tmp_path / "pool", 12, seed=3)


def names(records):
    return [item["image"] for item in records]


def test_whole_patients_are_set_aside_and_rows_are_encoded(cohort):
    records = read_training_records(cohort, validation_share=0.2, minimum_patients=2, seed=1)
    table = read_cohort(cohort).table
    patient = dict(zip([str(path) for path in read_cohort(cohort).image_paths], table["patient_id"], strict=True))
    sides = [{patient[name] for name in names(side)} for side in (records.training, records.validation)]
    assert not sides[0] & sides[1]
    assert len(sides[1]) == 4
    assert len(records.training) + len(records.validation) == 40
    assert records.pool == []
    aside = validation_rows(read_cohort(cohort), validation_share=0.2, seed=1)
    assert [str(path) for path, out in zip(read_cohort(cohort).image_paths, aside, strict=True) if out] == names(
        records.validation
    )
    whole = condition_records(read_cohort(cohort), records.encoder)
    vector = {item["image"]: item["condition"] for item in whole}
    for item in (*records.training, *records.validation):
        np.testing.assert_array_equal(item["condition"], vector[item["image"]])
        assert item["condition"].dtype == np.float32


def test_rows_of_the_pool_are_missing_throughout(cohort, pool):
    records = read_training_records(cohort, pool=pool, minimum_patients=2)
    assert len(records.pool) == 12
    told = records.encoder.inverse(np.stack([item["condition"] for item in records.pool]))
    assert told.isna().all().all()
    known = records.encoder.inverse(np.stack([item["condition"] for item in records.training]))
    assert known["bright"].notna().all()
    alone = read_training_records(cohort, minimum_patients=2)
    assert "missing" not in str(alone.encoder.column("bright").flats), "without a pool it is no state"
    assert names(alone.validation) == names(records.validation), "the pool does not move patients"
    assert alone.fingerprint != records.fingerprint
    assert alone.fingerprint == read_training_records(cohort, minimum_patients=2).fingerprint


def test_sites_of_a_federation_share_an_encoding(cohort, make_cohort, tmp_path):
    here = read_training_records(cohort, minimum_patients=2)
    torch.save(RecordEmbeddingHolder(here.encoder).state_dict(), tmp_path / "model.pt")
    other = make_cohort(tmp_path / "other", 30, seed=9)
    there = read_training_records(other, encoding_from=tmp_path / "model.pt")
    assert there.encoder.vector_names == here.encoder.vector_names
    direct = condition_records(read_cohort(other), here.encoder)
    vector = {item["image"]: item["condition"] for item in direct}
    np.testing.assert_array_equal(there.training[0]["condition"], vector[there.training[0]["image"]])
    with pytest.raises(ValueError, match="encoding_from is .*absent.pt"):
        read_training_records(cohort, encoding_from=tmp_path / "absent.pt")


class RecordEmbeddingHolder(torch.nn.Module):
    """Holds an embedding where a network has it."""

    def __init__(self, encoder):
        super().__init__()
        self.embedding = RecordEmbedding(4, encoder=encoder)


def test_without_an_encoder_conditions_are_empty(cohort):
    assert condition_records(read_cohort(cohort), None)[0]["condition"].shape == (0,)


def test_what_cannot_be_trained_on_is_refused(cohort, pool):
    schema = json.loads((pool / "schema.json").read_text())
    schema["image"] = {"modality": "cxr", "scaling": {"kind": "range", "minimum": 0, "maximum": 255, "channels": 2}}
    (pool / "schema.json").write_text(json.dumps(schema))
    with pytest.raises(ValueError, match="pool's images have 2 channels, the cohort's 1"):
        read_training_records(cohort, pool=pool)
    schema = json.loads((cohort / "schema.json").read_text())
    for field in schema["fields"][2:]:
        field["role"] = "excluded"
    (cohort / "schema.json").write_text(json.dumps(schema))
    with pytest.raises(ValueError, match="no clinical column"):
        read_training_records(cohort)
