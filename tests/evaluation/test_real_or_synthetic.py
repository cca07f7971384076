from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from monai_hybridsynth.evaluation.real_or_synthetic import real_or_synthetic
from monai_hybridsynth.evaluation.verdict import find_record

CLASSIFIERS = ("linear", "boosted", "network")


@pytest.fixture(scope="module")
def sides(pictured):
    return pictured("train", 160, 1), pictured("holdout", 80, 2)


@pytest.fixture(scope="module")
def strangers(sides, pictured):
    return real_or_synthetic(*sides, pictured("synthetic", 240, 3, name="c"), seed=0)


def test_nobody_tells_strangers_from_training_patients(strangers):
    for classifier in CLASSIFIERS:
        record = find_record(strangers, "c", "real_or_synthetic_auroc", classifier=classifier)
        assert record.low <= max(record.floor, 0.5)
        assert abs(record.value - 0.5) < 0.2
        assert record.ceiling == 0.5
        assert record.n == 80


def test_blur_is_told_by_every_classifier(sides, pictured):
    def blur(pixels):
        return gaussian_filter(pixels.astype(float), (0, 0, 1, 1)).astype(np.uint8)

    records = real_or_synthetic(*sides, pictured("synthetic", 160, 3, change=blur, name="c"), seed=0)
    values = {record.dimensions["classifier"]: record.value for record in records}
    assert values["linear"] > 0.95
    assert values["boosted"] > 0.95
    assert values["network"] > 0.8


def test_images_of_one_patient_never_stand_on_both_sides(pictured):
    """Every patient's images are the same: with one in each fold, trees would know them by heart."""
    train = pictured("train", 120, 1)
    for array in (train.features, train.spaces["texture"], train.pixels):
        array[1::2] = array[::2]
    records = real_or_synthetic(train, pictured("holdout", 100, 2), pictured("synthetic", 120, 3, name="c"), seed=0)
    assert find_record(records, "c", "real_or_synthetic_auroc", classifier="boosted").value < 0.75


def test_the_global_seed_is_left_alone_and_results_are_the_same_again(pictured):
    sides = pictured("train", 40, 1), pictured("holdout", 20, 2), pictured("synthetic", 40, 3, name="c")
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first = real_or_synthetic(*sides, seed=0)
    assert torch.rand(1) == expected
    assert [record.value for record in real_or_synthetic(*sides, seed=0)] == [record.value for record in first]


def test_without_pixels_only_the_network_is_silent(judged):
    sides = judged("train", 60, 1), judged("holdout", 40, 2), judged("synthetic", 40, 3, name="c")
    found = {record.dimensions["classifier"]: record for record in real_or_synthetic(*sides, seed=0)}
    assert found["network"].value is None
    assert "no pixels" in found["network"].note
    assert found["linear"].value is not None
