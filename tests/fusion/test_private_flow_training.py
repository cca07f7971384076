"""The budget of DP-SGD after another mechanism, and training within it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_hybridsynth.fusion.gaussian_mechanism import gaussian_epsilon
from monai_hybridsynth.fusion.private_flow_training import composed_epsilon, fine_tune_privately, noise_for
from monai_hybridsynth.networks.record_velocity import RecordVelocity

pytest.importorskip("opacus")


def test_full_batches_are_gaussian_mechanisms():
    """Without sampling, steps compose in closed form; Renyi accounting bounds it from above, by little."""
    found = composed_epsilon(0.5, 20.0, sample_rate=1.0, steps=100, delta=1e-5)
    exact = gaussian_epsilon(np.sqrt(0.5**2 + 100 / 20.0**2), 1e-5)
    assert exact <= found <= 1.2 * exact


def test_the_noise_is_the_least_that_keeps_to_epsilon():
    options = {"sample_rate": 0.2, "steps": 50, "delta": 1e-5}
    noise = noise_for(0.4, epsilon=3.0, **options)
    assert composed_epsilon(0.4, noise, **options) <= 3.0 < composed_epsilon(0.4, 0.97 * noise, **options)
    assert noise < noise_for(0.4, epsilon=2.0, **options)
    assert noise_for(0.4, epsilon=float("inf"), **options) == 0.0
    with pytest.raises(ValueError, match="nothing of it is left"):
        noise_for(5.0, epsilon=1.0, **options)


def test_without_noise_it_learns():
    records = (2 + 0.1 * np.random.default_rng(0).standard_normal((50, 3))).astype(np.float32)
    torch.manual_seed(0)
    network = RecordVelocity(3, width=32, depth=1, dropout=0.0)
    known, times, noise = torch.zeros(200, 3), torch.full((200,), 0.5), torch.randn(200, 3)
    half = 0.5 * torch.from_numpy(records[np.arange(200) % 50]) + 0.5 * noise

    def error():
        with torch.no_grad():
            return (
                (network(half, times, known) - (torch.from_numpy(records[np.arange(200) % 50]) - noise)).square().mean()
            )

    before = error()
    fine_tune_privately(
        network,
        records,
        np.arange(50),
        blocks=[slice(0, 3)],
        num_clinical=3,
        sample_rate=1.0,
        num_patients=50.0,
        noise_multiplier=0.0,
        steps=60,
        learning_rate=1e-2,
        average_decay=0.9,
    )
    assert error() < 0.5 * before
