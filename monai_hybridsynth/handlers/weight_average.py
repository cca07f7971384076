"""Exponential moving average of a network's weights, exact across interruptions."""

from __future__ import annotations

from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import nn
from torch.optim.swa_utils import AveragedModel

__all__ = ["WeightAverage"]


class WeightAverage:
    """Keeps ``module``, an averaged copy of a network in eval mode, updated after every iteration.

    The decay grows as ``(1 + n) / (10 + n)`` up to ``decay``, so that the first weights are forgotten soon. Unlike
    ignite's ``EMAHandler``, whose warm-up counter is not in its state, a resumed average equals an uninterrupted one.

    Args:
        network: the network to average; float buffers (batch norm statistics) are averaged too.
        decay: share of the old average that is kept, once warmed up.
    """

    def __init__(self, network: nn.Module, *, decay: float = 0.999) -> None:
        self.network = network
        self.decay = decay
        self._average = AveragedModel(network, avg_fn=self._blend, use_buffers=True)
        self._average.requires_grad_(False).eval()

    @property
    def module(self) -> nn.Module:
        """The averaged network."""
        return self._average.module

    def _blend(self, average: torch.Tensor, current: torch.Tensor, count: torch.Tensor | int) -> torch.Tensor:
        if not average.is_floating_point():
            return current
        decay = min(self.decay, (1 + float(count)) / (10 + float(count)))
        return average.lerp(current, 1 - decay)

    def attach(self, engine: Engine) -> None:
        """Update the average at the end of each iteration of ``engine``."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Move the average one step."""
        self._average.update_parameters(self.network)

    def state_dict(self) -> dict[str, Any]:
        """Return averaged weights and the number of updates."""
        return self._average.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""
        self._average.load_state_dict(state)
