"""A private flow: what it states, what it needs, and that the artifact keeps it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from monai_hybridsynth.fusion import PrivateFlowSynthesizer, RecordSynthesizer, load_synthesizer

pytest.importorskip("opacus")
OPTIONS = {
    "public_schema": True,
    "encoder_is_public": True,
    "progress": False,
    "private_steps": 5,
    "options": {"max_steps": 300, "check_every": 150},
}


@pytest.fixture(scope="module")
def flow(table, public_schema):
    return PrivateFlowSynthesizer(epsilon=200, **OPTIONS).fit(table, public_schema, seed=0)


def test_it_is_a_synthesizer_that_states_its_terms(flow, table):
    assert isinstance(flow, RecordSynthesizer)
    drawn = flow.sample(400, seed=1)
    assert list(drawn.columns) == [name for name in table.columns if name != "patient_id"]
    men = drawn["sex"] == "M"
    assert drawn.loc[men, "latent_000"].mean() - drawn.loc[~men, "latent_000"].mean() > 1.0  # 4 in the data
    assert (flow.privacy_["epsilon"], flow.privacy_["delta"]) == (200, 1e-5)
    assert "DP-SGD" in flow.privacy_["mechanism"]


def test_a_loaded_artifact_samples_the_same(flow, tmp_path):
    loaded = load_synthesizer(flow.save(tmp_path / "artifact"))
    assert loaded.privacy_ == flow.privacy_
    pd.testing.assert_frame_equal(loaded.sample(40, seed=3), flow.sample(40, seed=3))


def test_what_is_not_public_is_refused(table, schema, public_schema):
    with pytest.raises(ValueError, match="public_schema is False"):
        PrivateFlowSynthesizer(epsilon=1).fit(table, public_schema, seed=0)
    with pytest.raises(ValueError, match="no minimum and maximum"):
        PrivateFlowSynthesizer(epsilon=1, **OPTIONS).fit(table, schema, seed=0)


def test_steps_on_patients_cost_budget(monkeypatch, table, public_schema):
    """The noise that training gets keeps the whole to epsilon."""
    import monai_hybridsynth.fusion.private_flow_synthesizer as module
    from monai_hybridsynth.fusion.private_flow_training import composed_epsilon

    seen = {}
    monkeypatch.setattr(module, "fine_tune_privately", lambda network, *args, **kwargs: seen.update(kwargs) or network)
    flow = PrivateFlowSynthesizer(epsilon=3, **(OPTIONS | {"options": {"max_steps": 1, "check_every": 1}}))
    flow.fit(table, public_schema, seed=0)
    mu = np.sqrt(module.GAUSSIAN_SHARE) * module.gaussian_loss(3, 1e-5)
    spent = composed_epsilon(mu, seen["noise_multiplier"], sample_rate=seen["sample_rate"], steps=5, delta=1e-5)
    assert 2.5 < spent <= 3
