"""Pictures of a conditional training: real images above samples drawn for the same rows at fixed noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from PIL import Image
from torch import distributed, nn

from .sample_grid import tile_images

__all__ = ["ConditionGrid"]


class ConditionGrid:
    """Writes a grid per epoch: a row of real images, then rows of samples, each column under its real row's condition.

    3-D images are shown by their middle slice.

    Args:
        network: to sample from, usually the averaged one.
        inferer: with ``sample(noise, network, condition)``, e.g.
            :class:`monai_hybridsynth.inferers.GuidedDiffusionInferer`.
        images: real images, ``(N, C, S, S[, S])`` in [-1, 1]; N sets the number of columns.
        conditions: their encoded rows, ``(N, num_features)``.
        folder: where ``epoch_0001.png`` and so on go.
        sample_rows: rows of samples; the noise of a row is the same in all its columns.
        interval: epochs between two grids.
        writer: optional TensorBoard ``SummaryWriter``.
        seed: seed of the noise, the same in every epoch.
    """

    def __init__(
        self,
        network: nn.Module,
        inferer: Any,
        *,
        images: torch.Tensor,
        conditions: torch.Tensor,
        folder: str | Path,
        sample_rows: int = 3,
        interval: int = 1,
        writer: Any = None,
        seed: int = 0,
    ) -> None:
        self.network, self.inferer = network, inferer
        self.images, self.conditions = torch.as_tensor(images), torch.as_tensor(conditions)
        self.folder, self.interval, self.writer = Path(folder), interval, writer
        generator = torch.Generator().manual_seed(seed)
        # One noise per row of the grid: what differs within a row is the condition's doing.
        noise = torch.randn(sample_rows, 1, *self.images.shape[1:], generator=generator)
        self.noise = noise.expand(-1, len(self.images), *self.images.shape[1:]).flatten(0, 1)

    def attach(self, engine: Engine) -> None:
        """Draw when an epoch of ``engine`` ends."""
        engine.add_event_handler(Events.EPOCH_COMPLETED(every=self.interval), self)

    @torch.no_grad()
    def __call__(self, engine: Engine) -> None:
        """Draw the grid of this epoch."""
        if distributed.is_initialized() and distributed.get_rank() != 0:
            return
        device = engine.state.device
        training = self.network.training
        self.network.eval()
        conditions = self.conditions.repeat(len(self.noise) // len(self.images), 1).to(device)
        samples = self.inferer.sample(self.noise.to(device), self.network, conditions)
        self.network.train(training)
        rows = torch.cat([self.images, torch.as_tensor(samples).float().cpu()])
        if rows.ndim == 5:
            rows = rows[..., rows.shape[-1] // 2]
        grid = tile_images(rows, columns=len(self.images))
        self.folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(grid).save(self.folder / f"epoch_{engine.state.epoch:04d}.png")
        if self.writer is not None:
            self.writer.add_image("real, sampled for the same rows", grid[None], engine.state.epoch)
