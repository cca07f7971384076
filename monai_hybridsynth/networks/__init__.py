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
from .conditional_unet import ConditionalUNet
from .record_embedding import RecordEmbedding
from .record_velocity import RecordVelocity

__all__ = [
    "AlphaGanAutoencoder",
    "AlphaGanCodeDiscriminator",
    "AlphaGanEncoder",
    "AlphaGanGenerator",
    "AlphaGanImageDiscriminator",
    "ConditionalUNet",
    "RecordEmbedding",
    "RecordVelocity",
    "UpsampleConvolution",
]
