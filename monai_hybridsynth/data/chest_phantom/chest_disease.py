"""Disease in the phantom: clouds and effusion; the further findings are in ``chest_findings``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from monai_hybridsynth.data.chest_phantom.chest_anatomy import ChestAnatomy
from monai_hybridsynth.data.chest_phantom.chest_findings import add_findings
from monai_hybridsynth.data.chest_phantom.film_geometry import FilmGrid, edge, texture_map

if TYPE_CHECKING:
    from monai_hybridsynth.data.chest_phantom.chest_drawing import ProjectedChest

__all__ = ["add_disease"]

Array = np.ndarray


def add_disease(chest: ChestAnatomy, grid: FilmGrid, view: ProjectedChest) -> None:
    """Put clouds, fluid and findings into the lungs of ``view``, in place."""
    _add_clouds(chest, grid, view)
    add_findings(chest, grid, view)
    _add_fluid(chest, grid, view)


def _add_clouds(chest: ChestAnatomy, grid: FilmGrid, view: ProjectedChest) -> None:
    """Fill air spaces in patches: three soft blobs a side, torn by texture."""
    strength = np.where(grid.left > 0.5, chest.clouds[1], chest.clouds[0])
    if not strength.any():
        return
    height = chest.dome[0] - chest.apex
    density = np.zeros_like(view.air)
    for blob in range(chest.cloud_seats.shape[2]):
        seat = [_by_side(chest.cloud_seats[:, :, blob, part], grid.left) for part in range(4)]
        across = grid.abs_x - seat[0] * chest.chest_half_width
        down = (grid.y - chest.apex - seat[1] * height) / 1.25
        density += seat[3] * np.exp(-(np.square(across) + np.square(down)) / (2 * np.square(seat[2])))
    torn = texture_map(chest, grid, 1) + 0.5 * texture_map(chest, grid, 2, repeats=2)
    filled = strength * density * np.maximum(1 + 0.42 * torn, 0.25)
    view.air *= 1 - 0.82 * (1 - np.exp(-1.25 * filled))


def _add_fluid(chest: ChestAnatomy, grid: FilmGrid, view: ProjectedChest) -> None:
    """Let fluid fill the angle beside the diaphragm, higher at the wall; lying patients show a veil as well."""
    volume = np.where(grid.left > 0.5, chest.fluid_ml[1], chest.fluid_ml[0])
    if not volume.any():
        return
    dome = np.where(grid.left > 0.5, chest.dome[1], chest.dome[0])
    # 75 ml blunt the angle, 300 ml reach the dome at the wall, a litre hides the lower half of the lung.
    rise = 1.15 * np.sqrt(np.maximum(volume, 1) / 10) * (0.95 + 0.15 * chest.portable) - 1.2
    level = dome + 4.6 - rise - 0.5 * rise * view.depth**5 + 0.2 * rise * (1 - view.depth)
    soft = 0.3 + 0.9 * chest.portable
    wet = edge(grid.y - level, soft) * (volume > 0)
    view.air *= 1 - 0.93 * wet
    veil = chest.portable * np.minimum(volume / 1500, 0.4) * edge(grid.y - chest.apex - 3, 4.0)
    view.air *= 1 - veil


def _by_side(pair: Array, left: Array) -> Array:
    """Return a number of the patient's right or left side at each pixel, from ``(N, 2)``."""
    return np.where(left > 0.5, pair[:, 1, None, None], pair[:, 0, None, None])
