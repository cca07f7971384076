"""Changes behind which a copy of an image may hide: blur, moves, sizes, mirroring, grey-value curves, noise."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional

__all__ = ["COPY_CHANGES", "bent", "blurred", "cropped", "moved", "noisy"]


def blurred(images: torch.Tensor, sigma: float) -> torch.Tensor:
    """Blur images ``(N, C, H, W)`` with a Gaussian of ``sigma`` pixels."""
    reach = int(3 * sigma) + 1
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    kernel = (kernel / kernel.sum()).view(1, 1, 1, -1).repeat(images.shape[1], 1, 1, 1)
    padded = functional.pad(images, (reach, reach, reach, reach), mode="replicate")
    across = functional.conv2d(padded, kernel, groups=images.shape[1])
    return functional.conv2d(across, kernel.transpose(2, 3), groups=images.shape[1])


def moved(images: torch.Tensor, pixels: int) -> torch.Tensor:
    """Move images ``(N, C, H, W)`` down and left, repeating the edge."""
    padded = functional.pad(images, (pixels, pixels, pixels, pixels), mode="replicate")
    return padded[..., : images.shape[2], 2 * pixels :]


def cropped(images: torch.Tensor, share: float) -> torch.Tensor:
    """Keep the middle of images ``(N, C, H, W)``, a ``share`` of each side, and enlarge it."""
    edge = round(images.shape[2] * (1 - share) / 2)
    middle = images[..., edge : images.shape[2] - edge, edge : images.shape[3] - edge]
    return functional.interpolate(middle, size=images.shape[2:], mode="bilinear", antialias=True)


def bent(images: torch.Tensor, gamma: float) -> torch.Tensor:
    """Bend the grey-value curve of images in [-1, 1]."""
    return ((images + 1) / 2).clamp(0, 1) ** gamma * 2 - 1


def noisy(images: torch.Tensor) -> torch.Tensor:
    """Add Gaussian noise of a twentieth of the grey range to images in [-1, 1], always the same."""
    return (images + 0.1 * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))).clamp(-1, 1)


# What a copy detector is tried on; pixels are those of images of 64.
COPY_CHANGES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "none": lambda x: x,
    "blurred, 1 px": lambda x: blurred(x, 1.0),
    "moved by 2 px both ways": lambda x: moved(x, 2),
    "cropped to 90 %": lambda x: cropped(x, 0.9),
    "cropped to 80 %": lambda x: cropped(x, 0.8),
    "mirrored": lambda x: x.flip(-1),
    "gamma 0.6": lambda x: bent(x, 0.6),
    "gamma 1.6": lambda x: bent(x, 1.6),
    "noise": noisy,
    "mirrored, moved, cropped, gamma": lambda x: bent(cropped(moved(x.flip(-1), 2), 0.9), 0.7),
}
