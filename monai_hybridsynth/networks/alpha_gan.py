"""The four networks of an alphaGAN for images of any power-of-two size, in 2-D and 3-D."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.blocks import Convolution
from torch import nn
from torch.nn import functional

__all__ = [
    "AlphaGanAutoencoder",
    "AlphaGanCodeDiscriminator",
    "AlphaGanEncoder",
    "AlphaGanGenerator",
    "AlphaGanImageDiscriminator",
    "UpsampleConvolution",
    "octave_channels",
]

_COARSEST = 4  # pixels a side where the convolutions end and the linear layer begins (Kwon 2019)
_LEAKY = ("leakyrelu", {"negative_slope": 0.2})
_LARGEST = {2: 512, 3: 64}


def octave_channels(spatial_dims: int, spatial_size: int, channels: int, max_channels: int) -> list[int]:
    """Return the channel count of every octave from the finest to 4 pixels, e.g. ``[32, 64, 128, 256]`` for 64 pixels.

    Raises:
        ValueError: if ``spatial_size`` is not a power of two from 8 to 512 (64 in 3-D).
    """
    if spatial_dims not in _LARGEST:
        raise ValueError(f"spatial_dims is {spatial_dims}; alphaGAN networks exist in 2-D and 3-D.")
    octaves = spatial_size.bit_length() - _COARSEST.bit_length()
    if spatial_size != _COARSEST << max(octaves, 0) or octaves < 1 or spatial_size > _LARGEST[spatial_dims]:
        raise ValueError(
            f"spatial_size is {spatial_size}; choose a power of two from 8 to {_LARGEST[spatial_dims]} "
            f"for {spatial_dims}-D images."
        )
    return [min(channels << octave, max_channels) for octave in range(octaves)]


class UpsampleConvolution(nn.Module):
    """Nearest-neighbour doubling followed by a 3x3 convolution, computed as one transposed convolution.

    Each output pixel of the doubled image sees only two distinct input pixels per axis, so the 3-tap kernel folds
    into a 4-tap stride-2 transposed kernel with the same result: 2.25 times fewer multiplications in 2-D and no
    enlarged image in memory. The parameters are those of the plain 3x3 convolution.

    Shape:
        - input: ``(B, in_channels, S, ...)``; output: ``(B, out_channels, 2 S, ...)``
    """

    def __init__(self, spatial_dims: int, in_channels: int, out_channels: int, *, bias: bool = True) -> None:
        super().__init__()
        self.spatial_dims = spatial_dims
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, *[3] * spatial_dims))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)  # torch's own default for convolutions
        fold = torch.tensor([[0.0, 0.0, 1.0], [0.0, 1.0, 1.0], [1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
        self.register_buffer("fold", fold, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Double and convolve ``x``."""
        fold = self.fold.to(self.weight.dtype)
        if self.spatial_dims == 2:
            weight = torch.einsum("oiab,pa,qb->iopq", self.weight, fold, fold)
            return functional.conv_transpose2d(x, weight, self.bias, stride=2, padding=1)
        weight = torch.einsum("oiabc,pa,qb,rc->iopqr", self.weight, fold, fold, fold)
        return functional.conv_transpose3d(x, weight, self.bias, stride=2, padding=1)


def _downsampling(spatial_dims: int, in_channels: int, channels: Sequence[int], norm: str | None) -> nn.Sequential:
    """Stride-2 4x4 convolutions, one per octave; the first has no norm, as in DCGAN."""
    layers = nn.Sequential()
    for index, out_channels in enumerate(channels):
        layer_norm = norm if index else None
        layers.append(
            Convolution(
                spatial_dims,
                in_channels,
                out_channels,
                strides=2,
                kernel_size=4,
                padding=1,
                adn_ordering="NA",
                act=_LEAKY,
                norm=(layer_norm, {"affine": True}) if layer_norm else None,
                bias=layer_norm is None,
            )
        )
        in_channels = out_channels
    return layers


class AlphaGanEncoder(nn.Module):
    """E: image to code. Deterministic, no KL term.

    Shape:
        - input: ``(B, in_channels, S, S[, S])`` in [-1, 1]; output: ``(B, latent_dim)``, near N(0, I) once trained

    Args:
        spatial_dims: 2 or 3.
        in_channels: image channels, e.g. 1 for radiographs or one per CT window.
        spatial_size: pixels a side, a power of two: 8 to 512 in 2-D, to 64 in 3-D.
        latent_dim: length of the code; 128 in Kikuchi 2023.
        channels: channels of the finest octave, doubled per octave. Not stated in the paper.
        max_channels: upper limit of that doubling. Not stated in the paper.
        norm: MONAI name of the norm of inner layers, or None.

    Raises:
        ValueError: if the size is not supported.

    Source:
        Kwon et al. 2019, https://arxiv.org/abs/1908.02498; Rosca et al. 2017, https://arxiv.org/abs/1706.04987.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        spatial_size: int,
        latent_dim: int = 128,
        channels: int = 32,
        max_channels: int = 512,
        norm: str | None = "batch",
    ) -> None:
        super().__init__()
        widths = octave_channels(spatial_dims, spatial_size, channels, max_channels)
        self.spatial_dims, self.in_channels = spatial_dims, in_channels
        self.spatial_size, self.latent_dim = spatial_size, latent_dim
        self.features = _downsampling(spatial_dims, in_channels, widths, norm)
        self.code = nn.Linear(widths[-1] * _COARSEST**spatial_dims, latent_dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Encode images ``(B, C, S, S[, S])`` to codes ``(B, latent_dim)``."""
        return self.code(self.features(x).flatten(1))


