from __future__ import annotations

import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, UniPCMultistepScheduler
from monai.bundle import ConfigParser
from monai.networks.nets import DiffusionModelUNet
from monai.networks.schedulers import DDIMScheduler as MonaiDDIM
from torch import nn

from monai_hybridsynth.inferers import GuidedDiffusionInferer, record_noise

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
    + [("ddim", 10, 0.08), ("ddim", 20, 0.04), ("ddim", 50, 0.015), ("ddim", 200, 0.005)],
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


@pytest.mark.parametrize("name", ["ddim", "dpm", "unipc"])
def test_guidance_goes_from_the_mixture_to_the_part_asked_for(name):
    asked = torch.zeros(len(QUANTILES), dtype=torch.long)
    for scale, parts, calls in (
        (0.0, MIXTURE, ["null"]),
        (1.0, ([1.0], [-0.5], [0.15]), ["conditional"]),
    ):
        network = ExactVelocity(MIXTURE)
        images = draw(name, network, condition=asked, guidance_scale=scale)
        assert network.calls == calls * 20
        assert max(deviations(images, parts)) < (0.04 if name == "ddim" else 0.01)
    network = ExactVelocity(MIXTURE)
    images = draw(name, network, condition=asked, guidance_scale=4.0)
    assert sorted(network.calls) == ["conditional"] * 20 + ["null"] * 20
    assert (images < 0).all()
    assert images.mean() < -0.5


def test_without_a_condition_every_scale_gives_the_mixture():
    network = ExactVelocity(MIXTURE)
    expected = draw("dpm", network, guidance_scale=0.0)
    assert torch.equal(draw("dpm", ExactVelocity(MIXTURE), guidance_scale=4.0), expected)


@pytest.mark.parametrize(("num_steps", "tolerance"), [(10, 0.07), (20, 0.03)])
@pytest.mark.parametrize("name", ["dpm", "unipc"])
def test_the_brightness_of_a_whole_image_varies_as_it_should(name, num_steps, tolerance):
    # An image of 64 x 64 equal pixels N(0, 0.2^2): only its mean is signal, the other directions are empty.
    def network(x, timesteps, context):
        signal, noise = ALPHAS[timesteps[0]].sqrt(), (1 - ALPHAS[timesteps[0]]).sqrt()
        mean = x.mean((1, 2, 3), keepdim=True)
        image = (signal * 0.2**2 * mean / (signal**2 * 0.2**2 + noise**2 / 4096)).expand_as(x)
        return signal * (x - signal * image) / noise - noise * image

    noise = torch.randn(16, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    brightness = noise.mean((1, 2, 3))
    settings = {"num_inference_steps": num_steps}
    images = GuidedDiffusionInferer(SCHEDULERS[name](), **settings).sample(noise, network)
    gain = images.mean((1, 2, 3)).std() / (brightness.std() * 64 * 0.2)
    assert gain == pytest.approx(1, abs=tolerance)
    trailing = GuidedDiffusionInferer(SCHEDULERS[name](), **settings, spacing="trailing").sample(noise, network)
    assert trailing.mean((1, 2, 3)).std() < 0.9 * images.mean((1, 2, 3)).std()


class Answers(nn.Module):
    """A network that answers with fixed pictures, and notes what it is asked."""

    def __init__(self, conditional: torch.Tensor, null: torch.Tensor) -> None:
        super().__init__()
        self.conditional, self.null, self.asked = conditional, null, []

    def forward(self, x, timesteps, context=None):
        self.asked.append((timesteps, context, self.training))
        return (self.null if context is None else self.conditional).expand_as(x)


def images_like(seed: int) -> torch.Tensor:
    return torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(seed)) * torch.tensor([1.0, 3.0]).reshape(
        2, 1, 1, 1
    )


