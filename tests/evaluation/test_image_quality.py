from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from monai_hybridsynth.evaluation.image_quality import image_quality
from monai_hybridsynth.evaluation.verdict import find_record


@pytest.fixture(scope="module")
def sides(pictured):
    return pictured("train", 160, 1), pictured("holdout", 80, 2)


def blur(pixels):
    return gaussian_filter(pixels.astype(float), (0, 0, 1, 1)).astype(np.uint8)


def test_strangers_reach_the_floor(sides, pictured):
    for record in image_quality(*sides, pictured("synthetic", 160, 3, name="c"), seed=0).metrics:
        assert record.low <= record.floor
        assert record.high >= record.value >= record.low


def test_blur_and_grain_are_told_apart_by_the_reading(sides, pictured):
    def grain(pixels):
        return np.clip(pixels + np.random.default_rng(0).normal(scale=15, size=pixels.shape), 0, 255).astype(np.uint8)

    for change, word in ((blur, "less (blur)"), (grain, "more (grain")):
        found = image_quality(*sides, pictured("synthetic", 100, 3, change=change, name="c"), seed=0)
        gap = find_record(found.metrics, "c", "high_band_gap")
        assert gap.low > 3 * gap.floor
        assert word in gap.reading


def test_images_that_are_all_alike_raise_the_likeness(sides, pictured):
    def collapse(pixels):
        return np.repeat(pixels[:1], len(pixels), axis=0)

    found = image_quality(*sides, pictured("synthetic", 100, 3, change=collapse, name="c"), seed=0)
    likeness = find_record(found.metrics, "c", "ms_ssim")
    assert likeness.value == pytest.approx(1, abs=1e-5)
    assert likeness.ceiling < 0.9


def test_the_drawing_shows_where_detail_is_lost(sides, pictured):
    found = image_quality(*sides, pictured("synthetic", 100, 3, change=blur, name="c"), seed=0)
    spectrum = found.drawings["spectrum"]
    assert len(spectrum["frequency"]) == len(spectrum["real"]) == 16
    assert spectrum["synthetic"][-1] < 0.2 * spectrum["real"][-1]
    assert spectrum["holdout"][-1] == pytest.approx(spectrum["real"][-1], rel=0.2)
    json.dumps(found.drawings, allow_nan=False)


def test_without_pixels_it_says_so(judged):
    found = image_quality(judged("train", 60, 1), judged("holdout", 40, 2), judged("synthetic", 40, 3), seed=0)
    assert all(record.value is None and "no pixels" in record.note for record in found.metrics)
