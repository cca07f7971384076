"""Losses: what each network minimises."""

from __future__ import annotations

from .alpha_gan_loss import AlphaGanLoss
from .gradient_penalty import GradientPenaltyLoss

__all__ = ["AlphaGanLoss", "GradientPenaltyLoss"]