@pytest.mark.parametrize("rescale", [0.0, 0.7, 1.0])
def test_the_rescale_is_that_of_the_paper_for_each_image(rescale):
    conditional, null, noise = images_like(1), images_like(2), images_like(3)
    inferer = GuidedDiffusionInferer(SCHEDULERS["ddim"](), 1, 4.0, rescale)
    images = inferer.sample(noise, Answers(conditional, null), torch.zeros(2))
    for place in range(2):
        guided = null[place] + 4 * (conditional[place] - null[place])
        rescaled = guided * conditional[place].std() / guided.std()
        # From pure noise in one step, the image is minus the velocity.
        torch.testing.assert_close(images[place], -(rescale * rescaled + (1 - rescale) * guided), atol=1e-4, rtol=1e-4)


def test_a_constant_answer_is_not_divided_by_its_spread():
    flat = torch.ones(1, 1, 1, 1)
    images = GuidedDiffusionInferer(SCHEDULERS["dpm"](), 3, 4.0, 0.7).sample(flat, Answers(flat, -flat), torch.zeros(1))
    assert images.isfinite().all()


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_call_starts_anew_and_draws_nothing(name):
    inferer = GuidedDiffusionInferer(SCHEDULERS[name](), num_inference_steps=5)
    network = ExactVelocity(MIXTURE)
    state = torch.get_rng_state()
    first = inferer.sample(QUANTILES, network)
    with pytest.raises(ValueError, match="network answers in shape"):
        inferer.sample(QUANTILES, lambda x, t, c: x if inferer.network_evaluations < 3 else x[:1])
    assert torch.equal(inferer.sample(QUANTILES, network), first)
    assert torch.equal(inferer(QUANTILES, network), first)
    assert torch.equal(torch.get_rng_state(), state)
    assert inferer.network_evaluations == 5


def test_the_network_is_asked_in_evaluation_mode_and_left_as_it_was():
    network = Answers(images_like(1), images_like(2))
    condition = torch.arange(2)
    GuidedDiffusionInferer(SCHEDULERS["dpm"](), 4, 2.0).sample(images_like(3), network, condition)
    assert network.training
    assert not any(training for _, _, training in network.asked)
    assert [context is None for _, context, _ in network.asked] == [False, True] * 4
    steps = torch.stack([timesteps for timesteps, _, _ in network.asked])
    assert steps.shape == (8, 2)
    assert steps.dtype == torch.int64
    assert (steps[0] == 999).all()


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("ddim", {"clip_sample": True}),
        ("ddim", {"clip_sample": True, "clip_sample_range": 0.2}),
        ("ddim", {"thresholding": True}),
        ("ddim", {"set_alpha_to_one": False}),
        ("ddim", {"prediction_type": "sample"}),
        ("dpm", {"solver_order": 1}),
        ("dpm", {"solver_order": 3}),
        ("dpm", {"solver_type": "heun"}),
        ("dpm", {"final_sigmas_type": "sigma_min"}),
        ("dpm", {"euler_at_final": True, "final_sigmas_type": "sigma_min", "lower_order_final": False}),
        ("dpm", {"thresholding": True}),
        ("dpm", {"beta_schedule": "linear"}),
        ("unipc", {"solver_order": 1}),
        ("unipc", {"solver_type": "bh1", "final_sigmas_type": "sigma_min"}),
        ("unipc", {"predict_x0": False, "final_sigmas_type": "sigma_min"}),
        ("unipc", {"lower_order_final": False, "final_sigmas_type": "sigma_min"}),
        ("unipc", {"disable_corrector": [0, 1, 2]}),
        ("unipc", {"final_sigmas_type": "sigma_min"}),
    ],
)
def test_what_the_scheduler_is_told_takes_effect(name, settings):
    def network(x, timesteps, context):
        return (x * timesteps[0] / 1000).cos() - 2 * images_like(1)

    scheduler, unclipped = SCHEDULERS[name](), {"clip_sample": False} if name == "ddim" else {}
    plain = GuidedDiffusionInferer(scheduler, 6).sample(images_like(3), network)
    told = GuidedDiffusionInferer(type(scheduler)(**{**PAPER, **unclipped, **settings}), 6)
    images = told.sample(images_like(3), network)
    assert images.isfinite().all()
    assert not torch.allclose(images, plain, atol=1e-4)


