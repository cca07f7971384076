"""Inferers: how trained networks are asked."""

from __future__ import annotations

from .alpha_gan_sampling import AlphaGanSamplingInferer, draw_codes, latent_records

__all__ = ["AlphaGanSamplingInferer", "draw_codes", "latent_records"]
