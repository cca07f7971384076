"""The penalty against critics whose gradient is known."""

from __future__ import annotations

import pytest
import torch

from monai_hybridsynth.losses import GradientPenaltyLoss


@pytest.mark.parametrize("slope", [0.0, 1.0, 3.0])
def test_linear_critic_has_a_known_penalty(slope):
    weight = torch.zeros(4)
    weight[0] = slope
    real, fake = torch.randn(6, 4), torch.randn(6, 4)
    penalty = GradientPenaltyLoss()(lambda x: x @ weight[:, None] + 0 * x.square().sum(1, keepdim=True), real, fake)
    assert penalty.item() == pytest.approx((slope - 1) ** 2, abs=1e-5)


def test_mixtures_lie_between_real_and_fake_and_follow_the_generator():
    seen = []

    def critic(x):
        seen.append(x.detach().clone())
        return x.square().sum((1, 2, 3)).unsqueeze(1)

    real, fake = torch.ones(5, 1, 2, 2), torch.zeros(5, 1, 2, 2)
    loss = GradientPenaltyLoss()
    values = [loss(critic, real, fake, generator=torch.Generator().manual_seed(3)) for _ in range(2)]
    assert torch.equal(values[0], values[1])
    assert ((seen[0] > 0) & (seen[0] < 1)).all()
    assert torch.equal(seen[0][:, :, :1, :1].expand_as(seen[0]), seen[0])  # one weight per image
    expected = (2 * seen[0].flatten(1).norm(dim=1) - 1).square().mean()
    torch.testing.assert_close(values[0], expected)


def test_gradient_reaches_the_critic():
    critic = torch.nn.Linear(3, 1)
    GradientPenaltyLoss()(critic, torch.randn(4, 3), torch.randn(4, 3)).backward()
    assert critic.weight.grad.abs().sum() > 0


def test_refuses_unequal_batches():
    with pytest.raises(ValueError, match="one fake per real"):
        GradientPenaltyLoss()(torch.nn.Linear(3, 1), torch.randn(4, 3), torch.randn(5, 3))
