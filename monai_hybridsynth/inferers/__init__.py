"""Inferers: how trained networks are asked."""

from __future__ import annotations

from .alpha_gan_sampling import AlphaGanSamplingInferer, draw_codes, latent_records
from .record_flow_sampling import sample_record_flow

__all__ = ["AlphaGanSamplingInferer", "draw_codes", "latent_records", "sample_record_flow"]
