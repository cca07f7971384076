"""Likeness of two images by structure at several scales; over random pairs of a cohort it shows mode collapse."""

from __future__ import annotations

import torch
from monai.metrics import MultiScaleSSIMMetric

__all__ = ["pairwise_ms_ssim"]

KERNEL_SIZE = 11
# Of Wang, Simoncelli and Bovik 2003, as in MONAI; small images use the first ones, scaled to a sum of one.
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def pairwise_ms_ssim(first: torch.Tensor, second: torch.Tensor, *, block: int = 256) -> torch.Tensor:
    """Return the multi-scale structural similarity of each pair, float64 ``(N,)``; 1 for equal images.

    Uses MONAI's metric with as many of its five scales as the images have room for (three at 64 pixels), so values
    are comparable only at one size.

    Args:
        first: images, shape ``(N, C, S, S)`` in [-1, 1].
        second: their partners, same shape.
        block: pairs compared at a time.

    Raises:
        ValueError: if shapes differ or the images are smaller than 11 pixels.
    """
    if first.shape != second.shape or first.ndim != 4:
        raise ValueError(f"expected pairs of images (N, C, S, S), got {tuple(first.shape)} and {tuple(second.shape)}.")
    size = min(first.shape[2:])
    # The second condition is what MONAI asks for; the first what its kernel needs after halving n - 1 times.
    room = [
        n
        for n in range(1, len(SCALE_WEIGHTS) + 1)
        if size // 2 ** (n - 1) >= KERNEL_SIZE and size // max(1, n - 1) ** 2 >= KERNEL_SIZE
    ]
    if not room:
        raise ValueError(f"images have an edge of {size} pixels; MS-SSIM needs at least {KERNEL_SIZE}.")
    chosen = SCALE_WEIGHTS[: room[-1]]
    metric = MultiScaleSSIMMetric(
        spatial_dims=2, data_range=1.0, kernel_size=KERNEL_SIZE, weights=[weight / sum(chosen) for weight in chosen]
    )
    if not len(first):
        return torch.zeros(0, dtype=torch.float64)
    found = []
    with torch.no_grad():
        for pair in zip(first.split(block), second.split(block), strict=True):
            found.append(metric(*((side.float() + 1) / 2 for side in pair))[:, 0].double())
    return torch.cat(found)
