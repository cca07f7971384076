"""Limit the norm of the gradients of MONAI's supervised trainer, with mixed precision and accumulation."""

from __future__ import annotations

import math

import torch
from monai.engines import IterationEvents, SupervisedTrainer

__all__ = ["GradientClipping"]


class GradientClipping:
    """Clips the gradients just before the optimiser's step.

    With accumulation that is once per step, not per batch; with scaled gradients they are unscaled first. A gradient
    that is not finite ends the training with an error, since clipping would spread it over all weights.

    Args:
        max_norm: largest norm over all parameters; 1 in Khosravi et al. 2023.
    """

    def __init__(self, max_norm: float = 1.0) -> None:
        self.max_norm = max_norm

    def attach(self, engine: SupervisedTrainer) -> None:
        """Clip when gradients of ``engine`` are complete."""
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self)

    def __call__(self, engine: SupervisedTrainer) -> None:
        """Clip, if the optimiser is about to step."""
        steps, length = engine.accumulation_steps, engine.state.epoch_length
        done = engine.state.iteration if length is None else (engine.state.iteration - 1) % length + 1
        if done % steps and done != length:
            return
        scaler = engine.scaler if engine.amp else None
        if scaler is not None:
            scaler.unscale_(engine.optimizer)
        norm = torch.nn.utils.clip_grad_norm_(engine.network.parameters(), self.max_norm)
        if scaler is None and not math.isfinite(norm):
            raise RuntimeError(
                f"training diverged in epoch {engine.state.epoch}: the gradient is not finite; resume from the last "
                "checkpoint with a lower learning rate."
            )
