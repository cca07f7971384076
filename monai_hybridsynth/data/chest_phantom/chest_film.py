"""The film's response: exposure, contrast of the view and of the site's machine, scatter, noise, markers, borders."""

from __future__ import annotations

import numpy as np

from monai_hybridsynth.data.chest_phantom.chest_anatomy import ChestAnatomy
from monai_hybridsynth.data.chest_phantom.film_geometry import FILM_HALF_WIDTH, FilmGrid, edge

__all__ = ["expose_film"]

Array = np.ndarray


def expose_film(chest: ChestAnatomy, grid: FilmGrid, water: Array, metal: Array) -> Array:
    """Turn centimetres of water along each ray into grey values.

    Args:
        chest: measures of the block.
        grid: its rays.
        water: tissue and bone, ``(N, S, S)``.
        metal: devices, ``(N, S, S)``; they stay visible where the film is already bright.

    Returns:
        uint8, ``(N, S, S)``.
    """
    scatter = chest.portable * (2.2 + chest.image_range(30, 0, 1.4)) + 0.05 * np.maximum(chest.bmi - 28, 0)
    # Scatter adds grey in proportion to the tissue around: it lifts the lungs, not the empty film.
    water = water + scatter * edge(water - 2.5, 1.5)
    offset = chest.image_range(31, 4.6, 6.0) + 0.10 * (chest.body_depth - 21)
    scale = chest.image_range(32, 11.0, 14.5) + 1.6 * chest.portable - 1.1 * chest.south
    level = np.maximum(water - offset, 0.12 * water - 0.3)
    # The machine sets its exposure by the patient: the densest part comes out nearly white, whatever the habitus.
    step = grid.size // 32
    densest = np.percentile(level[:, ::step, ::step], 98, axis=(1, 2), keepdims=True).astype(np.float32)
    reference = densest * chest.image_range(89, 1.0, 1.12)
    grey = (1 - np.exp(-np.maximum(level, 0) / scale)) / (1 - np.exp(-reference / scale))
    grey = grey + (0.35 * np.maximum(1 - grey, 0) + 0.08) * (1 - np.exp(-metal / 4.0))
    grey = np.maximum(grey, 0) ** 1.12
    # The second site's machine lifts the dark tones and holds back the bright ones.
    grey = np.where(chest.south > 0.5, 0.09 + 0.84 * np.sqrt(np.maximum(grey, 0)) * grey**0.35, grey)
    grain = _grain(chest, grid.size)
    grey = grey + (0.006 + 0.004 * chest.portable) * np.maximum(1.25 - grey, 0.2) * grain
    values = 255.0 * chest.image_range(33, 0.95, 1.02) * grey + chest.image_range(34, 0.0, 10.0)
    values = _mark(chest, grid, values)
    return np.clip(np.round(_collimate(chest, grid, values)), 0, 255).astype(np.uint8)


def _grain(chest: ChestAnatomy, size: int) -> Array:
    """Return each image's own noise; a large pixel gathers more quanta and is less noisy."""
    grain = np.empty((len(chest), size, size), dtype=np.float32)
    for row, seed in enumerate(chest.noise_seeds):
        np.random.default_rng([seed, size]).standard_normal(out=grain[row], dtype=np.float32)
    return grain * np.float32((size / 128) ** 0.5)


def _mark(chest: ChestAnatomy, grid: FilmGrid, values: Array) -> Array:
    """Write an ``L`` at the upper corner of the patient's left, on most films."""
    present = (chest.image[:, 35] < 0.75)[:, None, None]
    x = grid.film_x * FILM_HALF_WIDTH - chest.image_range(36, 14.0, 17.5)
    y = grid.film_y * FILM_HALF_WIDTH - chest.image_range(37, -18.0, -15.5)
    stroke, soft = 0.24, 0.05 + 0.3 * grid.pixel
    upright = edge(stroke - np.abs(x), soft) * edge(1.1 - np.abs(y), soft)
    foot = edge(stroke - np.abs(y - 0.9), soft) * edge(0.65 - np.abs(x - 0.45), soft)
    return values + present * np.maximum(upright, foot) * (245 - values)


def _collimate(chest: ChestAnatomy, grid: FilmGrid, values: Array) -> Array:
    """Blacken what the collimator cut off: narrow borders on some films."""
    open_field = np.ones_like(values)
    for number, position in enumerate((grid.film_x, -grid.film_x, grid.film_y, -grid.film_y)):
        closed = chest.image_range(38 + number, -0.20, 0.09).clip(0)
        open_field = open_field * edge((1 - closed - position) * FILM_HALF_WIDTH, 0.05 + 0.3 * grid.pixel)
    return values * open_field
