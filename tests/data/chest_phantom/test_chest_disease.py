"""Clouds and fluid take air away, where the row says and nowhere else."""

from __future__ import annotations

import numpy as np

from monai_hybridsynth.data.chest_phantom.chest_anatomy import chest_anatomy
from monai_hybridsynth.data.chest_phantom.chest_disease import add_disease
from monai_hybridsynth.data.chest_phantom.chest_drawing import _project_lungs
from monai_hybridsynth.data.chest_phantom.film_geometry import film_grid

from .test_chest_drawing import plain_rows


def lost_air(**columns) -> tuple[np.ndarray, np.ndarray]:
    """Return the litres of air lost in the right and the left lung of ten people."""
    chest = chest_anatomy(plain_rows(10, **columns), seed=1)
    grid = film_grid(chest, 64)
    view = _project_lungs(chest, grid)
    before = view.air.copy()
    add_disease(chest, grid, view)
    assert (view.air <= before + 1e-6).all()
    assert view.air.min() >= 0
    lost = (before - view.air) * grid.pixel**2 / 1000
    return (lost * (grid.x < 0)).sum(axis=(1, 2)), (lost * (grid.x > 0)).sum(axis=(1, 2))


def test_healthy_lungs_are_left_alone():
    right, left = lost_air()
    assert not right.any()
    assert not left.any()


def test_clouds_keep_to_their_side():
    right, left = lost_air(opacity_side="right")
    assert right.min() > 0.1
    assert left.max() < 0.05 * right.min()


def test_fluid_gathers_on_the_diseased_side():
    right, left = lost_air(opacity_side="none", effusion_ml=900.0)
    assert (right + left).min() > 0.3
    clouds = lost_air(opacity_side="left")
    both = lost_air(opacity_side="left", effusion_ml=900.0)
    assert (both[1] - clouds[1]).mean() > 2 * (both[0] - clouds[0]).mean()
