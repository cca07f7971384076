"""Which timesteps a diffusion scheduler visits, and the checks without which it would be silently wrong."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import torch

__all__ = ["DiffusionSchedule", "log_snr_timesteps", "trailing_timesteps"]

# Solvers whose steps draw no noise; a scheduler is known by its class or by one it inherits from.
FIRST_ORDER = ("DDIMScheduler",)
MULTISTEP = ("DPMSolverMultistepScheduler", "UniPCMultistepScheduler")
PREDICTIONS = ("v_prediction", "sample", "epsilon")
SPACINGS = ("log_snr", "trailing")
# Settings of diffusers that would replace the noise levels chosen here, or add a solver that does not know them.
REPLACED = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas", "use_flow_sigmas")


def trailing_timesteps(num_train_timesteps: int, num_inference_steps: int) -> torch.Tensor:
    """Return timesteps of equal distance, the first one pure noise, ``(num_inference_steps,)``, falling.

    Source:
        Lin et al. 2023, https://arxiv.org/abs/2305.08891, table 2.
    """
    stride = num_train_timesteps / num_inference_steps
    ends = num_train_timesteps - stride * torch.arange(num_inference_steps, dtype=torch.float64)
    return ends.round().long() - 1


def log_snr_timesteps(
    alphas_cumprod: torch.Tensor, num_inference_steps: int, *, num_pixels: int = 1, highest: float = 8.0
) -> torch.Tensor:
    """Return timesteps that are uniform in log-SNR after the first one, which is pure noise.

    One step leads from pure noise to a log-SNR of ``-4 - log(num_pixels)``, over which the network's answer hardly
    changes. The number of pixels counts because the brightness of the whole image averages their noise: it is decided
    that much earlier than one pixel, and a step across it would give every image the mean brightness. The last
    evaluation is at ``highest``, where the noise left has 1/50 of the range of the image.

    Args:
        alphas_cumprod: share of the signal in the variance at each training timestep, falling, shape ``(T,)``.
        num_inference_steps: number of timesteps, at most ``T``.
        num_pixels: values of one channel of one image.
        highest: largest log-SNR, ``log(alpha^2 / sigma^2)``.

    Returns:
        Distinct timesteps, falling from ``T - 1``, shape ``(num_inference_steps,)``.

    Source:
        Lu et al. 2022, https://arxiv.org/abs/2206.00927. Differs from the paper: both ends are cut, at values chosen
        with exact scores, because log-SNR has no end where the terminal SNR is zero.
    """
    last = len(alphas_cumprod) - 1
    # Without the last timestep, whose log-SNR may be minus infinity; it is always the first one here.
    log_snr = torch.logit(alphas_cumprod[:last].double())
    lowest = -4.0 - math.log(num_pixels)
    wanted = torch.linspace(lowest, highest, max(num_inference_steps - 1, 1), dtype=torch.float64)
    if last:
        wanted = wanted.clamp(float(log_snr[-1]), float(log_snr[0]))
    nearest = last - 1 - torch.searchsorted(log_snr.flip(0).contiguous(), wanted)
    chosen = [last, *nearest.tolist()][:num_inference_steps]
    for index in range(1, num_inference_steps):
        chosen[index] = min(chosen[index], chosen[index - 1] - 1)
    # With many steps the training grid is too coarse near the image: what is left over moves up.
    return torch.tensor([max(step, num_inference_steps - 1 - index) for index, step in enumerate(chosen)])


class DiffusionSchedule:
    """A scheduler of diffusers or MONAI, checked, that starts anew and visits timesteps of our choice.

    Schedulers known: DDIM of diffusers and of MONAI, DPM-Solver++ and UniPC of diffusers. They step by their own code,
    so that clipping, thresholding, solver order and the like work as their own documentation says. Only
    ``timestep_spacing`` is replaced, for three reasons: "leading" and "linspace" do not begin at pure noise or waste
    an evaluation; both DDIM schedulers step by ``T // n``, which is another distance than that of their own timesteps
    unless ``n`` divides ``T`` (and, for MONAI's, even then); and UniPC takes no timesteps from outside.

    Args:
        scheduler: the scheduler; its state is overwritten by :meth:`start`.
        num_inference_steps: timesteps to visit.
        spacing: "log_snr" (see :func:`log_snr_timesteps`) or "trailing" (equal distances, as in the paper).

    Raises:
        TypeError: if the number of steps is not an integer.
        ValueError: if the scheduler or one of its settings cannot give correct samples, or a number is out of range.
    """

    def __init__(self, scheduler: Any, *, num_inference_steps: int, spacing: str = "log_snr") -> None:
        self.scheduler = scheduler
        self.settings = getattr(scheduler, "config", scheduler)
        self.multistep = check_solver(scheduler)
        check_settings(scheduler, self.settings)
        total = len(scheduler.alphas_cumprod)
        if isinstance(num_inference_steps, bool) or not isinstance(num_inference_steps, int):
            raise TypeError(f"num_inference_steps is {num_inference_steps!r}; give an integer.")
        if not 1 <= num_inference_steps <= total:
            raise ValueError(
                f"num_inference_steps is {num_inference_steps}, but the scheduler was made for 1 to {total} steps."
            )
        if spacing not in SPACINGS:
            raise ValueError(f"spacing is {spacing!r}; choose one of {', '.join(SPACINGS)}.")
        self.num_inference_steps = num_inference_steps
        self.spacing = spacing
        self.gaps: list[int] = []

    def start(self, noise: torch.Tensor) -> torch.Tensor:
        """Forget any earlier run; return the timesteps for noise ``(B, C, H, W[, D])``, falling, on its device."""
        scheduler, alphas = self.scheduler, self.scheduler.alphas_cumprod.cpu()
        if self.spacing == "log_snr":
            timesteps = log_snr_timesteps(alphas, self.num_inference_steps, num_pixels=math.prod(noise.shape[2:]))
        else:
            timesteps = trailing_timesteps(len(alphas), self.num_inference_steps)
        scheduler.set_timesteps(self.num_inference_steps, device=noise.device)
        if self.multistep:
            sigmas = ((1 - alphas) / alphas).sqrt()[timesteps]
            scheduler.sigmas = torch.cat([sigmas, scheduler.sigmas[-1:].cpu()]).float()
        self.gaps = (-timesteps.diff(append=torch.tensor([-1]))).tolist()
        scheduler.timesteps = timesteps.to(noise.device)
        return scheduler.timesteps

    def step(self, prediction: torch.Tensor, index: int, x: torch.Tensor) -> torch.Tensor:
        """Return ``x`` one step nearer to the image, given the network's answer at timestep number ``index``."""
        scheduler = self.scheduler
        if not self.multistep:
            # DDIM looks T // num_inference_steps back: this is the number that makes it the next timestep, or -1,
            # which stands for the image itself.
            scheduler.num_inference_steps = Fraction(len(scheduler.alphas_cumprod), self.gaps[index])
        moved = scheduler.step(prediction, scheduler.timesteps[index], x)
        return moved.prev_sample if hasattr(moved, "prev_sample") else moved[0]


def parent_names(scheduler: Any) -> list[str]:
    """Return the names of a scheduler's class and of those it inherits from."""
    return [parent.__name__ for parent in type(scheduler).__mro__]


def check_solver(scheduler: Any) -> bool:
    """Return whether the scheduler remembers earlier steps.

    Raises:
        ValueError: if it is none of those known, or draws noise in its steps.
    """
    names = parent_names(scheduler)
    algorithm = getattr(getattr(scheduler, "config", scheduler), "algorithm_type", "")
    if "DDPMScheduler" in names or algorithm.startswith("sde"):
        variant = f" with algorithm_type={algorithm!r}" if algorithm else ""
        raise ValueError(
            f"scheduler is a {names[0]}{variant}, which draws noise in every step: an image would depend on its batch, "
            "and MONAI's is wrong unless it takes all training steps; "
            "give a DDIMScheduler, or diffusers' DPMSolverMultistepScheduler or UniPCMultistepScheduler."
        )
    if not set(names) & {*FIRST_ORDER, *MULTISTEP}:
        raise ValueError(f"scheduler is a {names[0]}; those known are {', '.join(FIRST_ORDER + MULTISTEP)}.")
    return bool(set(names) & set(MULTISTEP))


def check_settings(scheduler: Any, settings: Any) -> None:
    """Refuse settings of a scheduler with which samples would be wrong.

    Raises:
        ValueError: if one is found.
    """
    prediction = str(getattr(settings, "prediction_type", None))
    if prediction not in PREDICTIONS:
        raise ValueError(f"prediction_type is {prediction!r}; those known are {', '.join(PREDICTIONS)}.")
    terminal = float(scheduler.alphas_cumprod[-1])
    # diffusers' solvers write 2^-24 in the place of zero.
    if prediction == "epsilon" and terminal < 1e-6:
        raise ValueError(
            f"prediction_type is 'epsilon', but the terminal SNR is {terminal:.1g}: the first step would divide the "
            "image by its square root; train and sample with prediction_type='v_prediction'."
        )
    replaced = [name for name in (*REPLACED, "solver_p") if getattr(settings, name, None)]
    if replaced:
        raise ValueError(
            f"the scheduler sets {', '.join(replaced)}, which would replace the noise levels that the network was "
            "trained for or step beside them; leave it out and choose spacing='log_snr' or 'trailing'."
        )
    ends_at_zero = getattr(settings, "final_sigmas_type", None) == "zero"
    fragile = {"solver_type": "bh1", "predict_x0": False, "lower_order_final": False}
    divides = [f"{name}={value!r}" for name, value in fragile.items() if getattr(settings, name, None) == value]
    if "UniPCMultistepScheduler" in parent_names(scheduler) and ends_at_zero and divides:
        raise ValueError(
            f"the scheduler sets {', '.join(divides)}, with which UniPC divides by zero in a last step that ends "
            "without noise; leave it out or set final_sigmas_type='sigma_min'."
        )
