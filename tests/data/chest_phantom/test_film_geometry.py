"""Coordinates and shapes against their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from monai_hybridsynth.data import draw_rows
from monai_hybridsynth.data.chest_phantom.chest_anatomy import chest_anatomy
from monai_hybridsynth.data.chest_phantom.film_geometry import bar, chord, edge, film_grid, texture_map


@pytest.fixture(scope="module")
def chest():
    return chest_anatomy(draw_rows(6, seed=1), seed=1)


def test_the_grid_turns_shifts_and_scales(chest):
    grid = film_grid(chest, 64)
    for row in range(6):
        angle, zoom = float(chest.rotation[row, 0, 0]), float(chest.zoom[row, 0, 0])
        for i, j in ((0, 0), (10, 50), (63, 63)):
            film = complex((j + 0.5) / 32 - 1, (i + 0.5) / 32 - 1) * 20
            centred = film - complex(float(chest.shift[0][row, 0, 0]), float(chest.shift[1][row, 0, 0]))
            body = centred * np.exp(-1j * angle) / zoom
            assert grid.x[row, i, j] == pytest.approx(body.real, abs=1e-4)
            assert grid.y[row, i, j] == pytest.approx(body.imag, abs=1e-4)


def test_left_is_where_x_is_positive(chest):
    grid = film_grid(chest, 64)
    assert ((grid.left > 0.5) == (grid.x > 0)).all()


def test_shapes_by_hand():
    np.testing.assert_allclose(edge(np.array([-1e4, 0.0, 1e4]), 1.0), [0, 0.5, 1], atol=1e-6)
    np.testing.assert_allclose(chord(np.array([0.0, 0.6, 1.0, 3.0])), [1, 0.8, 0, 0])


def test_a_thin_bar_keeps_its_brightness_on_coarse_pixels():
    def brightness(pixel: float) -> float:
        line = np.arange(-10, 10, 0.001)
        return float(bar(line, 0.1, pixel).sum() * 0.001)

    assert brightness(0.6) == pytest.approx(brightness(0.05), rel=0.01)


def test_texture_is_the_same_at_every_size_and_of_unit_variance(chest):
    small = texture_map(chest, film_grid(chest, 64), 1)
    large = texture_map(chest, film_grid(chest, 256), 1)
    reduced = large.reshape(6, 64, 4, 64, 4).mean(axis=(2, 4))
    assert np.corrcoef(small.ravel(), reduced.ravel())[0, 1] > 0.99
    assert 0.8 < small.std() < 1.2
    assert small.dtype == np.float32
