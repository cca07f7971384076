"""The average against the recursion written out."""

from __future__ import annotations

import pytest
import torch
from ignite.engine import Engine
from torch import nn

from monai_hybridsynth.handlers import WeightAverage


def trained(average, network, values):
    def step(engine, value):
        with torch.no_grad():
            network.weight.fill_(value)

    engine = Engine(step)
    average.attach(engine)
    engine.run(values)


def test_follows_the_recursion():
    network = nn.Linear(1, 1, bias=False)
    average = WeightAverage(network, decay=0.9)
    values = [float(value) for value in range(1, 60)]
    trained(average, network, values)
    expected = values[0]  # the first update copies
    for count, value in enumerate(values[1:], start=1):
        decay = min(0.9, (1 + count) / (10 + count))
        expected = decay * expected + (1 - decay) * value
    assert average.module.weight.item() == pytest.approx(expected, rel=1e-5)


def test_resumed_average_is_equal_to_the_bit():
    values = [float(value) for value in torch.rand(20)]
    network = nn.Linear(1, 1, bias=False)
    whole, first, second = (WeightAverage(network) for _ in range(3))
    trained(whole, network, values)
    trained(first, network, values[:7])
    second.load_state_dict(first.state_dict())
    trained(second, network, values[7:])
    assert torch.equal(whole.module.weight, second.module.weight)


def test_averages_running_statistics_and_stays_in_eval_mode():
    network = nn.BatchNorm1d(2)
    average = WeightAverage(network)
    engine = Engine(lambda engine, batch: network(batch))
    average.attach(engine)
    engine.run([torch.randn(8, 2) + 3 for _ in range(5)])
    assert not average.module.training
    assert average.module.running_mean.abs().sum() > 0
    assert average.module.num_batches_tracked == 5
    assert not any(parameter.requires_grad for parameter in average.module.parameters())
