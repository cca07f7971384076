"""Devices on the film: pacemaker, central line with its port, breathing and feeding tube."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from monai_hybridsynth.data.chest_phantom.chest_anatomy import ChestAnatomy
from monai_hybridsynth.data.chest_phantom.film_geometry import FilmGrid, bar, edge

if TYPE_CHECKING:
    from monai_hybridsynth.data.chest_phantom.chest_drawing import ProjectedChest

__all__ = ["DEVICES", "hardware_thickness"]

Array = np.ndarray
DEVICES = ("none", "pacemaker", "central_line", "tube")


def hardware_thickness(chest: ChestAnatomy, grid: FilmGrid, view: ProjectedChest) -> Array:
    """Return metal and plastic as centimetres of water, ``(N, S, S)``; only chests with a device are drawn."""
    metal = np.zeros_like(view.tissue)
    for name, draw in (("pacemaker", _pacemaker), ("central_line", _central_line), ("tube", _tubes)):
        rows = np.flatnonzero(np.asarray(chest.device, dtype=object) == name)
        if len(rows):
            place = _Place(chest, grid, view, rows)
            metal[rows] = draw(place)
    return metal


class _Place:
    """The rows of a block that carry one device."""

    def __init__(self, chest: ChestAnatomy, grid: FilmGrid, view: ProjectedChest, rows: Array) -> None:
        self.x, self.y = grid.x[rows], grid.y[rows] - chest.apex[rows]
        self.pixel = grid.pixel
        self.stomach = chest.dome[1][rows] - chest.apex[rows] + 4.0
        self.heart = chest.heart_width[rows]
        self._image = chest.image[rows]

    def vary(self, index: int, low: float, high: float) -> Array:
        """Return the image's number ``index`` scaled to a range."""
        return (low + (high - low) * self._image[:, index])[:, None, None]

    def path(self, points: list[tuple[Any, Any]], half_width: float) -> Array:
        """Return 0 to 1 along a smooth line through points, each ``(x, y)`` in cm below the apex."""
        line = np.zeros_like(self.x)
        for (x0, y0), (x1, y1) in pairwise(_rounded(points)):
            across, down = np.subtract(x1, x0), np.subtract(y1, y0)
            length = np.maximum(np.square(across) + np.square(down), 1e-6)
            share = np.clip(((self.x - x0) * across + (self.y - y0) * down) / length, 0, 1)
            distance = np.hypot(self.x - x0 - share * across, self.y - y0 - share * down)
            line = np.maximum(line, bar(distance, half_width, self.pixel))
        return line


def _pacemaker(place: _Place) -> Array:
    """Return the can below the left collarbone and a lead into the right ventricle."""
    can_x, can_y = place.vary(56, 8.2, 10.4), place.vary(57, 4.4, 6.4)
    across, down = np.abs(place.x - can_x) / 2.5, np.abs(place.y - can_y) / 2.2
    body = np.sqrt(np.sqrt(across**4 + down**4))
    can = 9.0 * edge(1 - body, 0.05 + 0.1 * place.pixel) + 4.0 * edge(0.62 - body, 0.08 + 0.1 * place.pixel)
    tip_x, tip_y = 0.26 * place.heart, place.stomach - 4.4
    arc = [
        (can_x - 1, can_y - 2),
        (can_x - 3.2, 3.0),
        (2.0, 4.0),
        (-1.2, 5.6),
        (-2.0, 9.0),
        (-1.6, 14.0),
        (0.6, tip_y),
        (tip_x, tip_y),
    ]
    lead = place.path(arc, 0.12)
    return can + 11.0 * lead


def _central_line(place: _Place) -> Array:
    """Return a port on the right chest with its catheter through the great veins to the right atrium."""
    port_x, port_y = place.vary(56, -10.2, -8.4), place.vary(57, 5.0, 7.0)
    radius = np.hypot(place.x - port_x, place.y - port_y)
    port = 8.0 * edge(1.35 - radius, 0.1 + 0.1 * place.pixel) - 3.0 * edge(0.7 - radius, 0.1 + 0.1 * place.pixel)
    neck = place.vary(58, -4.4, -3.2)
    arc = [
        (port_x, port_y),
        (port_x + 2.5, 1.6),
        (neck - 0.6, 0.2),
        (neck + 0.9, 2.8),
        (-2.1, 5.5),
        (-2.3, 12.0),
        (-2.0, place.vary(59, 13, 15)),
    ]
    return port + 8.0 * place.path(arc, 0.13)


def _tubes(place: _Place) -> Array:
    """Return a breathing tube in the windpipe and a feeding tube that ends in the stomach."""
    end = place.vary(56, 4.8, 7.2)
    lean = place.vary(57, -0.3, 0.5)
    wall = edge(0.62 - np.abs(place.x - lean), 0.06 + 0.2 * place.pixel) * edge(end - place.y, 0.2)
    stripe = place.path([(lean + 0.4, -12.0), (lean + 0.4, end)], 0.15)
    feeding = place.path(
        [(-0.4, -12.0), (-0.5, 12.0), (1.2, place.stomach - 4), (4.5, place.stomach), (7.0, place.stomach + 0.5)], 0.2
    )
    return 3.2 * wall + 5.0 * stripe + 7.0 * feeding


def _rounded(points: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Return three pieces in place of each straight one, along the Catmull-Rom spline through the points."""
    padded = [points[0], *points, points[-1]]
    line = [points[0]]
    for before, start, end, after in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        for share in (1 / 3, 2 / 3, 1.0):
            weights = (
                -0.5 * share + share**2 - 0.5 * share**3,
                1 - 2.5 * share**2 + 1.5 * share**3,
                0.5 * share + 2 * share**2 - 1.5 * share**3,
                -0.5 * share**2 + 0.5 * share**3,
            )
            corners = (before, start, end, after)
            x = sum(weight * corner[0] for weight, corner in zip(weights, corners, strict=True))
            y = sum(weight * corner[1] for weight, corner in zip(weights, corners, strict=True))
            line.append((x, y))
    return line
