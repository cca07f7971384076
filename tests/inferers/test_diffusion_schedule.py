from __future__ import annotations

import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler, UniPCMultistepScheduler
from monai.networks.schedulers import DDIMScheduler as MonaiDDIM
from monai.networks.schedulers import DDPMScheduler as MonaiDDPM

from monai_hybridsynth.inferers.diffusion_schedule import DiffusionSchedule, log_snr_timesteps, trailing_timesteps

PAPER = {
    "beta_schedule": "squaredcos_cap_v2",
    "rescale_betas_zero_snr": True,
    "timestep_spacing": "trailing",
    "prediction_type": "v_prediction",
}
ALPHAS = DDIMScheduler(**PAPER).alphas_cumprod
NOISE = torch.zeros(1, 1, 1, 1)


def log_snr(timesteps: torch.Tensor) -> torch.Tensor:
    return (ALPHAS[timesteps] / (1 - ALPHAS[timesteps])).log()


@pytest.mark.parametrize("num_steps", [1, 2, 3, 10, 20, 50, 200, 600, 999, 1000])
def test_timesteps_are_distinct_and_begin_at_pure_noise(num_steps):
    for timesteps in (log_snr_timesteps(ALPHAS, num_steps), trailing_timesteps(1000, num_steps)):
        assert len(timesteps) == num_steps
        assert timesteps[0] == 999
        assert timesteps[-1] >= 0
        assert (timesteps.diff() < 0).all()


@pytest.mark.parametrize("num_pixels", [1, 1024])
def test_steps_are_uniform_in_log_snr_and_start_earlier_for_larger_images(num_pixels):
    levels = log_snr(log_snr_timesteps(ALPHAS, 11, num_pixels=num_pixels)[1:])
    start = -4 - torch.tensor(float(num_pixels)).log()
    torch.testing.assert_close(levels, torch.linspace(float(start), 8.0, 10), atol=0.7, rtol=0)


def test_a_network_trained_for_few_steps_can_be_sampled_in_all_of_them():
    assert log_snr_timesteps(torch.tensor([0.9, 0.1, 0.0]), 3, num_pixels=65536).tolist() == [2, 1, 0]
    assert log_snr_timesteps(torch.tensor([0.5]), 1).tolist() == [0]


def test_trailing_steps_are_those_of_diffusers():
    scheduler = DDIMScheduler(**PAPER)
    for num_steps in (7, 10, 30, 300):
        scheduler.set_timesteps(num_steps)
        assert torch.equal(trailing_timesteps(1000, num_steps), scheduler.timesteps)


@pytest.mark.parametrize("num_steps", [10, 30, 300, 600])
@pytest.mark.parametrize("make", [DDIMScheduler, MonaiDDIM], ids=["diffusers", "monai"])
def test_ddim_steps_to_the_next_timestep_whatever_their_number(make, num_steps):
    # Of a network that knows the image (here 0.5) every step must leave exactly that image and the same noise.
    settings = PAPER if make is DDIMScheduler else {"schedule": "cosine", "prediction_type": "v_prediction"}
    schedule = DiffusionSchedule(make(clip_sample=False, **settings), num_inference_steps=num_steps)
    alphas = schedule.scheduler.alphas_cumprod.double()
    timesteps = schedule.start(NOISE)
    x = alphas[-1].sqrt().reshape(1, 1, 1, 1) * 0.5 + (1 - alphas[-1]).sqrt() * 1.3
    for index, (step, following) in enumerate(zip(timesteps, [*timesteps[1:], None], strict=True)):
        velocity = alphas[step].sqrt() * 1.3 - (1 - alphas[step]).sqrt() * 0.5
        x = schedule.step(velocity.expand(x.shape), index, x)
        left = torch.tensor(1.0).double() if following is None else alphas[following]
        assert x.item() == pytest.approx((left.sqrt() * 0.5 + (1 - left).sqrt() * 1.3).item(), abs=2e-3)


@pytest.mark.parametrize("spacing", ["log_snr", "trailing"])
@pytest.mark.parametrize("make", [DDIMScheduler, DPMSolverMultistepScheduler, UniPCMultistepScheduler])
def test_the_schedulers_own_spacing_is_replaced_by_the_one_asked_for(make, spacing):
    schedule = DiffusionSchedule(
        make(**{**PAPER, "timestep_spacing": "leading"}), num_inference_steps=9, spacing=spacing
    )
    expected = log_snr_timesteps(ALPHAS, 9) if spacing == "log_snr" else trailing_timesteps(1000, 9)
    assert torch.equal(schedule.start(NOISE), expected)
    if make is not DDIMScheduler:
        sigmas = ((1 - ALPHAS) / ALPHAS).sqrt()[expected]
        torch.testing.assert_close(schedule.scheduler.sigmas[1:-1], sigmas[1:])
        assert schedule.scheduler.sigmas[-1] == 0


@pytest.mark.parametrize(
    ("scheduler", "message"),
    [
        (MonaiDDPM(), "DDPMScheduler, which draws noise in every step"),
        (DPMSolverMultistepScheduler(algorithm_type="sde-dpmsolver++"), "algorithm_type='sde-dpmsolver\\+\\+'"),
        (EulerDiscreteScheduler(), "scheduler is a EulerDiscreteScheduler; those known are DDIMScheduler"),
        (DPMSolverMultistepScheduler(prediction_type="flow_prediction"), "prediction_type is 'flow_prediction'"),
        (DDIMScheduler(rescale_betas_zero_snr=True), "the terminal SNR is"),
        (UniPCMultistepScheduler(rescale_betas_zero_snr=True), "the terminal SNR is"),
        (UniPCMultistepScheduler(use_karras_sigmas=True), "sets use_karras_sigmas"),
        (DPMSolverMultistepScheduler(use_lu_lambdas=True), "sets use_lu_lambdas"),
        (
            UniPCMultistepScheduler(**PAPER, solver_type="bh1"),
            "sets solver_type='bh1', with which UniPC divides by zero",
        ),
        (UniPCMultistepScheduler(**PAPER, predict_x0=False), "sets predict_x0=False"),
        (UniPCMultistepScheduler(**PAPER, lower_order_final=False), "sets lower_order_final=False"),
        (object(), "scheduler is a object"),
    ],
)
def test_schedulers_that_would_be_wrong_are_refused(scheduler, message):
    with pytest.raises(ValueError, match=message):
        DiffusionSchedule(scheduler, num_inference_steps=10)


@pytest.mark.parametrize("num_steps", [0, -1, 1001])
def test_the_number_of_steps_has_bounds(num_steps):
    with pytest.raises(
        ValueError, match=f"num_inference_steps is {num_steps}, but the scheduler was made for 1 to 1000"
    ):
        DiffusionSchedule(DDIMScheduler(**PAPER), num_inference_steps=num_steps)


def test_wrong_words_and_types_are_named():
    with pytest.raises(TypeError, match="num_inference_steps is 2.5"):
        DiffusionSchedule(DDIMScheduler(**PAPER), num_inference_steps=2.5)
    with pytest.raises(ValueError, match="spacing is 'leading'; choose one of log_snr, trailing"):
        DiffusionSchedule(DDIMScheduler(**PAPER), num_inference_steps=2, spacing="leading")
