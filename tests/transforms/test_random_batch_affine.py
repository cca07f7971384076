"""Random motions: nothing at zero strength, bounded, repeatable, never mirrored."""

from __future__ import annotations

import pytest
import torch

from monai_hybridsynth.transforms import RandomBatchAffine


@pytest.mark.parametrize("shape", [(3, 1, 16, 16), (2, 2, 8, 8, 8)])
def test_zero_strength_is_the_identity(shape):
    images = torch.rand(shape) * 2 - 1
    still = RandomBatchAffine(rotate=0, scale=0, translate=0, contrast=0)
    torch.testing.assert_close(still(images), images, atol=1e-5, rtol=0)


@pytest.mark.parametrize("shape", [(3, 1, 16, 16), (2, 2, 8, 8, 8)])
def test_default_strength_keeps_shape_and_range_and_follows_the_generator(shape):
    images = torch.rand(shape) * 2 - 1
    first, second = (RandomBatchAffine()(images, generator=torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(first, second)
    assert first.shape == images.shape
    assert first.abs().max() <= 1
    assert not torch.equal(first, images)


def test_translation_moves_by_what_it_says():
    images = torch.full((64, 1, 32, 32), -1.0)
    images[:, :, 16, 16] = 1.0
    moved = RandomBatchAffine(rotate=0, scale=0, translate=0.25, contrast=0)(
        images, generator=torch.Generator().manual_seed(0)
    )
    mass = (moved + 1).sum(dim=(1, 2))
    centre = (mass * torch.arange(32)).sum(1) / mass.sum(1)
    assert (centre - 16).abs().max() <= 0.25 * 16 + 0.6
    assert (centre - 16).abs().max() > 2


def test_never_mirrors():
    images = torch.full((100, 1, 32, 32), -1.0)
    images[..., :10] = 1.0
    moved = RandomBatchAffine()(images, generator=torch.Generator().manual_seed(0))
    assert (moved[..., :16].mean(dim=(1, 2, 3)) > moved[..., 16:].mean(dim=(1, 2, 3))).all()


def test_fine_detail_survives_the_motion():
    images = torch.rand(64, 1, 64, 64, generator=torch.Generator().manual_seed(0)) - 0.5
    moved = RandomBatchAffine(contrast=0.0)(images, generator=torch.Generator().manual_seed(1))

    def detail(batch: torch.Tensor) -> float:
        return (batch[..., 1:] - batch[..., :-1])[..., 8:-8, 8:-8].var().item()

    assert detail(moved) > 0.5 * detail(images)  # linear interpolation keeps a third
