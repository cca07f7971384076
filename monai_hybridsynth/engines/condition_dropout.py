"""What a diffusion network is shown in a step: noise, timesteps, the velocity to predict, and rows, some left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines import VPredictionPrepareBatch
from torch import distributed

__all__ = ["ConditionDropoutBatch"]

# Min-SNR gives the pure-noise step of a zero-SNR schedule no weight at all; sampling begins there, so it gets some.
_LEAST_SHARE = 0.05


class ConditionDropoutBatch(VPredictionPrepareBatch):
    """MONAI's prepare-batch for v-prediction, with condition dropout and draws that follow from seed and epoch.

    Give it to a trainer as ``prepare_batch`` and also as a handler: as a handler it seeds its draws when an epoch
    starts, so that a resumed training sees the noise of an uninterrupted one, whatever the device.

    Args:
        scheduler: of the training, with ``add_noise``, ``get_velocity`` and ``alphas_cumprod``; diffusers' DDIM with
            ``squaredcos_cap_v2``, ``v_prediction`` and ``rescale_betas_zero_snr`` is that of the paper.
        num_train_timesteps: steps of the schedule.
        dropout: share of the rows that are replaced by "no condition"; 0.1 in the paper, 0 to validate.
        snr_gamma: draw timesteps in proportion to min-SNR weights with this gamma; None draws them uniformly.
        augmentation: ``augmentation(images, generator=...)`` changes the images of a batch.
        fixed: draw the same in every epoch, so that validation losses are comparable.
        seed: of every draw.
        condition_key: entry of a batch with encoded rows ``(B, num_features)``; images go by ``image``.

    Raises:
        ValueError: if ``dropout`` is no share or ``snr_gamma`` is not positive.

    Source:
        Classifier-free guidance: Ho and Salimans 2022, https://arxiv.org/abs/2207.12598. Min-SNR: Hang et al. 2023,
        https://arxiv.org/abs/2303.09556. Differs from the paper: timesteps are drawn in proportion to the weights
        instead of weighting the losses, which has the same expected gradient up to a factor; and no timestep is drawn
        less than a twentieth as often as the most frequent one.
    """

    def __init__(
        self,
        scheduler: Any,
        num_train_timesteps: int = 1000,
        *,
        dropout: float = 0.1,
        snr_gamma: float | None = None,
        augmentation: Callable[..., torch.Tensor] | None = None,
        fixed: bool = False,
        seed: int = 0,
        condition_key: str = "condition",
    ) -> None:
        if not 0 <= dropout <= 1:
            raise ValueError(f"dropout is {dropout}; give the share of rows without a condition, from 0 to 1.")
        if snr_gamma is not None and snr_gamma <= 0:
            raise ValueError(f"snr_gamma is {snr_gamma}; give a positive number, usually 5, or null for uniform steps.")
        super().__init__(scheduler, num_train_timesteps, condition_name=condition_key)
        self.dropout, self.snr_gamma, self.augmentation = dropout, snr_gamma, augmentation
        self.fixed, self.seed = fixed, seed
        self.random = torch.Generator()
        self._seed_draws(0)

    def attach(self, engine: Engine) -> None:
        """Seed the draws when an epoch of ``engine`` starts."""
        engine.add_event_handler(Events.EPOCH_STARTED, lambda: self._seed_draws(engine.state.epoch))

    def _seed_draws(self, epoch: int) -> None:
        rank = distributed.get_rank() if distributed.is_initialized() else 0
        self.random.manual_seed((self.seed * 1_000_003 + (0 if self.fixed else epoch)) * 1_009 + rank)

    def timestep_weights(self) -> torch.Tensor:
        """Return how often each timestep is drawn, relative to the others, shape ``(num_train_timesteps,)``."""
        if self.snr_gamma is None:
            return torch.ones(self.num_train_timesteps)
        alphas = self.scheduler.alphas_cumprod.double().cpu()
        signal_to_noise = alphas / (1 - alphas)
        # Hang et al.'s weight on the image's error, min(SNR, gamma), is this on the velocity's.
        weights = signal_to_noise.clamp(max=self.snr_gamma) / (signal_to_noise + 1)
        return weights.clamp_min(_LEAST_SHARE * weights.max()).float()

    def get_noise(self, images: torch.Tensor) -> torch.Tensor:
        """Return standard normal noise, drawn on the CPU so that it does not depend on the device."""
        return torch.randn(images.shape, generator=self.random).to(images)

    def get_timesteps(self, images: torch.Tensor) -> torch.Tensor:
        """Return a timestep per image."""
        drawn = torch.multinomial(self.timestep_weights(), len(images), replacement=True, generator=self.random)
        return drawn.to(images.device)

    def __call__(
        self,
        batchdata: dict[str, torch.Tensor],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor, tuple, dict]:
        """Return images, velocities, no arguments, and noise, timesteps and conditions by keyword."""
        images = torch.as_tensor(batchdata["image"])
        if self.augmentation is not None:
            images = self.augmentation(images, generator=self.random)
        condition = torch.as_tensor(batchdata[self.condition_name]).float()
        dropped = torch.rand(len(condition), 1, generator=self.random) < self.dropout
        batch = {"image": images, self.condition_name: condition.masked_fill(dropped, torch.nan)}
        return super().__call__(batch, device, non_blocking, **kwargs)
