from __future__ import annotations

import torch

from monai_hybridsynth.networks import RecordVelocity


def test_shape_and_a_still_start():
    network = RecordVelocity(7, width=32, depth=2)
    out = network(torch.randn(5, 7), torch.rand(5), torch.zeros(5, 7))
    assert out.shape == (5, 7)
    assert torch.equal(out, torch.zeros(5, 7))  # the last layer starts at zero: the flow starts as no flow


def test_answers_depend_on_time_and_on_what_is_given():
    torch.manual_seed(0)
    network = RecordVelocity(4, width=32, depth=1).eval()
    torch.nn.init.normal_(network.leave.weight)
    x = torch.randn(1, 4)
    first = network(x, torch.tensor([0.1]), torch.zeros(1, 4))
    assert not torch.allclose(first, network(x, torch.tensor([0.9]), torch.zeros(1, 4)))
    assert not torch.allclose(first, network(x, torch.tensor([0.1]), torch.ones(1, 4)))
