"""Draw record vectors from a trained flow in few steps, any entries given."""

from __future__ import annotations

from collections.abc import Callable

import torch

__all__ = ["sample_record_flow"]

Velocity = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


@torch.no_grad()
def sample_record_flow(
    network: Velocity, values: torch.Tensor, known: torch.Tensor, noise: torch.Tensor, *, num_steps: int = 10
) -> torch.Tensor:
    """Carry noise to records along the network's velocity, by Heun's method: two evaluations a step.

    Args:
        network: ``network(x, times, known) -> velocity``.
        values: given entries, ``(B, size)``; ignored where ``known`` is 0.
        known: 1 where an entry is given, ``(B, size)``.
        noise: standard normal start, ``(B, size)``.
        num_steps: steps of equal length; the network is evaluated ``2 * num_steps`` times.

    Returns:
        Record vectors ``(B, size)``, given entries unchanged.

    Raises:
        ValueError: if ``num_steps`` is less than one.

    Source:
        Rectified flow: Liu et al. 2022, https://arxiv.org/abs/2209.03003.
    """
    if num_steps < 1:
        raise ValueError(f"num_steps is {num_steps}; take at least one step.")
    free = 1 - known
    x = noise * free + values * known
    for step in range(num_steps):
        start, end = (torch.full((len(x),), moment / num_steps).to(x) for moment in (step, step + 1))
        first = network(x, start, known) * free
        second = network(x + first / num_steps, end, known) * free
        x = x + (first + second) / (2 * num_steps)
    return x
