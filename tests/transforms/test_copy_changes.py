from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from monai_hybridsynth.transforms.copy_changes import COPY_CHANGES, bent, blurred, cropped, moved, noisy


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(3, 2, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_blur_is_a_gaussian_filter(images):
    expected = ndimage.gaussian_filter(images.numpy(), (0, 0, 1.5, 1.5), mode="nearest", radius=(0, 0, 5, 5))
    np.testing.assert_allclose(blurred(images, 1.5).numpy(), expected, atol=1e-5)


def test_moved_down_and_left(images):
    changed = moved(images, 3)
    torch.testing.assert_close(changed[..., 3:, :-3], images[..., :-3, 3:])
    torch.testing.assert_close(changed[..., 0, 0], images[..., 0, 3])


def test_cropping_enlarges_the_middle():
    ramp = torch.linspace(-1, 1, 40).expand(1, 1, 40, 40)
    changed = cropped(ramp, 0.8)
    assert changed.shape == ramp.shape
    assert (changed[..., -1] - changed[..., 0]).mean().item() == pytest.approx(0.8 * 2, rel=0.05)


def test_grey_values_keep_their_order_and_their_ends(images):
    ends = torch.tensor([-1.0, 1.0])
    torch.testing.assert_close(bent(ends, 0.6), ends)
    assert (bent(images, 0.6).flatten().argsort() == images.flatten().argsort()).all()
    assert bent(torch.zeros(1), 2.0).item() == pytest.approx(-0.5)


def test_noise_is_the_same_every_time_and_leaves_the_global_seed_alone(images):
    state = torch.get_rng_state()
    torch.testing.assert_close(noisy(images), noisy(images), rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), state)
    assert (noisy(torch.zeros(1, 1, 64, 64)).std() - 0.1).abs() < 0.005


@pytest.mark.parametrize("name", COPY_CHANGES)
def test_every_change_keeps_shape_and_range(images, name):
    changed = COPY_CHANGES[name](images)
    assert changed.shape == images.shape
    assert changed.abs().max() <= 1 + 1e-5
    assert torch.equal(changed, images) == (name == "none")
