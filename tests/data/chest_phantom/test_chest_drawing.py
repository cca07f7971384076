"""Drawn radiographs: the anatomy follows the row, and nothing else does."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from monai_hybridsynth.data import draw_images, draw_rows
from monai_hybridsynth.data.chest_phantom.chest_anatomy import chest_anatomy
from monai_hybridsynth.data.chest_phantom.chest_drawing import _heart, _project_lungs
from monai_hybridsynth.data.chest_phantom.film_geometry import film_grid


def plain_rows(count: int, **columns) -> pd.DataFrame:
    """Return healthy men of middle age on an upright film; the same people whatever ``columns`` changes."""
    rows = {"sex": "M", "view": "PA", "age": 50, "bmi": 25.0, "cardiothoracic_ratio": 0.45, "effusion_ml": 0.0}
    rows |= {"opacity_side": "none", "device": "none", "ldh": 300.0, "crp": 50.0} | columns
    people = [f"person-{number}" for number in range(count)]
    return pd.DataFrame({"image": people, "patient_id": people} | {k: [v] * count for k, v in rows.items()})


def drawn(count: int = 24, **columns) -> np.ndarray:
    return draw_images(plain_rows(count, **columns), spatial_size=64, seed=1).astype(float)


@pytest.mark.parametrize("spatial_size", [32, 64, 128, 256, 512])
def test_shape_and_type(spatial_size):
    images = draw_images(draw_rows(3, seed=1), spatial_size=spatial_size, seed=1)
    assert images.shape == (3, spatial_size, spatial_size)
    assert images.dtype == np.uint8


def test_an_image_depends_on_its_own_row_only():
    rows = draw_rows(50, seed=2)
    images = draw_images(rows, seed=2)
    order = [41, 3, 17]
    assert np.array_equal(draw_images(rows.iloc[order], seed=2), images[order])
    assert np.array_equal(draw_images(rows.reset_index(drop=True), seed=2), images)


def test_a_larger_film_shows_the_same_chest():
    rows = draw_rows(12, seed=2)
    small = draw_images(rows, spatial_size=64, seed=2).astype(float)
    large = draw_images(rows, spatial_size=256, seed=2).astype(float)
    reduced = large.reshape(12, 64, 4, 64, 4).mean(axis=(2, 4))
    for first, second, other in zip(small, reduced, np.roll(reduced, 1, axis=0), strict=True):
        match = np.corrcoef(first.ravel(), second.ravel())[0, 1]
        assert match > 0.985
        assert match > np.corrcoef(first.ravel(), other.ravel())[0, 1]


def test_other_seeds_draw_other_chests():
    rows = draw_rows(4, seed=2)
    assert not np.array_equal(draw_images(rows, seed=2), draw_images(rows, seed=3))


def test_the_heart_is_as_wide_as_the_row_says():
    rows = draw_rows(12, seed=5).dropna(subset=["cardiothoracic_ratio"])
    chest = chest_anatomy(rows, seed=5)
    grid = film_grid(chest, 256)
    heart = _heart(chest, grid) > 0
    wall = _project_lungs(chest, grid).wall
    for row, ratio in enumerate(rows["cardiothoracic_ratio"]):
        extent = np.ptp(grid.x[row][heart[row]])
        assert extent / (2 * wall[row].max()) == pytest.approx(ratio, abs=0.02)


def test_lungs_are_dark_and_the_middle_and_the_abdomen_bright():
    mean = drawn(40).mean(axis=0)
    lungs = (mean[20:36, 16:24].mean() + mean[20:36, 42:50].mean()) / 2
    assert lungs + 60 < mean[28:36, 31:35].mean()
    assert lungs + 80 < mean[54:62, 24:40].mean()
    assert mean[:4, :8].mean() < 60


def test_grey_values_are_spread_like_those_of_radiographs():
    """The public radiographs of the NIH have mean 146, deviation 73 after the same scaling."""
    images = draw_images(draw_rows(150, seed=7), seed=7).astype(float)
    low, high = np.percentile(images, [1, 99], axis=(1, 2), keepdims=True)
    scaled = np.clip((images - low) / (high - low), 0, 1) * 255
    assert 135 < scaled.mean() < 165
    assert 65 < scaled.std() < 85


def test_the_patients_left_is_on_the_images_right():
    healthy = drawn()
    for side, name in ((slice(36, 60), "left"), (slice(4, 28), "right")):
        gain = (drawn(opacity_side=name) - healthy)[:, 14:44].mean(axis=(0, 1))
        other = slice(36, 60) if name == "right" else slice(4, 28)
        assert gain[side].mean() > 8
        assert abs(gain[other].mean()) < 2
    both = (drawn(opacity_side="both") - healthy)[:, 14:44].mean(axis=(0, 1))
    assert both[4:28].mean() > 8
    assert both[36:60].mean() > 8


def test_more_laboratory_enzyme_means_denser_clouds():
    mild, severe = drawn(opacity_side="both", ldh=180.0), drawn(opacity_side="both", ldh=600.0)
    assert severe[:, 14:44].mean() > mild[:, 14:44].mean() + 3


def test_fluid_rises_with_its_volume():
    levels = [drawn(effusion_ml=volume)[:, 24:46, 8:56].mean() for volume in (0.0, 300.0, 800.0, 1600.0)]
    assert np.all(np.diff(levels) > 0.8)


def test_a_bedside_film_has_less_contrast_and_a_higher_diaphragm():
    upright, bedside = drawn(40), drawn(40, view="AP")
    contrast = [np.percentile(film, 60) - np.percentile(film, 25) for film in (upright, bedside)]
    assert contrast[1] < contrast[0] - 10
    height = [film[:, 34:40, 14:24].mean() for film in (upright, bedside)]
    assert height[1] > height[0] + 10


def test_women_have_breast_shadows():
    gain = (drawn(40, sex="F") - drawn(40)).mean(axis=0)
    assert gain[34:42, 14:24].mean() > 8
    assert abs(gain[10:20, 14:24].mean()) < 6


def test_heavier_patients_are_wider():
    thin, heavy = drawn(40, bmi=19.0), drawn(40, bmi=38.0)
    assert heavy[:, 45:55, :4].mean() > thin[:, 45:55, :4].mean() + 40


def test_gas_lies_under_the_left_dome():
    under = drawn(60)[:, 44:52].mean(axis=(0, 1))
    assert under[42:47].mean() < under[17:22].mean() - 2


def test_the_second_sites_machine_has_its_own_contrast():
    north, south = drawn(site="north"), drawn(site="south")
    assert south[:, 20:30, 16:24].mean() > north[:, 20:30, 16:24].mean() + 8
    assert np.percentile(south, 95) < np.percentile(north, 95) - 5


@pytest.mark.parametrize("columns", [["sex"], ["crp", "ldh"], ["findings"], ["image"]])
def test_blank_cells_and_absent_columns_are_drawn_plausibly(columns):
    rows = draw_rows(30, seed=3, variant="findings")[columns]
    images = draw_images(rows, seed=3)
    assert images.std(axis=(1, 2)).min() > 30
    assert np.array_equal(images, draw_images(rows, seed=3))
    blank = draw_rows(30, seed=3)
    blank.loc[:, "cardiothoracic_ratio"] = np.nan
    assert draw_images(blank, seed=3).std(axis=(1, 2)).min() > 30


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"spatial_size": 100, "seed": 1}, "must be 32, 64, 128, 256 or 512, got 100"),
        ({"seed": -2}, "seed must not be negative, got -2"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        draw_images(draw_rows(2, seed=1), **arguments)
    with pytest.raises(ValueError, match="table has no rows"):
        draw_images(draw_rows(2, seed=1).iloc[:0], seed=1)
