"""The independent floor, and the artifact every synthesizer is kept in."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from monai_hybridsynth.fusion import IndependentSynthesizer, RecordSynthesizer, load_synthesizer
from monai_hybridsynth.fusion.synthesizer import read_artifact, write_artifact


@pytest.fixture(scope="module")
def independent(table, schema) -> IndependentSynthesizer:
    return IndependentSynthesizer().fit(table, schema, seed=0)


def test_keeps_marginals(independent, table):
    records = independent.sample(4000, seed=0)
    assert isinstance(independent, RecordSynthesizer)
    assert list(records.columns) == list(table.drop(columns="patient_id").columns)
    for name in ("sex", "view", "findings"):
        real, drawn = (part[name].fillna("none").value_counts(normalize=True) for part in (table, records))
        labels = set(real.index) - {"Effusion|Mass"}
        assert {label: drawn[label] for label in labels} == pytest.approx(
            {label: real[label] for label in labels}, abs=0.05
        )
    for name in ("age", "latent_000", "latent_003"):
        assert records[name].mean() == pytest.approx(float(table[name].mean()), abs=0.1 * float(table[name].std()))
        assert records[name].std() == pytest.approx(table[name].std(), rel=0.1)


def test_destroys_relations(independent, table):
    records = independent.sample(4000, seed=0)
    assert abs(records.groupby("sex")["latent_000"].mean().diff().iloc[-1]) < 0.3
    assert abs(np.corrcoef(records["age"], records["latent_002"])[0, 1]) < 0.08


def test_conditions_are_returned_and_change_nothing_else(independent):
    free = independent.sample(50, seed=1)
    fixed = independent.sample(50, conditions={"sex": "F", "crp": np.nan}, seed=1)
    assert (fixed["sex"] == "F").all()
    assert fixed["crp"].isna().all()
    pd.testing.assert_frame_equal(fixed.drop(columns=["sex", "crp"]), free.drop(columns=["sex", "crp"]))


def test_a_loaded_artifact_samples_the_same(independent, tmp_path):
    folder = independent.save(tmp_path / "artifact")
    loaded = load_synthesizer(folder)
    assert isinstance(loaded, IndependentSynthesizer)
    pd.testing.assert_frame_equal(loaded.sample(40, seed=2), independent.sample(40, seed=2))


def test_histograms_do_not_show_one_patient(table, schema):
    canary = table.iloc[[0, 1]].assign(patient_id="canary", age=4242.0, latent_000=np.float32(31337.5))
    text = json.dumps(IndependentSynthesizer().fit(pd.concat([table, canary]), schema, seed=0).histograms_)
    assert "4242" not in text
    assert "31337" not in text


def test_wrong_artifacts_are_refused(independent, tmp_path):
    with pytest.raises(ValueError, match="is no fitted synthesizer"):
        load_synthesizer(tmp_path)
    write_artifact(tmp_path / "other", "LaterSynthesizer", {}, {})
    with pytest.raises(ValueError, match="holds a 'LaterSynthesizer'; this version loads"):
        load_synthesizer(tmp_path / "other")
    folder = independent.save(tmp_path / "artifact")
    with pytest.raises(ValueError, match="use load_synthesizer"):
        read_artifact(folder, "CTGANSynthesizer")
    content = json.loads((folder / "synthesizer.json").read_text())
    (folder / "synthesizer.json").write_text(json.dumps(content | {"format": 99}))
    with pytest.raises(ValueError, match="format 99"):
        load_synthesizer(folder)


def test_calls_in_the_wrong_order_are_refused(tmp_path):
    with pytest.raises(RuntimeError, match="call fit"):
        IndependentSynthesizer().sample(1, seed=0)
    with pytest.raises(RuntimeError, match="call fit"):
        IndependentSynthesizer().save(tmp_path)


def test_num_records_is_positive(independent):
    with pytest.raises(ValueError, match="num_records is 0"):
        independent.sample(0, seed=0)
