"""Where each pixel looks through the chest, and the few shapes from which everything is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from monai_hybridsynth.data.chest_phantom.chest_anatomy import ChestAnatomy

__all__ = ["FILM_HALF_WIDTH", "FilmGrid", "bar", "chord", "edge", "film_grid", "texture_map"]

Array = np.ndarray
FILM_HALF_WIDTH = 20.0  # centimetres


@dataclass(frozen=True)
class FilmGrid:
    """Coordinates of each pixel's ray, ``(N, S, S)`` float32: centimetres of the body and shares of the film."""

    x: Array
    y: Array
    abs_x: Array
    left: Array  # 1 on the patient's left (image's right), 0 on the right, soft at the midline
    film_x: Array  # (1, 1, S) in [-1, 1]
    film_y: Array  # (1, S, 1) in [-1, 1]
    pixel: float  # centimetres
    size: int


def film_grid(chest: ChestAnatomy, spatial_size: int) -> FilmGrid:
    """Return the rays of every pixel's centre after the patient's shift, rotation and distance."""
    line = ((np.arange(spatial_size, dtype=np.float32) + 0.5) / spatial_size * 2 - 1).astype(np.float32)
    film_x, film_y = line[None, None, :], line[None, :, None]
    across = film_x * FILM_HALF_WIDTH - chest.shift[0]
    down = film_y * FILM_HALF_WIDTH - chest.shift[1]
    cosine, sine = np.cos(chest.rotation) / chest.zoom, np.sin(chest.rotation) / chest.zoom
    x = cosine * across + sine * down
    y = cosine * down - sine * across
    left = edge(x, 0.3)
    return FilmGrid(x, y, np.abs(x), left, film_x, film_y, 2 * FILM_HALF_WIDTH / spatial_size, spatial_size)


def edge(distance: Array, softness: float | Array) -> Array:
    """Return a step from 0 (outside, negative) to 1 (inside) that takes about ``4 * softness`` cm."""
    ratio = distance / softness
    return 0.5 + 0.5 * ratio / np.sqrt(1 + np.square(ratio))


def chord(distance: Array) -> Array:
    """Return the relative length of a ray through a ball at ``distance`` radii from its centre; 0 outside."""
    return np.sqrt(np.maximum(1 - np.square(distance), 0))


def bar(distance: Array, half_width: float, pixel: float) -> Array:
    """Return 0 to 1 across a thin line; narrower than a pixel it keeps its total brightness, as a film does."""
    wide = max(half_width, 0.75 * pixel)
    return (half_width / wide) * np.maximum(1 - np.square(distance / (1.5 * wide)), 0)


def texture_map(chest: ChestAnatomy, grid: FilmGrid, layer: int, *, repeats: float = 1) -> Array:
    """Return smooth noise of the film's size from a layer of coarse random numbers, ``(N, S, S)``, about unit variance.

    The coarse grid is the same at every size, so a chest keeps its texture when drawn larger; ``repeats`` above one
    tiles it to get a finer grain, below one it stretches a part of it.
    """
    coarse = chest.texture[:, layer]
    weights = _spline_weights(coarse.shape[-1], grid.size, repeats)
    return weights @ coarse @ weights.T


@lru_cache(maxsize=32)
def _spline_weights(coarse: int, size: int, repeats: float) -> Array:
    """Return ``(size, coarse)`` weights of a periodic cubic spline, scaled to keep the variance near one."""
    position = (np.arange(size) + 0.5) / size * coarse * repeats
    distance = np.abs((position[:, None] - np.arange(coarse)[None, :] + coarse / 2) % coarse - coarse / 2)
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = np.maximum(2 - distance, 0) ** 3 / 6
    weights = np.where(distance < 1, near, far)
    return (weights / np.sqrt(np.square(weights).sum(axis=1, keepdims=True).mean())).astype(np.float32)
