"""From codes to images with a frozen generator, each record from a seed of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from monai.inferers import Inferer
from torch import nn

__all__ = ["AlphaGanSamplingInferer", "draw_codes", "latent_records"]


def draw_codes(num_records: int, latent_dim: int, *, seed: int, first_record: int = 0) -> torch.Tensor:
    """Return codes of the prior N(0, I), ``(num_records, latent_dim)`` float32.

    Record ``i`` depends on ``seed`` and ``i`` only, so blocks of any size give the same cohort.
    """
    rows = [
        np.random.default_rng([seed, record]).standard_normal(latent_dim, dtype=np.float32)
        for record in range(first_record, first_record + num_records)
    ]
    return torch.from_numpy(np.stack(rows)) if rows else torch.empty(0, latent_dim)


def latent_records(
    dataset_dir: str | Path | None, *, num_records: int, latent_dim: int, seed: int
) -> list[dict[str, torch.Tensor]]:
    """List codes as MONAI dictionaries ``{"image": (latent_dim,)}``: a network's input goes by that key.

    Args:
        dataset_dir: a latent table (Parquet or CSV with columns ``latent_000 ...``), a folder with
            ``latents.parquet``, or None to draw from the prior.
        num_records: codes to draw, when drawn.
        latent_dim: length of a code.
        seed: seed of the draw.

    Raises:
        ValueError: if the table has another number of latent columns.
    """
    if dataset_dir is None:
        codes = draw_codes(num_records, latent_dim, seed=seed)
    else:
        path = Path(dataset_dir)
        path = path / "latents.parquet" if path.is_dir() else path
        table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
        columns = sorted(name for name in table.columns if name.startswith("latent_"))
        if len(columns) != latent_dim:
            raise ValueError(
                f"{path} has {len(columns)} columns named latent_..., but the generator decodes {latent_dim}; "
                "encode the cohort with the encoder that belongs to this generator."
            )
        codes = torch.from_numpy(table[columns].to_numpy(np.float32))
    return [{"image": code} for code in codes]


class AlphaGanSamplingInferer(Inferer):
    """Decode codes ``(B, latent_dim)`` to images ``(B, C, S, S[, S])`` in [-1, 1].

    Args:
        batch_size: images decoded at a time.
    """

    def __init__(self, *, batch_size: int = 256) -> None:
        super().__init__()
        self.batch_size = batch_size

    @torch.no_grad()
    def __call__(self, inputs: torch.Tensor, network: nn.Module, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Decode ``inputs``; extra arguments are passed on to ``network``, as MONAI's inferers do.

        Raises:
            RuntimeError: if ``network`` is in training mode, where batch norm would mix the records of a batch.
        """
        if network.training:
            raise RuntimeError("the generator is in training mode: each image would depend on the others; call eval().")
        return torch.cat([network(block, *args, **kwargs) for block in inputs.split(self.batch_size)])

    def sample(self, num_records: int, network: nn.Module, *, latent_dim: int, seed: int) -> torch.Tensor:
        """Draw codes from the prior and decode them, on the CPU."""
        return self(draw_codes(num_records, latent_dim, seed=seed), network)
