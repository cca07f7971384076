"""Devices lie where they are worn, and only where the row names one."""

from __future__ import annotations

import numpy as np
import pytest

from monai_hybridsynth.data.chest_phantom.chest_anatomy import chest_anatomy
from monai_hybridsynth.data.chest_phantom.chest_drawing import _project_lungs
from monai_hybridsynth.data.chest_phantom.chest_hardware import DEVICES, _rounded, hardware_thickness
from monai_hybridsynth.data.chest_phantom.film_geometry import film_grid

from .test_chest_drawing import plain_rows


def metal_of(device: str):
    chest = chest_anatomy(plain_rows(10, device=device), seed=1)
    grid = film_grid(chest, 128)
    return grid, hardware_thickness(chest, grid, _project_lungs(chest, grid))


@pytest.mark.parametrize(
    ("device", "left_share"), [("pacemaker", (0.6, 1.0)), ("central_line", (0.0, 0.15)), ("tube", (0.35, 0.9))]
)
def test_side(device, left_share):
    grid, metal = metal_of(device)
    share = (metal * (grid.x > 0)).sum() / metal.sum()
    assert left_share[0] <= share <= left_share[1]


def test_no_device_no_metal():
    assert not metal_of("none")[1].any()
    assert not metal_of("something else")[1].any()
    assert set(DEVICES) == {"none", "pacemaker", "central_line", "tube"}


def test_breathing_tube_enters_from_above_and_the_port_does_not():
    tube, port = metal_of("tube")[1], metal_of("central_line")[1]
    assert tube[:, :6].max(axis=(1, 2)).min() > 2
    assert port[:, :6].max() < 0.1


def test_a_rounded_line_passes_through_its_points():
    points = [(0.0, 0.0), (1.0, 2.0), (4.0, 2.5), (5.0, 7.0)]
    line = _rounded(points)
    assert len(line) == 1 + 3 * (len(points) - 1)
    np.testing.assert_allclose(line[::3], points, atol=1e-12)
    straight = _rounded([(0.0, 0.0), (1.0, 1.0), (2.0, 2.0), (3.0, 3.0)])
    np.testing.assert_allclose([x - y for x, y in straight], 0, atol=1e-12)
