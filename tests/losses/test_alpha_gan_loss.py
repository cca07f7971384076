"""The objectives against their formulas, and who learns from which term."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from monai_hybridsynth.losses import AlphaGanLoss


def ones_like_bce(score, target):
    return bce(score, torch.full_like(score, target))


def test_autoencoder_is_the_papers_sum():
    torch.manual_seed(0)
    image, reconstruction = torch.randn(3, 1, 4, 4), torch.randn(3, 1, 4, 4)
    code, rec, sample = (torch.randn(3, 1) for _ in range(3))
    terms = AlphaGanLoss().autoencoder(image, reconstruction, code, rec, sample)
    expected = 10 * (image - reconstruction).abs().mean() + sum(ones_like_bce(s, 1.0) for s in (code, rec, sample))
    torch.testing.assert_close(terms["loss"], expected)


def test_wasserstein_autoencoder_and_weights():
    image = torch.zeros(2, 1, 4, 4)
    loss = AlphaGanLoss("alphawgan_gp", reconstruction_weight=3, image_weight=5, code_weight=7)
    one = torch.ones(2, 1)
    terms = loss.autoencoder(image, image + 1, 2 * one, 3 * one, 4 * one)
    assert terms["loss"].item() == pytest.approx(3 * 1 - 7 * 2 - 5 * (3 + 4))


def test_warm_up_leaves_the_image_discriminator_out():
    terms = AlphaGanLoss().autoencoder(torch.zeros(2, 1, 4, 4), torch.zeros(2, 1, 4, 4), torch.zeros(2, 1), None, None)
    assert terms["loss"].item() == pytest.approx(math.log(2))
    assert "image" not in terms


def test_the_spectral_term_counts_missing_detail_wherever_it_lies():
    torch.manual_seed(0)
    image = torch.randn(4, 1, 16, 16)
    plain, spectral = AlphaGanLoss(), AlphaGanLoss(spectral_weight=3.0)
    blurred = nn.functional.avg_pool2d(image, 3, 1, 1)
    score = torch.zeros(4, 1)
    gap = spectral.autoencoder(image, blurred, score, None, None)["loss"]
    gap = gap - plain.autoencoder(image, blurred, score, None, None)["loss"]
    amplitudes = [torch.fft.fft2(part, norm="ortho").abs() for part in (image, blurred)]
    torch.testing.assert_close(gap, 3 * (amplitudes[0] - amplitudes[1]).square().mean())
    even = torch.full((1, 1, 8, 8), -1.0, requires_grad=True)  # amplitudes of 0: no gradient, but a finite one
    spectral.autoencoder(even.detach(), even, score[:1], None, None)["spectrum"].backward()
    assert even.grad is not None
    assert torch.isfinite(even.grad).all()
    moved = spectral.autoencoder(image, image.roll(5, dims=-1), score, None, None)
    assert moved["spectrum"].item() == pytest.approx(0, abs=1e-6)


def test_image_discriminator_weights_real_twice():
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Flatten(), nn.Linear(16, 1))
    image, reconstruction, sample = (torch.randn(3, 1, 4, 4) for _ in range(3))
    terms = AlphaGanLoss().image_discriminator(critic, image, reconstruction, sample)
    expected = (
        2 * ones_like_bce(critic(image), 1.0)
        + ones_like_bce(critic(reconstruction), 0.0)
        + ones_like_bce(critic(sample), 0.0)
    )
    torch.testing.assert_close(terms["loss"], expected)


def test_code_discriminator_learns_from_both_sides_and_calls_the_prior_real():
    critic = nn.Linear(4, 1)
    prior = torch.randn(64, 4) + 2
    code = (torch.randn(64, 4) - 2).requires_grad_(True)
    optimizer = torch.optim.SGD(critic.parameters(), 0.5)
    for _ in range(50):
        optimizer.zero_grad()
        AlphaGanLoss().code_discriminator(critic, code, prior)["loss"].backward()
        optimizer.step()
    assert critic(prior).mean() > 1 > -1 > critic(code).mean()
    assert code.grad is None  # the encoder learns from autoencoder() only
    critic.zero_grad()
    AlphaGanLoss().code_discriminator(critic, code, prior.clone())["loss"].backward()
    fake_only = torch.autograd.grad(torch.nn.functional.softplus(critic(code.detach())).mean(), critic.weight)[0]
    assert fake_only.abs().sum() > 0


def test_code_term_reaches_the_encoder_and_not_the_generator():
    encoder, generator, critic = nn.Linear(16, 4), nn.Linear(4, 16), nn.Linear(4, 1)
    image = torch.randn(3, 16)
    code = encoder(image)
    loss = AlphaGanLoss(reconstruction_weight=0.0)
    loss.autoencoder(image, generator(code), critic(code), None, None)["loss"].backward()
    assert encoder.weight.grad.abs().sum() > 0
    assert generator.weight.grad.abs().sum() == 0


def test_wasserstein_critics_carry_the_penalty():
    torch.manual_seed(0)
    critic = nn.Linear(4, 1)
    real, fake = torch.randn(8, 4), torch.randn(8, 4)
    terms = AlphaGanLoss("alphawgan_gp").code_discriminator(critic, fake, real)
    slope = critic.weight.norm().item()
    expected = (critic(fake).mean() - critic(real).mean()).item() + 10 * (slope - 1) ** 2
    assert terms["loss"].item() == pytest.approx(expected, rel=1e-5)
    images = AlphaGanLoss("alphawgan_gp").image_discriminator(critic, real, fake, fake)
    assert images["penalty"].item() == pytest.approx(2 * (slope - 1) ** 2, rel=1e-4)


def test_unknown_kind():
    with pytest.raises(ValueError, match="alphawgan_gp"):
        AlphaGanLoss("wgan")
