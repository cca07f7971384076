"""The findings of NIH ChestX-ray14 as they show on the phantom's film, one function each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from monai_hybridsynth.data.chest_phantom.chest_anatomy import ChestAnatomy
from monai_hybridsynth.data.chest_phantom.film_geometry import FilmGrid, bar, chord, edge, texture_map

if TYPE_CHECKING:
    from monai_hybridsynth.data.chest_phantom.chest_drawing import ProjectedChest

__all__ = ["add_findings"]

Array = np.ndarray
_FIRST_NUMBER = 92  # of the image's random numbers; four belong to each finding


def add_findings(chest: ChestAnatomy, grid: FilmGrid, view: ProjectedChest) -> None:
    """Draw every finding that a row names, in place.

    Cardiomegaly and effusion are drawn with the heart and the fluid; emphysema also lowers and flattens the domes.
    """
    for number, (name, draw) in enumerate(_DRAWINGS.items()):
        rows = np.flatnonzero(chest.findings[name].ravel()) if name in chest.findings else np.zeros(0, dtype=int)
        if len(rows):
            lung = _SeenLung(chest, grid, view, rows, _FIRST_NUMBER + 4 * number)
            draw(lung)
            view.air[rows], view.tissue[rows] = lung.air, lung.tissue


class _SeenLung:
    """The rays of the rows that have one finding; ``y`` counts from the apex of the lung."""

    def __init__(self, chest: ChestAnatomy, grid: FilmGrid, view: ProjectedChest, rows: Array, first: int) -> None:
        self.x, self.abs_x, self.left = grid.x[rows], grid.abs_x[rows], grid.left[rows]
        self.y = grid.y[rows] - chest.apex[rows]
        self.air, self.tissue = view.air[rows], view.tissue[rows]
        self.seen, self.depth, self.wall = view.lung[rows], view.depth[rows], view.wall[rows]
        self.dome = view.dome[rows] - chest.apex[rows]
        self.height = (chest.dome[0] - chest.apex)[rows]
        self.width = chest.chest_half_width[rows]
        self.pixel = grid.pixel
        self.fine = texture_map(chest, grid, 1, repeats=2)[rows]
        self.net = texture_map(chest, grid, 1, repeats=3.4)[rows]
        self.coarse = texture_map(chest, grid, 2, repeats=0.7)[rows]
        self._numbers = chest.image[rows, first : first + 4]

    def vary(self, index: int, low: float, high: float) -> Array:
        """Return one of the finding's four random numbers scaled to a range."""
        return (low + (high - low) * self._numbers[:, index])[:, None, None]

    def chosen_side(self) -> Array:
        """Return 1 in the lung that the finding has chosen (the right one slightly more often), 0 in the other."""
        return np.where(self.vary(0, 0, 1) < 0.54, 1 - self.left, self.left)

    def distance(self, across: Array | float, down: Array | float) -> Array:
        """Return centimetres from a point given as shares of the lung's width and height, on either side."""
        return np.hypot(self.abs_x - across * self.width, self.y - down * self.height)

    def fill(self, share: Array) -> None:
        """Replace a share of the air by tissue."""
        self.air *= 1 - np.clip(share, 0, 1)


def _atelectasis(lung: _SeenLung) -> None:
    """Two plates above the dome, on one side, with a hazy base."""
    side = lung.chosen_side()
    tilt = lung.vary(1, -0.35, 0.15)
    for up in (3.0, 4.8):
        distance = lung.y - lung.height + up + tilt * (lung.abs_x - 7)
        lung.fill(0.5 * side * np.exp(-np.square(distance / 0.45) - np.square((lung.abs_x - 7) / 2.6)))
    lung.fill(0.45 * side * edge(lung.y - lung.height + 3.0, 1.0))


def _consolidation(lung: _SeenLung) -> None:
    """One lobe dense, its borders fairly sharp, bronchi still open."""
    radius = lung.distance(lung.vary(1, 0.45, 0.65), lung.vary(2, 0.25, 0.85)) + 0.7 * lung.coarse
    lung.fill(lung.chosen_side() * 0.88 * edge(lung.vary(3, 3.4, 4.8) - radius, 0.7) * (0.92 + 0.06 * lung.fine))


def _edema(lung: _SeenLung) -> None:
    """Haze around both hila, like wings."""
    radius = lung.distance(0.38, 0.55)
    wings = np.exp(-np.square(radius / lung.vary(1, 5.0, 7.5)))
    lung.fill(lung.vary(2, 0.5, 0.75) * wings * np.maximum(1 + 0.25 * lung.fine, 0.3))


def _emphysema(lung: _SeenLung) -> None:
    """More air, fewer vessels."""
    lung.air *= 1 + 0.10 * lung.seen
    lung.air += 0.6 * lung.seen


