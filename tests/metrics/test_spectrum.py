from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from monai_hybridsynth.metrics import high_band_share, radial_power_spectrum


def test_matches_a_full_transform_summed_ring_by_ring():
    image = np.random.default_rng(0).normal(size=(2, 1, 8, 8))
    window = np.hanning(10)[1:-1]
    frequencies, power = radial_power_spectrum(image)
    for row in range(2):
        full = np.abs(np.fft.fft2((image[row, 0] - image[row, 0].mean()) * np.outer(window, window))) ** 2
        for place, frequency in enumerate(frequencies):
            ring = [
                full[y, x]
                for y in range(8)
                for x in range(8)
                if round(np.hypot(min(y, 8 - y), min(x, 8 - x))) == round(frequency * 8)
            ]
            assert power[row, place] == pytest.approx(np.mean(ring), rel=1e-4)


def test_a_grating_stands_at_its_frequency():
    x = np.arange(32)
    grating = np.tile(np.cos(2 * np.pi * x * 10 / 32), (32, 1))[None, None]
    frequencies, power = radial_power_spectrum(grating)
    assert frequencies[power[0].argmax()] == pytest.approx(10 / 32)
    assert high_band_share(frequencies, power)[0] > 0.95
    slow = np.tile(np.cos(2 * np.pi * x * 3 / 32), (32, 1))[None, None]
    assert high_band_share(*radial_power_spectrum(slow))[0] < 0.05


def test_blur_takes_fine_detail_and_contrast_does_not_matter():
    sharp = np.random.default_rng(0).normal(size=(10, 1, 32, 32))
    blurred = gaussian_filter(sharp, (0, 0, 1, 1))
    shares = [high_band_share(*radial_power_spectrum(images)).mean() for images in (sharp, blurred, 3 * sharp + 7)]
    assert shares[1] < 0.2 * shares[0]
    assert shares[2] == pytest.approx(shares[0], rel=1e-4)
    assert high_band_share(*radial_power_spectrum(np.ones((1, 1, 8, 8)))) == 0


def test_images_that_are_not_square_are_refused():
    with pytest.raises(ValueError, match="square"):
        radial_power_spectrum(np.zeros((1, 1, 8, 6)))
