"""Noise that belongs to a record: the same whatever batch, order or process draws it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch

__all__ = ["record_noise"]


def record_noise(
    row_ids: Sequence[str | int], replicas: Sequence[int] | int, shape: Sequence[int], *, seed: int
) -> torch.Tensor:
    """Return standard normal noise, bit by bit a function of seed, row, replica and ``shape`` alone.

    The image made of it is then the same up to the rounding of convolutions, which add in another order when the
    batch has another size.

    Args:
        row_ids: names or numbers of the rows, one per image; ``7`` and ``"7"`` are the same row.
        replicas: which image of its row each one is, or one number for all.
        shape: of one image, ``(C, H, W[, D])``.
        seed: of the cohort.

    Returns:
        ``(len(row_ids), *shape)`` float32, on the CPU.

    Raises:
        ValueError: if there are not as many replicas as rows.
    """
    numbers = [replicas] * len(row_ids) if isinstance(replicas, int) else list(replicas)
    if len(numbers) != len(row_ids):
        raise ValueError(f"replicas has {len(numbers)} entries but row_ids {len(row_ids)}; give one per row.")
    noise = np.empty((len(row_ids), *shape), dtype=np.float32)
    for place, (row, replica) in enumerate(zip(row_ids, numbers, strict=True)):
        key = hashlib.sha256(f"{int(seed)}/{int(replica)}/{row}".encode()).digest()
        np.random.default_rng(int.from_bytes(key[:16], "big")).standard_normal(dtype=np.float32, out=noise[place])
    return torch.from_numpy(noise)
