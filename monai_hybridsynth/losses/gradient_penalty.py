"""Gradient penalty of Wasserstein critics, for images and for codes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

__all__ = ["GradientPenaltyLoss"]


class GradientPenaltyLoss(nn.Module):
    """Mean squared distance of a critic's gradient norm from one, on random mixtures of real and fake.

    Shape:
        - ``real``, ``fake``: ``(B, ...)``, equal shapes; result: scalar, not yet weighted

    Source:
        Gulrajani et al. 2017, https://arxiv.org/abs/1704.00028, equation 3.
    """

    def forward(
        self,
        critic: Callable[[torch.Tensor], torch.Tensor],
        real: torch.Tensor,
        fake: torch.Tensor,
        *,
        generator: torch.Generator | None = None,
    ) -> torch.Tensor:
        """Return the penalty; ``generator`` draws one mixing weight per sample, on the CPU.

        Raises:
            ValueError: if real and fake differ in shape.
        """
        if real.shape != fake.shape:
            raise ValueError(
                f"real has shape {tuple(real.shape)} but fake {tuple(fake.shape)}; give one fake per real."
            )
        weight = torch.rand(len(real), *[1] * (real.ndim - 1), generator=generator).to(real)
        mixed = (weight * real.detach() + (1 - weight) * fake.detach()).requires_grad_(True)
        (gradient,) = torch.autograd.grad(critic(mixed).sum(), mixed, create_graph=True)
        return (gradient.flatten(1).norm(dim=1) - 1).square().mean()
