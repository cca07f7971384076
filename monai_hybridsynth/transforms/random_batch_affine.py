"""Small random motions of a whole batch at once, drawn from an explicit generator."""

from __future__ import annotations

import torch
from torch.nn import functional

__all__ = ["RandomBatchAffine"]


class RandomBatchAffine:
    """Rotates, scales, shifts and changes the contrast of every image of a batch a little.

    MONAI's random transforms work image by image on the loader's side and draw from their own state; this one
    transforms the batch on its device, and the caller's generator makes the draw repeatable after a resume. It never
    mirrors: left and right carry meaning.

    Args:
        rotate: largest rotation about each axis, radians.
        scale: largest relative change of size.
        translate: largest shift as a share of half the image.
        contrast: largest relative change of contrast about the image's darkest value, -1.
    """

    def __init__(
        self, *, rotate: float = 0.05, scale: float = 0.05, translate: float = 0.05, contrast: float = 0.1
    ) -> None:
        self.rotate, self.scale, self.translate, self.contrast = rotate, scale, translate, contrast

    def __call__(self, images: torch.Tensor, *, generator: torch.Generator | None = None) -> torch.Tensor:
        """Return moved copies of ``images``, shape ``(B, C, S, S[, S])`` in [-1, 1]."""
        count, dims = len(images), images.ndim - 2

        def uniform(*shape: int) -> torch.Tensor:
            return torch.rand(count, *shape, generator=generator) * 2 - 1

        turn = torch.triu(uniform(dims, dims), diagonal=1) * self.rotate
        rotation = torch.linalg.matrix_exp(turn - turn.mT)
        theta = torch.cat([rotation * (1 + self.scale * uniform(1, 1)), self.translate * uniform(dims, 1)], dim=2).to(
            images
        )
        grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
        # Linear interpolation loses a third of the finest detail, and a generator would learn to draw without it.
        mode = "bicubic" if dims == 2 else "bilinear"
        moved = functional.grid_sample(images, grid, mode=mode, padding_mode="border", align_corners=False)
        gain = (1 + self.contrast * uniform(*[1] * (dims + 1))).to(images)
        return ((moved + 1) * gain - 1).clamp(-1, 1)