@pytest.mark.parametrize(
    "settings",
    [{"num_inference_steps": 6}, {"guidance_scale": 2.0}, {"guidance_rescale": 0.3}, {"spacing": "trailing"}],
)
def test_what_the_inferer_is_told_takes_effect_from_a_config(settings):
    def build(**changes):
        config = {
            "_target_": "monai_hybridsynth.inferers.GuidedDiffusionInferer",
            "scheduler": {"_target_": "diffusers.DPMSolverMultistepScheduler", **PAPER},
            **{"num_inference_steps": 5, "guidance_scale": 3.0, "guidance_rescale": 0.7, **changes},
        }
        return ConfigParser({"inferer": config}).get_parsed_content("inferer")

    def network(x, t, context=None):
        return (x * t[0] / 1000).cos() + (0 if context is None else context.reshape(-1, 1, 1, 1) * x)

    plain, told = (build(**changes).sample(images_like(3), network, torch.ones(2)) for changes in ({}, settings))
    assert not torch.allclose(plain, told, atol=1e-4)


def test_an_image_is_the_same_in_every_batch_and_order():
    torch.manual_seed(0)
    unet = DiffusionModelUNet(
        spatial_dims=2, in_channels=1, out_channels=1, channels=(8, 8), attention_levels=(False, True),
        num_res_blocks=1, num_head_channels=8, norm_num_groups=4, with_conditioning=True, cross_attention_dim=3,
    )  # fmt: skip
    for weight in unet.parameters():  # output layers start at zero
        nn.init.normal_(weight, std=0.1)

    def network(x, timesteps, context=None):
        return unet(x, timesteps, torch.zeros(len(x), 1, 3) if context is None else context)

    rows, conditions = ["a", "b", "c", "d", "e"], torch.eye(3)[[0, 1, 2, 0, 1]][:, None]
    noise = record_noise(rows, 0, (1, 8, 8), seed=0)
    inferer = GuidedDiffusionInferer(SCHEDULERS["unipc"](), 4, 2.0, 0.7)
    together = inferer.sample(noise, network, conditions)
    assert (together[0] - together[3]).abs().max() > 0.1
    for order in ([0], [3, 1], [4, 3, 2, 1, 0]):
        images = inferer.sample(
            record_noise([rows[i] for i in order], 0, (1, 8, 8), seed=0), network, conditions[order]
        )
        torch.testing.assert_close(images, together[order], atol=1e-4, rtol=1e-4)


def test_three_dimensions_half_precision_answers_and_double_noise():
    noise = torch.randn(2, 1, 3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for name in SCHEDULERS:
        images = GuidedDiffusionInferer(SCHEDULERS[name](), 3).sample(noise, lambda x, t, c: x.bfloat16())
        assert images.shape == noise.shape
        assert images.dtype == noise.dtype


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"guidance_scale": float("nan")}, "guidance_scale is nan"),
        ({"guidance_scale": float("inf")}, "guidance_scale is inf"),
        ({"guidance_rescale": -0.1}, "guidance_rescale is -0.1"),
        ({"guidance_rescale": float("nan")}, "guidance_rescale is nan"),
        ({"num_inference_steps": 0}, "num_inference_steps is 0"),
        ({"num_inference_steps": 1001}, "num_inference_steps is 1001"),
        ({"spacing": "linear"}, "spacing is 'linear'"),
    ],
)
def test_wrong_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        GuidedDiffusionInferer(SCHEDULERS["dpm"](), **settings)


def test_wrong_tensors_are_named():
    inferer = GuidedDiffusionInferer(SCHEDULERS["dpm"](), 2)
    noise = torch.zeros(2, 1, 4, 4)
    with pytest.raises(ValueError, match="condition has 3 entries but noise 2"):
        inferer.sample(noise, lambda x, t, c: x, torch.zeros(3))
    with pytest.raises(ValueError, match=r"network answers in shape \(2, 2, 4, 4\) to images \(2, 1, 4, 4\)"):
        inferer.sample(noise, lambda x, t, c: torch.cat([x, x], 1))
    with pytest.raises(ValueError, match="noise is .* torch.int64"):
        inferer.sample(noise.long(), lambda x, t, c: x)
