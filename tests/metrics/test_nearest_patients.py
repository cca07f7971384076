from __future__ import annotations

import numpy as np
import pytest

from monai_hybridsynth.metrics.nearest_patients import nearest_by_features, nearest_by_pixels

RNG = np.random.default_rng(0)
BANK = RNG.normal(size=(40, 6))
GROUPS = np.repeat(np.arange(20), 2) + 100
IMAGES = RNG.integers(0, 256, (30, 1, 32, 32), dtype=np.uint8)


def expected(candidate: np.ndarray) -> tuple[float, int]:
    """Return contrast and nearest row, by sorting everything."""
    distance = np.linalg.norm(BANK - candidate, axis=1)
    rows = np.argsort(distance)
    others: dict[int, float] = {}
    for row in rows[1:]:
        if GROUPS[row] != GROUPS[rows[0]]:
            others.setdefault(GROUPS[row], distance[row])
    return distance[rows[0]] / np.mean(list(others.values())[:10]), rows[0]


def test_features_match_a_loop_over_patients():
    candidates = RNG.normal(size=(15, 6))
    found = nearest_by_features(candidates, BANK, GROUPS)
    for row, candidate in enumerate(candidates):
        contrast, index = expected(candidate)
        assert found.index[row] == index
        assert found.contrast[row] == pytest.approx(contrast)


def test_a_mirrored_copy_is_near_by_pixels_and_a_stranger_is_not():
    candidates = np.concatenate([IMAGES[:5], IMAGES[5:6, ..., ::-1], 255 - RNG.integers(0, 256, (4, 1, 32, 32))])
    found = nearest_by_pixels(candidates.astype(np.uint8), IMAGES, np.arange(30))
    assert found.index[:6].tolist() == list(range(6))
    assert found.contrast[:6].tolist() == [0.0] * 6
    assert found.move[:6] == ["in place"] * 5 + ["mirrored"]
    assert found.correlation[:6] == pytest.approx(1.0)
    assert (found.contrast[6:] > 0.5).all()


def test_further_images_of_the_nearest_patient_do_not_count_as_the_next():
    groups = np.array([0] * 12 + list(range(1, 19)))
    crowd = np.concatenate([np.repeat(IMAGES[:1], 12, axis=0), IMAGES[12:]])
    found = nearest_by_pixels(np.clip(IMAGES[:1].astype(int) + 9, 0, 255), crowd, groups)
    assert found.contrast[0] < 0.2
