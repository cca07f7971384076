from __future__ import annotations

import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, UniPCMultistepScheduler
from monai.networks.schedulers import DDIMScheduler as MonaiDDIM
from torch import nn

from monai_hybridsynth.inferers import GuidedDiffusionInferer

PAPER = {
    "beta_schedule": "squaredcos_cap_v2",
    "rescale_betas_zero_snr": True,
    "timestep_spacing": "trailing",
    "prediction_type": "v_prediction",
}
SCHEDULERS = {
    "ddim": lambda: DDIMScheduler(clip_sample=False, **PAPER),
    "dpm": lambda: DPMSolverMultistepScheduler(**PAPER),
    "unipc": lambda: UniPCMultistepScheduler(**PAPER),
    "monai": lambda: MonaiDDIM(schedule="cosine", prediction_type="v_prediction", clip_sample=False),
}
ALPHAS = SCHEDULERS["ddim"]().alphas_cumprod
# Weights, means and standard deviations of the parts.
GAUSSIAN = ([1.0], [0.3], [0.25])
MIXTURE = ([0.3, 0.7], [-0.5, 0.5], [0.15, 0.15])
# Evenly spread quantiles in the place of draws: what deviates is the sampler.
QUANTILES = torch.special.ndtri((torch.arange(2000, dtype=torch.float64) + 0.5) / 2000).float().reshape(-1, 1, 1, 1)


class ExactVelocity:
    """The v-prediction of a mixture of Gaussians, of all of it or of the part asked for; counts its evaluations."""

    def __init__(self, parts: tuple[list[float], list[float], list[float]], alphas: torch.Tensor = ALPHAS) -> None:
        self.weights, self.means, self.stds = (torch.tensor(values) for values in parts)
        self.alphas = alphas
        self.calls: list[str] = []

    def __call__(self, x: torch.Tensor, timesteps: torch.Tensor, context: torch.Tensor | None = None) -> torch.Tensor:
        self.calls.append("null" if context is None else "conditional")
        flat, alpha = x.reshape(-1, 1), self.alphas[timesteps[0]]
        signal, noise = alpha.sqrt(), (1 - alpha).sqrt()
        variance = alpha * self.stds**2 + noise**2
        centred = flat - signal * self.means
        if context is None:
            share = (self.weights.log() - 0.5 * variance.log() - 0.5 * centred**2 / variance).softmax(1)
        else:
            share = nn.functional.one_hot(context, len(self.means))
        image = (share * (self.means + signal * self.stds**2 * centred / variance)).sum(1)
        epsilon = (share * noise * centred / variance).sum(1)
        return (signal * epsilon - noise * image).reshape(x.shape)


def deviations(images: torch.Tensor, parts: tuple[list[float], list[float], list[float]]) -> list[float]:
    """Return by how much overall mean and variance are wrong, and mean, standard deviation and weight of each part."""
    weights, means, stds = (torch.tensor(values) for values in parts)
    mean = (weights * means).sum()
    variance = (weights * (stds**2 + means**2)).sum() - mean**2
    images = images.flatten()
    wrong = [images.mean() - mean, images.var() - variance]
    nearest = (images[:, None] - means).abs().argmin(1)
    for part in range(len(means)):
        own = images[nearest == part]
        wrong += [own.mean() - means[part], own.std() - stds[part], len(own) / len(images) - weights[part]]
    return [abs(float(value)) for value in wrong]


def draw(name: str, network: ExactVelocity, noise: torch.Tensor = QUANTILES, condition=None, **settings):
    inferer = GuidedDiffusionInferer(SCHEDULERS[name](), **settings)
    images = inferer.sample(noise, network, condition)
    assert inferer.network_evaluations == len(network.calls)
    return images


@pytest.mark.parametrize("parts", [GAUSSIAN, MIXTURE], ids=["gaussian", "mixture"])
@pytest.mark.parametrize(
    ("name", "num_steps", "tolerance"),
    [(name, *bound) for name in ("dpm", "unipc") for bound in ((10, 0.02), (20, 0.01), (50, 0.005), (200, 0.005))]
    + [("ddim", 20, 0.04), ("ddim", 50, 0.02), ("ddim", 200, 0.005)],
)
def test_the_exact_score_gives_the_exact_distribution(name, num_steps, tolerance, parts):
    network = ExactVelocity(parts)
    images = draw(name, network, num_inference_steps=num_steps)
    assert len(network.calls) == num_steps
    assert max(deviations(images, parts)) < tolerance


@pytest.mark.parametrize("parts", [GAUSSIAN, MIXTURE], ids=["gaussian", "mixture"])
def test_the_ddim_of_monai_is_put_right(parts):
    scheduler = SCHEDULERS["monai"]()
    network = ExactVelocity(parts, scheduler.alphas_cumprod)
    assert max(deviations(draw("monai", network, num_inference_steps=50), parts)) < 0.02
