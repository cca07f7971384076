"""Train the velocity of a flow on record vectors, with random parts of each record given."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from ignite.engine import Engine
from torch import nn

__all__ = ["RecordFlowTrainer", "flow_losses"]

Velocity = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]

# Shares of the training records of which nothing, the clinical part, the image part, or any random part is given.
_GIVEN = (0.4, 0.2, 0.2, 0.2)


def random_known(count: int, blocks: Sequence[slice], num_clinical: int, generator: torch.Generator) -> torch.Tensor:
    """Draw which entries are given, float32 ``(count, size)``; entries of one block are given together.

    Args:
        count: records.
        blocks: entries that belong together; the last stop is the vector's size.
        num_clinical: entries of the clinical part; the rest is the image's.
        generator: of the draw.
    """
    size = blocks[-1].stop
    kind = torch.multinomial(torch.tensor(_GIVEN), count, replacement=True, generator=generator)
    share = torch.rand(count, 1, generator=generator)
    drawn = torch.rand(count, len(blocks), generator=generator) < share
    widths = torch.tensor([block.stop - block.start for block in blocks])
    known = drawn.repeat_interleave(widths, dim=1) & (kind == 3)[:, None]
    clinical = torch.arange(size) < num_clinical
    known |= (kind == 1)[:, None] & clinical
    known |= (kind == 2)[:, None] & ~clinical
    return known.float()


def flow_losses(
    network: Velocity, records: torch.Tensor, noise: torch.Tensor, times: torch.Tensor, known: torch.Tensor
) -> torch.Tensor:
    """Return the squared error of the velocity on what is not given, the mean per record, shape ``(B,)``.

    Args:
        network: ``network(x, times, known) -> velocity``.
        records: ``(B, size)``.
        noise: standard normal, ``(B, size)``.
        times: ``(B,)`` in [0, 1].
        known: 1 where an entry is given, ``(B, size)``.

    Source:
        Rectified flow: Liu et al. 2022, https://arxiv.org/abs/2209.03003.
    """
    free = 1 - known
    moving = times[:, None] * records + (1 - times[:, None]) * noise
    velocity = network(moving * free + records * known, times, known)
    error = (velocity - (records - noise)).square() * free
    return error.sum(1) / free.sum(1).clamp_min(1)


class RecordFlowTrainer(Engine):
    """An ignite engine whose step trains on a batch drawn with replacement, patients with equal chances.

    Run it over ``range(steps)``: the data do not come from a loader, since the whole table is small. Every draw comes
    from one generator, so equal seeds give equal weights.

    Args:
        network: ``network(x, times, known) -> velocity``.
        optimizer: of the network.
        records: vectors of the training records, ``(rows, size)``.
        weights: chance of each record, ``(rows,)``.
        blocks: entries that are given together.
        num_clinical: entries of the clinical part.
        batch_size: records a step.
        clip_norm: largest norm of the gradient.
        seed: of every draw.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        records: torch.Tensor,
        weights: torch.Tensor,
        blocks: Sequence[slice],
        num_clinical: int,
        batch_size: int = 256,
        clip_norm: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(self._step)
        self.network, self.optimizer = network, optimizer
        self.records, self.weights, self.blocks, self.num_clinical = records, weights, list(blocks), num_clinical
        self.batch_size, self.clip_norm = batch_size, clip_norm
        self.random = torch.Generator().manual_seed(seed)

    def _step(self, engine: Engine, step: int) -> float:
        self.network.train()
        rows = torch.multinomial(self.weights, self.batch_size, replacement=True, generator=self.random)
        noise = torch.randn(self.batch_size, self.records.shape[1], generator=self.random)
        times = torch.rand(self.batch_size, generator=self.random)
        known = random_known(self.batch_size, self.blocks, self.num_clinical, self.random)
        device = next(self.network.parameters()).device
        batch = [part.to(device) for part in (self.records[rows], noise, times, known)]
        self.optimizer.zero_grad(set_to_none=True)
        loss = flow_losses(self.network, *batch).mean()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), self.clip_norm)
        self.optimizer.step()
        return loss.item()
