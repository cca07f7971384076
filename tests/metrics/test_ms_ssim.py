from __future__ import annotations

import pytest
import torch
from monai.metrics.regression import compute_ssim_and_cs

from monai_hybridsynth.metrics import pairwise_ms_ssim


@pytest.fixture
def pair():
    generator = torch.Generator().manual_seed(0)
    first = torch.rand(5, 1, 32, 32, generator=generator) * 2 - 1
    return first, (first + 0.3 * torch.randn(5, 1, 32, 32, generator=generator)).clamp(-1, 1)


def test_matches_the_product_over_scales(pair):
    y_pred, y = ((side + 1) / 2 for side in pair)
    parts = []
    for _ in range(2):  # 32 pixels have room for two scales
        ssim, contrast = compute_ssim_and_cs(y_pred, y, spatial_dims=2, kernel_size=(11, 11), kernel_sigma=(1.5, 1.5))
        parts.append((ssim.flatten(1).mean(1), contrast.flatten(1).mean(1)))
        y_pred, y = (torch.nn.functional.avg_pool2d(side, 2) for side in (y_pred, y))
    share = 0.0448 / (0.0448 + 0.2856)
    expected = parts[0][1].clamp_min(0) ** share * parts[1][0].clamp_min(0) ** (1 - share)
    assert torch.allclose(pairwise_ms_ssim(*pair, block=2), expected.double(), atol=1e-5)


def test_equal_images_are_one_and_others_less(pair):
    assert torch.allclose(pairwise_ms_ssim(pair[0], pair[0]), torch.ones(5, dtype=torch.float64))
    assert pairwise_ms_ssim(*pair).max() < 1
    assert pairwise_ms_ssim(pair[0], pair[0].flip(0))[0] < pairwise_ms_ssim(*pair)[0]
    assert pairwise_ms_ssim(pair[0][:0], pair[1][:0]).shape == (0,)


@pytest.mark.parametrize("size", [11, 16, 21, 22, 43, 44, 64])
def test_every_size_from_the_kernel_up_has_room(size):
    images = torch.rand(2, 1, size, size, generator=torch.Generator().manual_seed(size)) * 2 - 1
    assert torch.allclose(pairwise_ms_ssim(images, images), torch.ones(2, dtype=torch.float64))


def test_small_images_and_unequal_pairs_are_refused(pair):
    with pytest.raises(ValueError, match="at least 11"):
        pairwise_ms_ssim(pair[0][..., :8, :8], pair[1][..., :8, :8])
    with pytest.raises(ValueError, match="expected pairs"):
        pairwise_ms_ssim(pair[0], pair[1][:3])
