"""Images from a diffusion network in few steps, with classifier-free guidance."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from monai.inferers import Inferer
from monai.networks import eval_mode
from torch import nn

from .diffusion_schedule import DiffusionSchedule

__all__ = ["GuidedDiffusionInferer"]

Denoiser = Callable[[torch.Tensor, torch.Tensor, Any], torch.Tensor]


class GuidedDiffusionInferer(Inferer):
    """Turn noise into images along the schedule of a diffusers or MONAI scheduler, guided by a condition.

    The network is ``forward(x, timesteps, context=None)``; without a context it answers for "no condition". The two
    answers are combined as ``null + guidance_scale * (conditional - null)``:

    ============== ============================================ ======================
    guidance_scale the images come from                         evaluations per step
    ============== ============================================ ======================
    0              all conditions together; it is not looked at 1
    1              the condition, as the network learned it     1
    any other      above 1: its most typical part, less varied  2
    ============== ============================================ ======================

    No step draws noise: an image depends on its own noise and condition only, up to the rounding of batched
    convolutions. Draw the noise with :func:`monai_hybridsynth.inferers.record_noise` to make it a matter of record
    and seed. Given the exact score of a Gaussian and of mixtures, the largest error of any mean, standard deviation
    and weight is, with "log_snr" (the tests hold these bounds):

    ================== ============== ============== ============== ===============
    scheduler          10 steps       20 steps       50 steps       200 steps
    ================== ============== ============== ============== ===============
    UniPC              .02            .01            .005           .005
    DPM-Solver++       .02            .01            .005           .005
    DDIM, first order  .08            .04            .015           .005
    ================== ============== ============== ============== ===============

    With "trailing" the first two miss .02 at 20 evaluations, and large images lose contrast between their means.

    Args:
        scheduler: diffusers' ``DPMSolverMultistepScheduler``, ``UniPCMultistepScheduler`` or ``DDIMScheduler``, or
            MONAI's ``DDIMScheduler``, with the noise schedule and ``prediction_type`` of the training; for the paper's
            ``beta_schedule="squaredcos_cap_v2"``, ``rescale_betas_zero_snr=True``, ``prediction_type="v_prediction"``.
        num_inference_steps: steps, up to those of the training.
        guidance_scale: see above; finite.
        guidance_rescale: how far to undo the gain in standard deviation that guidance brings, each image for itself:
            0 not at all, 1 wholly, 0.7 in the paper. Without effect where one branch is evaluated.
        spacing: "log_snr" for timesteps uniform in log-SNR, "trailing" for equal distances; stands for the scheduler's
            own ``timestep_spacing``, see :class:`monai_hybridsynth.inferers.DiffusionSchedule`.

    Attributes:
        network_evaluations: how often the last call of :meth:`sample` asked the network about its batch.

    Raises:
        TypeError: if the number of steps is not an integer.
        ValueError: if a number is out of range, or the scheduler cannot give correct samples: one that draws noise in
            its steps, unknown ones, noise prediction with zero terminal SNR.

    Source:
        Guidance: Ho and Salimans 2022, https://arxiv.org/abs/2207.12598, here with 1 for the plain condition. Rescale,
        trailing timesteps and zero terminal SNR: Lin et al. 2023, https://arxiv.org/abs/2305.08891.

    Example:
        >>> from diffusers import DPMSolverMultistepScheduler
        >>> inferer = GuidedDiffusionInferer(DPMSolverMultistepScheduler(prediction_type="v_prediction"))
        >>> inferer.sample(torch.zeros(2, 1, 8, 8), lambda x, timesteps, context: x).shape
        torch.Size([2, 1, 8, 8])
    """

    def __init__(
        self,
        scheduler: Any,
        num_inference_steps: int = 20,
        guidance_scale: float = 1.0,
        guidance_rescale: float = 0.0,
        *,
        spacing: str = "log_snr",
    ) -> None:
        super().__init__()
        if not math.isfinite(guidance_scale):
            raise ValueError(f"guidance_scale is {guidance_scale}; give a finite number, 1 for no guidance.")
        if not 0 <= guidance_rescale <= 1:
            raise ValueError(f"guidance_rescale is {guidance_rescale}; give a number from 0 to 1.")
        self.schedule = DiffusionSchedule(scheduler, num_inference_steps=num_inference_steps, spacing=spacing)
        self.guidance_scale = float(guidance_scale)
        self.guidance_rescale = float(guidance_rescale)
        self.network_evaluations = 0

    @torch.no_grad()
    def sample(self, noise: torch.Tensor, network: Denoiser, condition: Any = None) -> torch.Tensor:
        """Carry noise to images; every call starts the schedule anew, with the network in evaluation mode.

        Args:
            noise: standard normal, ``(B, C, H, W[, D])``, float.
            network: asked as ``network(x, timesteps, condition or None)``, timesteps ``(B,)`` int64; answers in the
                shape of ``x`` and in the scheduler's ``prediction_type``.
            condition: one entry per image, ``(B, ...)``, or what else the network takes as its context; None asks for
                no condition, whatever the guidance scale.

        Returns:
            Images in the shape and dtype of ``noise``.

        Raises:
            ValueError: if condition or answer have another size than the noise, or the noise is no batch of floats.
        """
        if noise.ndim < 2 or not noise.is_floating_point():
            raise ValueError(f"noise is {tuple(noise.shape)} {noise.dtype}; give floats of shape (B, C, H, W[, D]).")
        if isinstance(condition, torch.Tensor) and condition.ndim and len(condition) != len(noise):
            raise ValueError(f"condition has {len(condition)} entries but noise {len(noise)}; give one per image.")
        self.network_evaluations = 0
        x = noise
        with eval_mode(network) if isinstance(network, nn.Module) else nullcontext():
            for index, timestep in enumerate(self.schedule.start(noise)):
                prediction = self._predict(x, timestep.expand(len(x)), network, condition)
                x = self.schedule.step(prediction, index, x)
        return x

    def __call__(self, inputs: torch.Tensor, network: Denoiser, condition: Any = None) -> torch.Tensor:
        """Sample, under the name by which MONAI's evaluators ask an inferer."""
        return self.sample(inputs, network, condition)

    def _predict(self, x: torch.Tensor, timesteps: torch.Tensor, network: Denoiser, condition: Any) -> torch.Tensor:
        """Return the guided prediction for ``x``."""
        if condition is None or self.guidance_scale == 0:
            return self._ask(network, x, timesteps, None)
        conditional = self._ask(network, x, timesteps, condition)
        if self.guidance_scale == 1:
            return conditional
        null = self._ask(network, x, timesteps, None)
        guided = null + self.guidance_scale * (conditional - null)
        if not self.guidance_rescale:
            return guided
        axes = tuple(range(1, x.ndim))
        spread = guided.std(axes, correction=0, keepdim=True)
        # A constant image has no spread to restore.
        gain = torch.where(spread > 0, conditional.std(axes, correction=0, keepdim=True) / spread, 1.0)
        return guided * (1 + self.guidance_rescale * (gain - 1))

    def _ask(self, network: Denoiser, x: torch.Tensor, timesteps: torch.Tensor, context: Any) -> torch.Tensor:
        """Evaluate the network once and check the shape of its answer."""
        prediction = network(x, timesteps, context)
        self.network_evaluations += 1
        if prediction.shape != x.shape:
            raise ValueError(
                f"network answers in shape {tuple(prediction.shape)} to images {tuple(x.shape)}; it must predict one "
                "value per pixel and channel, without a variance."
            )
        return prediction.to(x.dtype)
