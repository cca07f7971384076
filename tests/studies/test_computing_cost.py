"""Counted operations against a count by hand, and cost per hundredth of AUROC."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from monai_hybridsynth.studies import diffusion_cost
from monai_hybridsynth.studies.supplementation.computing_cost import cost_rows, network_flops


def test_operations_of_a_convolution_and_a_layer_by_hand():
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 64, 2))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    forward, step = network_flops(network, torch.randn(2, 1, 8, 8))
    convolution, layer = 2 * 64 * 9 * 1 * 4, 2 * 256 * 2
    assert forward == convolution + layer
    # Backwards: gradients of weights and, save for the first convolution's image, of inputs.
    assert step == forward + convolution + 2 * layer
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


class Diffusion(nn.Module):
    in_channels = 1

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(1, 1, 1)

    def forward(self, x, timesteps, context=None):
        return self.layer(x)


def test_cost_of_a_generator():
    cost = diffusion_cost(
        Diffusion(),
        spatial_size=8,
        images_trained=100,
        evaluations=10,
        images_drawn=7,
        training_hours=2,
        sampling_hours=1,
    )
    assert cost == {
        "training_flops": 100 * 256,
        "training_hours": 2,
        "sampling_flops": 128 * 10 * 7,
        "sampling_hours": 1,
    }


def test_cost_per_hundredth_counts_generator_drawing_and_classifier_where_the_gain_is_sure():
    gain = {"arm": "mixed", "real_percent": 100, "percent": 100, "test": "t", "synthetic": "own", "gain": 0.02}
    classifiers = {("mixed", 100, 100): {"flops": 5.0, "hours": 1.0, "drawn": 0.25}}
    own = {"training_flops": 100.0, "sampling_flops": 40.0, "training_hours": 2.0}
    sure, unsure = cost_rows([{**gain, "low": 0.01}, {**gain, "low": -0.01}], classifiers, {"own": own})
    assert sure["sampling_flops"] == 10
    assert sure["flops_per_hundredth"] == pytest.approx((100 + 10 + 5) / 2)
    assert sure["hours_per_hundredth"] is None, "hours of drawing are not stated"
    assert unsure["flops_per_hundredth"] is None
    assert unsure["classifier_flops"] == 5
