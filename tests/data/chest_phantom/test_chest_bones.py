"""Bones: where they lie and how much they weigh."""

from __future__ import annotations

import numpy as np

from monai_hybridsynth.data.chest_phantom.chest_anatomy import chest_anatomy
from monai_hybridsynth.data.chest_phantom.chest_bones import _rib_profile, bone_thickness
from monai_hybridsynth.data.chest_phantom.chest_drawing import _project_lungs
from monai_hybridsynth.data.chest_phantom.film_geometry import film_grid

from .test_chest_drawing import plain_rows


def bones_of(**columns) -> np.ndarray:
    chest = chest_anatomy(plain_rows(20, **columns), seed=1)
    grid = film_grid(chest, 128)
    return bone_thickness(chest, grid, _project_lungs(chest, grid))


def test_the_spine_is_the_brightest_column():
    columns = bones_of()[:, 40:110].mean(axis=(0, 1))
    assert 58 <= columns.argmax() <= 69


def test_ribs_repeat_down_the_lung():
    profile = bones_of()[:, 40:76, 28:30].mean(axis=2)
    rises = (np.diff(np.sign(profile - profile.mean(axis=1, keepdims=True)), axis=1) > 0).sum(axis=1)
    assert np.median(rises) >= 4


def test_old_bones_are_lighter():
    assert bones_of(age=85).mean() < 0.9 * bones_of(age=30).mean()


def test_a_rib_has_period_one_and_a_dense_rim():
    phase = np.linspace(0, 1, 201)
    rib = _rib_profile(phase, 0.25, np.full(1, 0.01))
    np.testing.assert_allclose(rib, _rib_profile(phase + 3, 0.25, np.full(1, 0.01)), atol=1e-9)
    assert rib[100] < rib.max()
    assert rib[0] < 0.1 * rib.max()
