from __future__ import annotations

import numpy as np
import pytest

from monai_hybridsynth.evaluation.broken_images import broken_images


@pytest.fixture(scope="module")
def sides(pictured):
    return pictured("train", 300, 1), pictured("holdout", 120, 2)


def test_strangers_are_called_broken_as_often_as_held_out_patients(sides, pictured):
    (record,) = broken_images(*sides, pictured("synthetic", 200, 3, name="c"), seed=0).metrics
    assert record.low <= record.floor
    assert record.value < 0.15
    assert 0.02 < record.floor < 0.12


def test_the_share_of_broken_images_is_found_and_they_come_first(sides, pictured):
    def halve(pixels):
        pixels = pixels.copy()
        pixels[:60, :, 16:] = 0
        return pixels

    found = broken_images(*sides, pictured("synthetic", 200, 3, change=halve, name="c"), seed=0)
    (record,) = found.metrics
    assert record.value == pytest.approx(0.3 + 0.7 * record.floor, abs=0.08)
    assert record.low > record.floor
    assert set(found.drawings["broken"]) <= set(range(60))
    assert len(found.drawings["broken"]) == 12


def test_noise_and_empty_images_are_broken(sides, pictured):
    def ruin(pixels):
        pixels = np.random.default_rng(0).integers(0, 256, pixels.shape).astype(np.uint8)
        pixels[::2] = 128
        return pixels

    (record,) = broken_images(*sides, pictured("synthetic", 60, 3, change=ruin, name="c"), seed=0).metrics
    assert record.value == 1


def test_few_held_out_patients_set_no_threshold(pictured):
    found = broken_images(pictured("train", 60, 1), pictured("holdout", 12, 2), pictured("synthetic", 60, 3), seed=0)
    assert found.metrics[0].value is None
    assert "needs 40 held-out patients" in found.metrics[0].note
    assert not found.drawings
