"""Samples judged at the end of a validation, equal to the metric called by hand."""

from __future__ import annotations

import pytest
import torch
from ignite.engine import Engine, Events
from torch import nn

from monai_hybridsynth.handlers import GenerationMetrics
from monai_hybridsynth.metrics import KernelDistanceMetric


class Drawing(nn.Module):
    latent_dim = 4

    def forward(self, z):
        return z.view(-1, 1, 2, 2)


def test_equals_the_metric_on_all_samples_and_repeats():
    images = torch.randn(9, 1, 2, 2)
    features = nn.Flatten()

    def step(engine, batch):
        return [{"image": image} for image in batch]

    engine = Engine(step)
    handler = GenerationMetrics(Drawing(), KernelDistanceMetric(), features, num_samples=7, batch_size=3, seed=1)
    engine.add_event_handler(Events.STARTED, lambda engine: setattr(engine.state, "device", "cpu"))
    handler.attach(engine)
    values = []
    for _ in range(2):
        engine.run([images[:4], images[4:]], max_epochs=1)
        values.append(engine.state.metrics["sample_kernel_distance"])
    metric = KernelDistanceMetric()
    metric(torch.randn(7, 4, generator=torch.Generator().manual_seed(1)), features(images))
    assert values[0] == values[1] == pytest.approx(metric.aggregate().item())
