"""Pictures of a training: fixed images, their reconstructions, and samples at fixed codes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from PIL import Image
from torch import distributed, nn

__all__ = ["SampleGrid", "tile_images"]


def tile_images(images: torch.Tensor, *, columns: int) -> np.ndarray:
    """Lay images ``(N, C, S, S)`` in [-1, 1] on a grid, row by row; returns uint8 ``(rows * S, columns * S)``.

    Only the first channel is drawn; missing places stay black.
    """
    size = images.shape[-1]
    rows = -(-len(images) // columns)
    canvas = np.zeros((rows, columns, size, size), dtype=np.uint8)
    pixels = ((images[:, 0].float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).cpu().numpy()
    canvas.reshape(-1, size, size)[: len(images)] = pixels
    return canvas.transpose(0, 2, 1, 3).reshape(rows * size, columns * size)


class SampleGrid:
    """Writes a grid per epoch: a row of real images, one of their reconstructions, and rows of samples.

    3-D images are shown by their middle slice.

    Args:
        network: the autoencoder to show, with ``encoder`` and ``generator``; usually the averaged one.
        images: real images to reconstruct, ``(N, C, S, S[, S])``; N sets the number of columns.
        folder: where ``epoch_0001.png`` and so on go.
        sample_rows: rows of samples from the prior.
        interval: epochs between two grids.
        writer: optional TensorBoard ``SummaryWriter``.
        seed: seed of the codes, the same in every epoch.
    """

    def __init__(
        self,
        network: nn.Module,
        images: torch.Tensor,
        folder: str | Path,
        *,
        sample_rows: int = 3,
        interval: int = 1,
        writer: Any = None,
        seed: int = 0,
    ) -> None:
        self.network, self.images, self.folder = network, torch.as_tensor(images), Path(folder)
        self.interval, self.writer = interval, writer
        generator = torch.Generator().manual_seed(seed)
        latent_dim = int(network.encoder.latent_dim)  # type: ignore[arg-type, union-attr]
        self.codes = torch.randn(sample_rows * len(self.images), latent_dim, generator=generator)

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
        images = self.images.to(device)
        rows = torch.cat([images, self.network(images), self.network.generator(self.codes.to(device))])  # type: ignore[operator]
        self.network.train(training)
        if rows.ndim == 5:
            rows = rows[..., rows.shape[-1] // 2]
        grid = tile_images(rows, columns=len(images))
        self.folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(grid).save(self.folder / f"epoch_{engine.state.epoch:04d}.png")
        if self.writer is not None:
            self.writer.add_image("real, reconstructed, sampled", grid[None], engine.state.epoch)
