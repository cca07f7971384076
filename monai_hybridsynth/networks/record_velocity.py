"""A residual network on vectors: the velocity of a flow from noise to records, any part of which may be given."""

from __future__ import annotations

import torch
from monai.networks.nets.diffusion_model_unet import get_timestep_embedding
from torch import nn

__all__ = ["RecordVelocity"]

_TIME_SCALE = 1000.0  # the embedding's wavelengths are made for steps 0 ... 1000


class RecordVelocity(nn.Module):
    """Predict the velocity of a record vector at a time of the flow, given the entries that are known.

    Args:
        size: entries of a record vector.
        width: hidden units.
        depth: residual blocks.
        dropout: share of hidden units left out in training.

    Shape:
        - x, known: ``(B, size)``; times: ``(B,)`` in [0, 1]; output: ``(B, size)``
    """

    def __init__(self, size: int, *, width: int = 256, depth: int = 4, dropout: float = 0.1) -> None:
        super().__init__()
        self.size, self.width = size, width
        self.enter = nn.Linear(2 * size, width)
        self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), nn.Dropout(dropout), nn.Linear(width, width)
            )
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width)
        self.leave = nn.Linear(width, size)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, x: torch.Tensor, times: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        """Return velocities; entries of ``x`` where ``known`` is 1 hold the given values, the others are on their way.

        Args:
            x: record vectors.
            times: 0 for noise, 1 for data.
            known: 1 where an entry is given, else 0.
        """
        hidden = self.enter(torch.cat([x, known], dim=1))
        hidden = hidden + self.time(get_timestep_embedding(times * _TIME_SCALE, self.width))
        for block in self.blocks:
            hidden = hidden + block(hidden)
        return self.leave(self.norm(hidden))
