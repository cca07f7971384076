"""The untrained judge: fixed by its seed, sensitive to blur and speckle."""

from __future__ import annotations

import torch
from torch.nn import functional

from monai_hybridsynth.data import draw_images, draw_rows
from monai_hybridsynth.features import RandomConvolutionFeatures
from monai_hybridsynth.metrics import KernelDistanceMetric


def distance(features, first, second):
    metric = KernelDistanceMetric()
    metric(features(first), features(second))
    return metric.aggregate().item()


def test_same_seed_same_features_and_shape():
    images = torch.rand(3, 2, 32, 32)
    first, second = RandomConvolutionFeatures(2), RandomConvolutionFeatures(2)
    assert first(images).shape == (3, 2 * 4 * 16)
    assert torch.equal(first(images), second(images))
    assert not torch.equal(first(images), RandomConvolutionFeatures(2, seed=1)(images))


def test_blur_and_speckle_are_seen_where_other_patients_are_not():
    images, others = (
        torch.from_numpy(draw_images(draw_rows(60, seed=seed), spatial_size=64, seed=seed))[:, None] / 127.5 - 1
        for seed in (1, 2)
    )
    features = RandomConvolutionFeatures()
    same = abs(distance(features, images, others))
    blurred = functional.avg_pool2d(others, 5, stride=1, padding=2, count_include_pad=False)
    speckled = others + 0.1 * torch.randn(others.shape, generator=torch.Generator().manual_seed(0))
    assert distance(features, images, blurred) > 5 * same
    assert distance(features, images, speckled) > 5 * same
