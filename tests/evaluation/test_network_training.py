from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from monai_hybridsynth.evaluation import network_training
from monai_hybridsynth.evaluation.network_training import network_findings, occlusion_maps


def with_pixels(cohort, seed: int):
    rng = np.random.default_rng(seed)
    pixels = rng.normal(128, 20, size=(len(cohort), 1, 16, 16))
    pixels[(cohort.table["sex"] == "m").to_numpy(), :, 2:8, 2:8] += 60
    return replace(cohort, pixels=np.clip(pixels, 0, 255).astype(np.uint8))


def test_occlusion_of_a_linear_network_is_known():
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 2))
    images, fill = torch.randn(3, 1, 8, 8), torch.randn(1, 8, 8)
    heat = occlusion_maps(network, images, fill, output=1)
    expected = (images - fill)[:, 0] * network[1].weight[1].reshape(8, 8).detach()
    assert heat == pytest.approx(expected.numpy(), abs=1e-5)


def test_networks_of_both_see_patients_as_often_as_records():
    def material(count: int, value: float):
        groups = np.array([f"{value} {row}" for row in range(count)])
        return network_training._Material(torch.full((count, 1, 4, 4), value), np.full((count, 1), value), groups)

    for patients, records, shown in ((10, 50, 50), (10, 12, 10), (10, 4, 10)):
        both = material(patients, 1.0).supplemented(material(records, 0.0))
        assert (int(both.targets.sum()), len(both.targets)) == (shown, shown + records)
        assert (both.images[:, 0, 0, 0].numpy() == both.targets[:, 0]).all()
        assert len(np.unique(both.groups)) == patients + records


@pytest.mark.slow
def test_networks_are_trained_per_arm_and_the_time_is_told(judged, monkeypatch, caplog):
    monkeypatch.setattr(network_training, "MAX_EPOCHS", 2)
    monkeypatch.setattr(network_training, "FEWEST_EPOCHS", 1)
    monkeypatch.setattr(network_training, "MAPPED_IMAGES", 12)
    sides = [
        with_pixels(judged(role, count, seed), seed)
        for role, count, seed in (("train", 64, 1), ("holdout", 40, 2), ("synthetic", 64, 3))
    ]
    before = torch.random.get_rng_state()
    with caplog.at_level("INFO"):
        found = network_findings(*sides, seed=0)
    assert (torch.random.get_rng_state() == before).all()
    assert "at most about" in caplog.text
    arms = {r.dimensions["arm"] for r in found.metrics if r.name == "auroc"}
    assert arms == {"real", "synthetic", "both", "finetuned"}
    assert all(r.dimensions["predictor"] == "network" for r in found.metrics if r.name != "occlusion_agreement")
    assert {r.name for r in found.metrics} >= {"auroc", "r2", "utility_ratio", "auroc_gain", "occlusion_agreement"}
    assert np.array(found.drawings["occlusion"][0]["real"]).shape == (8, 8)


def test_what_cannot_be_trained_is_said(judged, monkeypatch):
    bare = [judged(role, 60, seed) for seed, role in enumerate(("train", "holdout", "synthetic"), 1)]
    (record,) = network_findings(*bare, seed=0).metrics
    assert record.value is None
    assert "no pixels" in record.note
    monkeypatch.setattr(network_training, "estimated_seconds", lambda *_: 0.0)
    small = [replace(with_pixels(side, 1), pixels=np.zeros((60, 1, 8, 8), dtype=np.uint8)) for side in bare]
    (record,) = network_findings(*small, seed=0).metrics
    assert "needed" in record.note
