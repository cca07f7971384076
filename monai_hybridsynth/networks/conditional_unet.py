"""MONAI's diffusion U-Net with a clinical row as its condition."""

from __future__ import annotations

from typing import Any

import torch
from monai.networks.nets import DiffusionModelUNet
from torch import nn

from .record_embedding import EncodesRecords, RecordEmbedding

__all__ = ["ConditionalUNet"]


class ConditionalUNet(nn.Module):
    """Predict the velocity of a noised image, given a clinical row or none.

    The row's embedding is added to the time embedding, in the place where MONAI's network adds that of a class. A
    network made with ``with_conditioning`` attends to it instead.

    Args:
        unet: MONAI's network for the images, 2-D or 3-D.
        encoder: the fitted encoding of the rows, a :class:`monai_hybridsynth.transforms.RecordEncoder`; None for a
            network without conditions.
        num_tokens: embeddings of a row that a network ``with_conditioning`` attends to. Not in the paper, which adds.

    Shape:
        - x: ``(B, C, S, S[, S])``; timesteps: ``(B,)``; context: ``(B, num_features)``; output: ``(B, C, S, S[, S])``

    Source:
        Khosravi et al. 2023, https://arxiv.org/abs/2311.09402. Differs from the paper: MONAI's blocks shift by the
        embedding and do not scale by it.
    """

    def __init__(self, unet: DiffusionModelUNet, *, encoder: EncodesRecords | None = None, num_tokens: int = 4) -> None:
        super().__init__()
        self.unet = unet
        if unet.with_conditioning:
            width = unet.middle_block.attention.transformer_blocks[0].attn2.to_k.in_features
            self.embedding = RecordEmbedding(width, encoder=encoder, num_tokens=num_tokens)
        else:
            self.embedding = RecordEmbedding(unet.time_embed[-1].out_features, encoder=encoder)
            unet.num_class_embeds = 1
            unet.class_embedding = nn.Identity()

    @property
    def in_channels(self) -> int:
        """Channels of an image."""
        return self.unet.in_channels

    @property
    def record_encoding(self) -> dict[str, Any]:
        """What the entries of a condition mean, for ``RecordEncoder.from_dict``."""
        return self.embedding.encoding

    def forward(self, x: torch.Tensor, timesteps: torch.Tensor, context: torch.Tensor | None = None) -> torch.Tensor:
        """Return the velocity of ``x``.

        Args:
            x: noised images.
            timesteps: how noised each one is, 0 to the training steps.
            context: encoded rows; a row of NaN, or None for all, means no condition.
        """
        embedded = self.embedding(self.embedding.unconditional(x) if context is None else context)
        if self.unet.with_conditioning:
            return self.unet(x, timesteps, context=embedded)
        return self.unet(x, timesteps, class_labels=embedded[:, 0])
