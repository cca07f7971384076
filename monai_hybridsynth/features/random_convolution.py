"""An untrained convolutional embedding: a judge that has seen no image and needs no download."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

__all__ = ["RandomConvolutionFeatures"]


class RandomConvolutionFeatures(nn.Module):
    """Fixed random convolutions, pooled to ``num_features`` means and standard deviations at several scales.

    Random embeddings compare distributions of images that no pretrained network knows; being untrained, they cannot
    favour a generator. Standard deviations of the responses make them sensitive to blur and speckle.

    Shape:
        - input: ``(B, in_channels, S, S)`` in [-1, 1], S at least ``2 ** num_scales``
        - output: ``(B, 2 * num_scales * channels)``

    Args:
        in_channels: image channels.
        channels: filters per scale.
        num_scales: scales, each half the size of the one before.
        seed: seed of the filters.

    Source:
        Random embeddings for medical and other unusual images: Naeem et al. 2020, https://arxiv.org/abs/2002.09797.
        Differs from the paper: pooled shallow filters in place of a random VGG.
    """

    first: torch.Tensor
    second: torch.Tensor

    def __init__(self, in_channels: int = 1, *, channels: int = 16, num_scales: int = 4, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.num_scales = num_scales
        first = torch.randn(channels, in_channels, 5, 5, generator=generator)
        second = torch.randn(channels, channels, 3, 3, generator=generator)
        # zero-mean filters answer to structure, not to overall brightness
        first = first - first.mean(dim=(2, 3), keepdim=True)
        self.register_buffer("first", first / first.flatten(1).norm(dim=1).view(-1, 1, 1, 1))
        self.register_buffer("second", second / second.flatten(1).norm(dim=1).view(-1, 1, 1, 1))

    @torch.no_grad()
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Embed images ``(B, C, S, S)``."""
        pooled = []
        for _ in range(self.num_scales):
            response = functional.relu(functional.conv2d(x, self.first, padding=2))
            response = functional.conv2d(response, self.second, padding=1)
            pooled += [response.mean(dim=(2, 3)), response.std(dim=(2, 3))]
            x = functional.avg_pool2d(x, 2)
        return torch.cat(pooled, dim=1)
