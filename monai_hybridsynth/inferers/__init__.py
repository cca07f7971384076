"""Inferers: how trained networks are asked."""

from __future__ import annotations

from .alpha_gan_sampling import AlphaGanSamplingInferer, draw_codes, latent_records
from .diffusion_schedule import DiffusionSchedule
from .guided_diffusion import GuidedDiffusionInferer
from .record_flow_sampling import sample_record_flow
from .record_noise import record_noise

__all__ = [
    "AlphaGanSamplingInferer",
    "DiffusionSchedule",
    "GuidedDiffusionInferer",
    "draw_codes",
    "latent_records",
    "record_noise",
    "sample_record_flow",
]
