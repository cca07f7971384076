"""Networks: tensors in, tensors out."""

from __future__ import annotations

from .alpha_gan import (
    AlphaGanAutoencoder,
    AlphaGanCodeDiscriminator,
    AlphaGanEncoder,
    AlphaGanGenerator,
    AlphaGanImageDiscriminator,
    UpsampleConvolution,
)

__all__ = [
    "AlphaGanAutoencoder",
    "AlphaGanCodeDiscriminator",
    "AlphaGanEncoder",
    "AlphaGanGenerator",
    "AlphaGanImageDiscriminator",
    "UpsampleConvolution",
]