class AlphaGanGenerator(nn.Module):
    """G: code to image, tanh output in [-1, 1].

    Shape:
        - input: ``(B, latent_dim)``; output: ``(B, out_channels, S, S[, S])``

    Args:
        spatial_dims: 2 or 3.
        out_channels: image channels.
        spatial_size: pixels a side, a power of two: 8 to 512 in 2-D, to 64 in 3-D.
        latent_dim: length of the code.
        channels: channels of the finest octave, doubled per octave.
        max_channels: upper limit of that doubling.

    Raises:
        ValueError: if the size is not supported.

    Source:
        Kwon et al. 2019, https://arxiv.org/abs/1908.02498: nearest upsampling and 3x3 convolutions.
    """

    def __init__(
        self,
        spatial_dims: int,
        out_channels: int,
        spatial_size: int,
        latent_dim: int = 128,
        channels: int = 32,
        max_channels: int = 512,
    ) -> None:
        super().__init__()
        widths = octave_channels(spatial_dims, spatial_size, channels, max_channels)
        self.spatial_dims, self.latent_dim = spatial_dims, latent_dim
        self.project = nn.Linear(latent_dim, widths[-1] * _COARSEST**spatial_dims)
        self.unflatten = nn.Unflatten(1, (widths[-1], *[_COARSEST] * spatial_dims))
        batch_norm = nn.BatchNorm2d if spatial_dims == 2 else nn.BatchNorm3d
        self.octaves = nn.Sequential(batch_norm(widths[-1]), nn.ReLU(inplace=True))
        for wide, narrow in zip(widths[:0:-1], widths[-2::-1], strict=True):
            self.octaves.append(UpsampleConvolution(spatial_dims, wide, narrow, bias=False))
            self.octaves.append(batch_norm(narrow))
            self.octaves.append(nn.ReLU(inplace=True))
        self.image = UpsampleConvolution(spatial_dims, widths[0], out_channels)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Decode codes ``(B, latent_dim)`` to images ``(B, C, S, S[, S])`` in [-1, 1]."""
        return torch.tanh(self.image(self.octaves(self.unflatten(self.project(z)))))


class AlphaGanImageDiscriminator(nn.Module):
    """D: image to one logit (or critic value, with ``norm=None`` under a gradient penalty).

    Shape:
        - input: ``(B, in_channels, S, S[, S])``; output: ``(B, 1)``
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        spatial_size: int,
        channels: int = 32,
        max_channels: int = 512,
        norm: str | None = "batch",
    ) -> None:
        super().__init__()
        widths = octave_channels(spatial_dims, spatial_size, channels, max_channels)
        self.features = _downsampling(spatial_dims, in_channels, widths, norm)
        self.score = nn.Linear(widths[-1] * _COARSEST**spatial_dims, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Score images ``(B, C, S, S[, S])``; higher means more real."""
        return self.score(self.features(x).flatten(1))


class AlphaGanCodeDiscriminator(nn.Module):
    """C: code to one logit. No batch norm: it would hide exactly the moments that C must compare.

    Shape:
        - input: ``(B, latent_dim)``; output: ``(B, 1)``
    """

    def __init__(self, latent_dim: int = 128, channels: int = 750) -> None:
        super().__init__()
        # 750 hidden units as in Rosca 2017; the depth is not stated for Kwon 2019.
        self.score = nn.Sequential(
            nn.Linear(latent_dim, channels),
            nn.LeakyReLU(0.2),
            nn.Linear(channels, channels),
            nn.LeakyReLU(0.2),
            nn.Linear(channels, 1),
        )

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Score codes ``(B, latent_dim)``; higher means more like the prior."""
        return self.score(z)


class AlphaGanAutoencoder(nn.Module):
    """E and G as one network, ``image -> reconstruction``: what is averaged, validated and shipped.

    Shape:
        - input and output: ``(B, C, S, S[, S])`` in [-1, 1]
    """

    def __init__(self, encoder: nn.Module, generator: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.generator = generator

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return G(E(x))."""
        return self.generator(self.encoder(x))
