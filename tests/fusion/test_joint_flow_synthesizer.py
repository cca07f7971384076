from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from monai_hybridsynth.fusion import JointFlowSynthesizer, RecordSynthesizer, load_synthesizer

OPTIONS: dict[str, Any] = {"latent_components": 6, "max_steps": 600, "width": 96, "dropout": 0.0, "progress": False}


@pytest.fixture(scope="module")
def flow(table, schema):
    return JointFlowSynthesizer(**OPTIONS).fit(table, schema, seed=0)


def test_it_is_a_synthesizer_with_the_tables_columns(flow, table):
    assert isinstance(flow, RecordSynthesizer)
    drawn = flow.sample(300, seed=1)
    expected = table.drop(columns="patient_id")
    assert list(drawn.columns) == list(expected.columns)
    assert {n: str(t) for n, t in drawn.dtypes.items()} == {n: str(t) for n, t in expected.dtypes.items()}
    assert drawn["crp"].isna().any()
    assert np.isposinf(drawn["crp"]).any()


def test_image_and_row_belong_together(flow):
    drawn = flow.sample(2000, seed=1)
    men = drawn["sex"] == "M"
    assert drawn.loc[men, "latent_000"].mean() - drawn.loc[~men, "latent_000"].mean() > 2.5  # 4 in the data
    assert np.corrcoef(drawn["age"], drawn["latent_002"])[0, 1] > 0.7


def test_columns_given_rule_the_others(flow):
    men = flow.sample(500, conditions={"sex": "M"}, seed=1)
    assert (men["sex"] == "M").all()
    assert men["latent_000"].mean() > 1.2
    latents = pd.DataFrame(np.zeros((400, 6), dtype=np.float32), columns=[f"latent_{n:03d}" for n in range(6)])
    latents["latent_000"] = np.repeat([2.0, -2.0], 200).astype(np.float32)
    rows = flow.sample(400, conditions=latents, seed=1)
    pd.testing.assert_series_equal(rows["latent_000"], latents["latent_000"])
    assert (rows["sex"][:200] == "M").mean() > 0.8
    assert (rows["sex"][200:] == "F").mean() > 0.8


def test_shares_of_labels_are_met(flow, table):
    drawn = flow.sample(4000, seed=2)
    for label in ("Effusion", "Mass"):
        real, made = (part["findings"].str.contains(label).mean() for part in (table, drawn))
        assert made == pytest.approx(real, abs=0.06)


def test_one_seed_one_cohort_and_the_artifact_says_the_same(flow, tmp_path):
    first = flow.sample(50, seed=3)
    pd.testing.assert_frame_equal(first, flow.sample(50, seed=3))
    assert not first.equals(flow.sample(50, seed=4))
    folder = flow.save(tmp_path / "artifact")
    pd.testing.assert_frame_equal(first, load_synthesizer(folder).sample(50, seed=3))
    content = json.loads((folder / "synthesizer.json").read_text())
    assert content["course"]["steps"]


def test_the_artifact_holds_no_row(flow, table, tmp_path):
    from safetensors.numpy import load_file

    arrays = load_file(flow.save(tmp_path / "artifact") / "weights.safetensors")
    latents = table[[f"latent_{n:03d}" for n in range(6)]].to_numpy()
    for array in arrays.values():
        flat = np.unique(array.astype(np.float32))
        assert np.isin(latents, flat).mean() == 0
    assert all("patient-" not in text for text in (tmp_path / "artifact" / "synthesizer.json").read_text().splitlines())


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"average_decay": 1.0}, ValueError, "average_decay is 1.0; it must be at least 0"),
        ({"average_decay": -0.1}, ValueError, "average_decay is -0.1"),
        ({"max_steps": 0}, ValueError, "max_steps is 0; it must be at least 1"),
        ({"batch_size": 0}, ValueError, "batch_size is 0"),
        ({"check_every": -1}, ValueError, "check_every is -1"),
        ({"patience": 0}, ValueError, "patience is 0"),
        ({"num_steps": 0}, ValueError, "num_steps is 0"),
        ({"latent_components": 0}, ValueError, "latent_components is 0"),
        ({"max_steps": 1e3}, TypeError, "max_steps is 1000.0; give a whole number"),
    ],
)
def test_arguments_out_of_range_are_refused_by_name(arguments, error, message):
    with pytest.raises(error, match=message):
        JointFlowSynthesizer(**arguments)


@pytest.mark.parametrize("call", ["sample", "save"])
def test_use_before_fit(call, tmp_path):
    fresh = JointFlowSynthesizer()
    with pytest.raises(RuntimeError, match="call fit"):
        fresh.sample(1, seed=0) if call == "sample" else fresh.save(tmp_path)


def test_a_table_without_latents(table, schema):
    clinical = table[[name for name in table.columns if not name.startswith("latent_")]]
    drawn = JointFlowSynthesizer(**(OPTIONS | {"max_steps": 50})).fit(clinical, schema, seed=0).sample(20, seed=0)
    assert list(drawn.columns) == [name for name in clinical.columns if name != "patient_id"]