def _fibrosis(lung: _SeenLung) -> None:
    """A net of fine lines at both bases and along the wall."""
    net = np.exp(-np.square(lung.net / 0.5)) + np.exp(-np.square((lung.net + 1.1 * lung.fine) / 0.6))
    place = edge(lung.y - 0.45 * lung.height, 2.0) * (0.45 + 0.55 * lung.depth**2)
    lung.fill(lung.vary(1, 0.5, 0.7) * place * (0.20 + 0.36 * net))


def _hernia(lung: _SeenLung) -> None:
    """A ball behind the heart, half filled with gas, above a level of fluid."""
    centre = lung.height - lung.vary(1, 1.2, 2.6)
    size = lung.vary(2, 2.6, 3.8)
    radius = np.hypot(lung.x - lung.vary(3, 0.4, 1.8), lung.y - centre) / size
    lung.tissue += 3.0 * chord(radius)
    lung.tissue -= 7.5 * chord(radius / 0.86) * edge(centre + 0.3 - lung.y, 0.12)


def _infiltration(lung: _SeenLung) -> None:
    """A faint, ill-defined, streaky shadow."""
    radius = lung.distance(lung.vary(1, 0.4, 0.6), lung.vary(2, 0.45, 0.8))
    lung.fill(lung.chosen_side() * 0.42 * np.exp(-np.square(radius / lung.vary(3, 3.6, 5.2))) * (1 + 0.55 * lung.fine))


def _mass(lung: _SeenLung) -> None:
    """One round shadow wider than 3 cm."""
    radius = lung.distance(lung.vary(1, 0.42, 0.72), lung.vary(2, 0.2, 0.8)) + 0.12 * lung.coarse
    size = lung.vary(3, 1.7, 3.0)
    lung.air -= np.minimum(lung.air, lung.chosen_side() * 3.2 * size * chord(radius / size))


def _nodule(lung: _SeenLung) -> None:
    """One to three round shadows narrower than 3 cm."""
    for number, (across, down) in enumerate(((0.0, 0.0), (0.22, 0.3), (-0.12, 0.36))):
        present = lung.vary(3, 0, 1) > 0.35 * number
        radius = lung.distance(lung.vary(1, 0.38, 0.68) + across, lung.vary(2, 0.2, 0.55) + down)
        size = 0.75 + 0.5 * lung.vary(3, 0, 1)
        lung.air -= np.minimum(lung.air, present * lung.chosen_side() * 5.0 * size * chord(radius / size))


def _pleural_thickening(lung: _SeenLung) -> None:
    """A dense layer along the wall of one side, from the apex or from the base."""
    upper = lung.vary(1, 0, 1) < 0.5
    reach = np.where(upper, edge(0.55 * lung.height - lung.y, 1.5), edge(lung.y - 0.45 * lung.height, 1.5))
    thickness = lung.vary(2, 1.2, 2.2)
    inside = lung.wall * (1 - lung.depth)
    lung.fill(lung.chosen_side() * reach * 0.85 * edge(thickness * (1 + 0.2 * lung.coarse) - inside, 0.2))


def _pneumonia(lung: _SeenLung) -> None:
    """A patchy, torn cloud in one lobe."""
    radius = lung.distance(lung.vary(1, 0.42, 0.62), lung.vary(2, 0.3, 0.85))
    cloud = np.exp(-np.square(radius / lung.vary(3, 3.6, 5.0)))
    lung.fill(lung.chosen_side() * 0.85 * cloud * np.clip(0.85 + 0.5 * lung.fine, 0.2, 1.1))


def _pneumothorax(lung: _SeenLung) -> None:
    """Air without vessels outside a thin line; the lung within is smaller and denser."""
    side = lung.chosen_side()
    gap = lung.vary(1, 1.6, 4.2) * (1.15 - 0.5 * np.clip(lung.y / lung.height, 0, 1))
    inside = np.minimum(lung.wall * (1 - lung.depth), lung.y * 1.1)
    free = side * edge(gap - inside, 0.12) * lung.seen * edge(lung.abs_x - 3.4, 0.4) * edge(lung.y - 0.4, 0.2)
    full = 17.5 * np.sqrt(np.maximum(1 - lung.depth**6, 0)) * np.clip(lung.y / 3.0, 0, 1)
    lung.air += free * np.maximum(1.12 * full - lung.air, 0)
    lung.air -= np.minimum(lung.air, side * lung.seen * (1.6 * (1 - free) * edge(inside - gap, 0.3)))
    lung.air -= np.minimum(lung.air, side * lung.seen * 2.4 * bar(gap - inside, 0.14, lung.pixel))


_DRAWINGS = {
    "Emphysema": _emphysema,
    "Pneumothorax": _pneumothorax,
    "Atelectasis": _atelectasis,
    "Consolidation": _consolidation,
    "Edema": _edema,
    "Fibrosis": _fibrosis,
    "Hernia": _hernia,
    "Infiltration": _infiltration,
    "Mass": _mass,
    "Nodule": _nodule,
    "Pleural_Thickening": _pleural_thickening,
    "Pneumonia": _pneumonia,
}
