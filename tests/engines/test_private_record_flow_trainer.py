"""DP-SGD by patients: one gradient each, cut and noisy as claimed, also in a step without anybody."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from monai_hybridsynth.engines.private_record_flow_trainer import PrivateRecordFlowTrainer
from monai_hybridsynth.networks.record_velocity import RecordVelocity

pytest.importorskip("opacus")
BLOCKS = [slice(0, 2), slice(2, 5)]


def trainer(records, patients, **changes):
    torch.manual_seed(0)
    network = RecordVelocity(5, width=16, depth=1, dropout=0.0)
    # The last layer begins at zero, and then nothing before it has a gradient.
    torch.nn.init.normal_(network.leave.weight)
    options = {"sample_rate": 1.0, "num_patients": 1.0, "noise_multiplier": 0.0, "clip_norm": 0.5, "noise_seed": 0}
    made = PrivateRecordFlowTrainer(
        network,
        torch.optim.SGD(network.parameters(), lr=1.0),
        records=torch.as_tensor(records, dtype=torch.float32),
        patients=np.asarray(patients),
        blocks=BLOCKS,
        num_clinical=2,
        **(options | changes),
    )
    made.start = [parameter.detach().clone() for parameter in network.parameters()]
    made.plain = network
    return made


def moved(made) -> torch.Tensor:
    """Return how far one step of length 1 moved the weights: the gradient."""
    made.run([0], max_epochs=1)
    pairs = zip(made.start, made.plain.parameters(), strict=True)
    return torch.cat([(before - after.detach()).flatten() for before, after in pairs])


def test_a_patient_with_extreme_records_moves_the_weights_by_the_clip_norm():
    records, patients = 1e4 * np.ones((7, 5)), ["a"] * 7
    assert moved(trainer(records, patients)).norm().item() == pytest.approx(0.5, rel=1e-3)


def test_every_patient_counts_once():
    made = trainer(np.zeros((6, 5)), ["a", "b", "b", "b", "c", "b"])
    drawn = [made.draw_rows().tolist() for _ in range(200)]
    assert all(len(rows) == 3 and rows[0] == 0 and rows[2] == 4 for rows in drawn)
    assert {rows[1] for rows in drawn} == {1, 2, 3, 5}
    made = trainer(np.zeros((400, 5)), np.arange(400), sample_rate=0.25)
    counts = [len(made.draw_rows()) for _ in range(200)]
    assert np.mean(counts) == pytest.approx(100, abs=4)
    assert np.std(counts) == pytest.approx(np.sqrt(400 * 0.25 * 0.75), rel=0.3)


def test_a_step_without_patients_is_noise_alone():
    noise = moved(trainer(np.zeros((3, 5)), ["a", "b", "c"], sample_rate=1e-9, num_patients=1e9, noise_multiplier=2.0))
    assert noise.std().item() == pytest.approx(2.0 * 0.5, rel=0.1)


def test_noise_is_secret_unless_fixed():
    records, patients = np.random.default_rng(0).standard_normal((8, 5)), np.arange(8)
    options = {"noise_multiplier": 1.0}
    first, second = (moved(trainer(records, patients, noise_seed=None, **options)) for _ in range(2))
    assert not torch.equal(first, second)
    first, second = (moved(trainer(records, patients, **options)) for _ in range(2))
    assert torch.equal(first, second)


def test_wrong_rates_and_an_absent_library_are_named(monkeypatch):
    with pytest.raises(ValueError, match="sample_rate is 0"):
        trainer(np.zeros((1, 5)), ["a"], sample_rate=0.0)
    monkeypatch.setitem(sys.modules, "opacus", None)
    with pytest.raises(ImportError, match=r"monai-hybridsynth\[dp\]"):
        trainer(np.zeros((1, 5)), ["a"])
