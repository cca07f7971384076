"""Bones of the phantom: ribs, collarbones, spine, shoulder blades and upper arms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from monai_hybridsynth.data.chest_phantom.chest_anatomy import ChestAnatomy
from monai_hybridsynth.data.chest_phantom.film_geometry import FilmGrid, bar, chord, edge

if TYPE_CHECKING:
    from monai_hybridsynth.data.chest_phantom.chest_drawing import ProjectedChest

__all__ = ["bone_thickness"]

Array = np.ndarray


def bone_thickness(chest: ChestAnatomy, grid: FilmGrid, view: ProjectedChest) -> Array:
    """Return the bones as centimetres of water with the same attenuation, ``(N, S, S)``."""
    dense = 1.12 - 0.005 * (chest.age_years - 30) * (0.6 + 0.4 * chest.female)
    return dense * (
        _ribs(chest, grid, view) + _collarbones(chest, grid) + _spine(chest, grid) + _shoulders(chest, grid)
    )


def _ribs(chest: ChestAnatomy, grid: FilmGrid, view: ProjectedChest) -> Array:
    """Return ribs behind (fine, nearly level) and in front (broad, running down to the midline)."""
    y, depth = grid.y - chest.apex, view.depth
    spacing = chest.patient_range(20, 2.15, 2.5) + 0.02 * y
    within = edge(y + 0.5, 0.5) * edge(grid.abs_x - 1.9, 0.4) * edge(1.03 - grid.abs_x / view.wall, 0.03)
    # Behind: from the spine a little upwards, then falling towards the side.
    behind = y - 0.16 * grid.abs_x - 4.6 * depth**4 + 0.9 * np.exp(-np.square((grid.abs_x - 4) / 3))
    back = _rib_profile(behind / spacing + chest.patient_range(21, 0, 1), 0.25, grid.pixel / spacing)
    # In front: from the side downwards to where the cartilage begins.
    front_spacing = 1.18 * spacing
    slope = chest.patient_range(22, 0.42, 0.62)
    ahead = y + slope * grid.abs_x + 2.6 * depth**3
    front = _rib_profile(ahead / front_spacing + chest.patient_range(23, 0, 1), 0.27, grid.pixel / front_spacing)
    front = front * edge(grid.abs_x - 5.2 - 0.22 * np.maximum(y - 6, 0), 0.9) * edge(13.5 - y, 2.0) * edge(y - 3.5, 1.0)
    side = np.square(np.square(depth))
    fade = edge(chest.dome[0] + 6 - grid.y, 2.5)
    return within * fade * ((1.35 + 0.9 * side) * back + (0.75 + 0.6 * side) * front)


def _rib_profile(phase: Array, half_width: float, blur: Array) -> Array:
    """Return a rib's cross-section, repeated with period one: a flat band with a dense rim."""
    offset = np.abs(phase - np.floor(phase) - 0.5) / half_width
    soft = np.maximum(0.10, 0.9 * blur / half_width)
    band = edge(1 - offset, soft)
    return band * (0.72 + 0.5 * np.minimum(np.square(offset), 1.0))


def _collarbones(chest: ChestAnatomy, grid: FilmGrid) -> Array:
    """Return two S-shaped bars from the breastbone to the shoulders."""
    raised = chest.image_range(50, -0.05, 0.22)
    start = chest.apex + chest.image_range(51, 2.2, 3.8) + 1.6 * chest.portable * -0.6
    along = grid.abs_x - 1.6
    centre = (
        start - raised * along - 0.9 * np.sin(along * (2 * np.pi / 15)) + 0.4 * grid.left * chest.image_range(52, -1, 1)
    )
    thick = 0.62 + 0.22 * np.exp(-np.square((along - 0.5) / 1.6)) + 0.10 * chest.portable
    distance = (grid.y - centre) / np.sqrt(1 + np.square(raised))
    band = edge(thick - np.abs(distance), 0.12 + 0.3 * grid.pixel)
    rim = 0.75 + 0.5 * np.minimum(np.square(distance / thick), 1.0)
    return 3.0 * band * rim * edge(along, 0.3) * edge(13.4 - along, 0.5)


def _spine(chest: ChestAnatomy, grid: FilmGrid) -> Array:
    """Return the column of vertebrae, parted by discs; a faint breastbone lies over it."""
    bend = 0.5 * np.sin((grid.y + chest.patient_range(24, 0, 40)) / 9.0) * chest.patient_range(25, 0, 1) ** 2
    across = (grid.x - bend) / 1.9
    body = edge(1 - np.abs(across), 0.08 + 0.25 * grid.pixel)
    phase = (grid.y - chest.apex) / (2.25 + 0.025 * grid.y) + chest.patient_range(26, 0, 1)
    disc = np.square(np.square(np.cos(np.pi * phase)))
    pedicles = np.exp(-(np.square((np.abs(across) - 0.62) / 0.2) + np.square((phase - np.floor(phase) - 0.5) / 0.17)))
    return body * (1.6 - 0.6 * disc) + 0.7 * pedicles + 0.5 * bar(across, 0.18, 0.0) * (1 - disc)


def _shoulders(chest: ChestAnatomy, grid: FilmGrid) -> Array:
    """Return shoulder blades, over the lung on a bedside film and beside it otherwise, and the upper arms."""
    y = grid.y - chest.apex
    turned = (
        chest.chest_half_width
        - chest.image_range(53, 0.6, 2.2)
        - 2.6 * chest.portable * chest.image_range(54, 0.5, 1.0)
    )
    medial = turned - 0.16 * (6 - y)
    lateral = turned + 6.2 - 0.48 * (y - 1)
    blade = edge(grid.abs_x - medial, 0.25) * edge(lateral - grid.abs_x, 0.3) * edge(y - 0.2, 0.6) * edge(12.5 - y, 0.8)
    border = bar(grid.abs_x - lateral, 0.35, grid.pixel) * edge(y - 1.5, 0.6) * edge(12.0 - y, 0.8)
    ridge = bar(y - 0.6 + 0.22 * (grid.abs_x - medial), 0.35, grid.pixel) * edge(grid.abs_x - medial, 0.4)
    head_x = chest.chest_half_width + chest.image_range(55, 4.0, 5.2)
    head = chord(np.hypot(grid.abs_x - head_x, y - 1.9) / 2.5)
    shaft_x = head_x + 0.7 + (0.06 + 0.75 * (1 - chest.portable)) * (y - 2)
    shaft = chord((grid.abs_x - shaft_x) / 1.25) * edge(y - 2.2, 0.6)
    return 0.55 * blade + 0.9 * border + 0.8 * ridge * edge(head_x - grid.abs_x, 0.5) + 2.3 * head + 1.7 * shaft
