from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, zoom

from monai_hybridsynth.transforms.perceptual_hash import hash_distances, perceptual_hashes


def pictures(count: int, size: int = 64) -> np.ndarray:
    noise = np.random.default_rng(0).standard_normal((count, size, size))
    return np.stack([gaussian_filter(picture, 4) for picture in noise])


def test_scale_brightness_and_little_noise_do_not_matter():
    made = pictures(8)
    hashes = perceptual_hashes(made)
    assert hashes.shape == (8, 4)
    assert hashes.dtype == np.uint64
    assert np.array_equal(perceptual_hashes(3 * made + 7), hashes)
    noisy = made + 0.02 * made.std() * np.random.default_rng(1).standard_normal(made.shape)
    larger = np.stack([zoom(picture, 2, order=1) for picture in made])
    for changed in (noisy, larger):
        bits = np.unpackbits((perceptual_hashes(changed) ^ hashes).view(np.uint8), axis=1).sum(axis=1)
        assert bits.max() < 40


def test_distances_are_counted_bits():
    hashes = perceptual_hashes(pictures(20))
    expected = [
        min(sum(bin(int(a) ^ int(b)).count("1") for a, b in zip(one, two, strict=True)) for two in hashes[:7])
        for one in hashes
    ]
    assert hash_distances(hashes, hashes[:7]).tolist() == expected
    assert (np.array(expected)[:7] == 0).all()
    assert min(expected[7:]) > 60
    assert hash_distances(hashes[:0], hashes).shape == (0,)


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"got \(2, 8, 8\)"):
        perceptual_hashes(np.zeros((2, 8, 8)))
