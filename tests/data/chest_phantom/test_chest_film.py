"""The film's response: monotone, with noise that large pixels average away."""

from __future__ import annotations

import numpy as np
import pytest

from monai_hybridsynth.data import draw_rows
from monai_hybridsynth.data.chest_phantom.chest_anatomy import chest_anatomy
from monai_hybridsynth.data.chest_phantom.chest_film import _grain, expose_film
from monai_hybridsynth.data.chest_phantom.film_geometry import film_grid


@pytest.fixture(scope="module")
def chest():
    return chest_anatomy(draw_rows(8, seed=1, variant="two_site"), seed=1)


def test_more_water_is_brighter(chest):
    grid = film_grid(chest, 64)
    ramp = np.broadcast_to(np.linspace(0, 26, 64, dtype=np.float32)[None, :, None], (8, 64, 64))
    film = expose_film(chest, grid, ramp, np.zeros_like(ramp)).astype(float)
    levels = np.median(film[:, :, 12:40], axis=2)[:, 10:54]
    assert (np.diff(levels[:, ::6], axis=1) > 0).all()


def test_metal_is_seen_over_lung_and_over_heart(chest):
    grid = film_grid(chest, 64)
    for water in (9.0, 22.0):
        flat = np.full((8, 64, 64), water, dtype=np.float32)
        flat[:, 40:] = 25.0
        metal = np.zeros_like(flat)
        metal[:, 25:30, 20:40] = 9.0
        film = expose_film(chest, grid, flat, metal).astype(float)
        assert (film[:, 26:29, 24:36].mean(axis=(1, 2)) > film[:, 20:23, 24:36].mean(axis=(1, 2)) + 5).all()


def test_noise_is_seeded_and_finer_on_small_films(chest):
    assert np.array_equal(_grain(chest, 64), _grain(chest, 64))
    assert _grain(chest, 64).std() < _grain(chest, 256).std()
