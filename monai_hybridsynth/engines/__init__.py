"""Engines: how networks are trained."""

from __future__ import annotations

from .alpha_gan_trainer import AlphaGanTrainer

__all__ = ["AlphaGanTrainer"]
