"""Chest radiographs drawn by projection: thickness of tissue, air and bone along each ray, then the film's response."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from monai_hybridsynth.data.chest_phantom.chest_anatomy import ChestAnatomy, chest_anatomy
from monai_hybridsynth.data.chest_phantom.chest_bones import bone_thickness
from monai_hybridsynth.data.chest_phantom.chest_disease import add_disease
from monai_hybridsynth.data.chest_phantom.chest_film import expose_film
from monai_hybridsynth.data.chest_phantom.chest_hardware import hardware_thickness
from monai_hybridsynth.data.chest_phantom.film_geometry import FilmGrid, chord, edge, film_grid, texture_map

__all__ = ["draw_images"]

Array = np.ndarray
_PIXELS_PER_BLOCK = 2**17
_LUNG_AIR = 0.78  # share of a ray through the lung that is air rather than blood and tissue


def draw_images(table: pd.DataFrame, *, spatial_size: int = 64, seed: int) -> Array:
    """Draw one frontal chest radiograph per row; the anatomy follows the row's clinical values.

    The heart's width is ``cardiothoracic_ratio`` times the inner width of the rib cage; clouds lie on
    ``opacity_side``; the fluid's height follows ``effusion_ml``; sex, view, habitus, age, device, site and findings
    show as they do on a film. The patient's right is on the image's left. The same row and seed give the same chest
    at every size; its fine noise differs.

    Args:
        table: rows with (some of) the columns of ``draw_rows``; blank or absent ones get plausible values.
        spatial_size: pixels along a side, a power of two from 32 to 512.
        seed: not negative; keeps the patient's build where ``patient_id`` is the same.

    Returns:
        uint8, shape ``(rows, spatial_size, spatial_size)``, 0 is black (air), bright is dense.

    Raises:
        ValueError: if the table is empty, the size is not one of those above, or the seed is negative.
    """
    if len(table) == 0:
        raise ValueError("table has no rows; draw_rows(num_records, seed=...) makes some.")
    if spatial_size not in (32, 64, 128, 256, 512):
        raise ValueError(f"spatial_size must be 32, 64, 128, 256 or 512, got {spatial_size}.")
    if seed < 0:
        raise ValueError(f"seed must not be negative, got {seed}.")
    step = max(1, _PIXELS_PER_BLOCK // spatial_size**2)
    images = np.empty((len(table), spatial_size, spatial_size), dtype=np.uint8)
    for start in range(0, len(table), step):
        block = table.iloc[start : start + step]
        if "patient_id" not in block or "image" not in block:
            # Positions stand in for the identifiers, so they must count through the whole table.
            position = [f"row {row}" for row in range(start, start + len(block))]
            block = block.assign(**{name: position for name in ("patient_id", "image") if name not in block})
        chest = chest_anatomy(block, seed=seed)
        images[start : start + step] = _draw_block(chest, film_grid(chest, spatial_size))
    return images


@dataclass
class ProjectedChest:
    """Lengths along each ray in centimetres of water, ``(N, S, S)``; parts change them in place."""

    tissue: Array
    air: Array
    lung: Array  # 0 to 1: where lung is seen, for clouds and vessels
    dome: Array  # height of the diaphragm at this x
    wall: Array  # half-width of the rib cage at this y
    depth: Array  # |x| / wall, clipped at 1


def _draw_block(chest: ChestAnatomy, grid: FilmGrid) -> Array:
    """Draw one block of chests."""
    view = _project_lungs(chest, grid)
    view.tissue += _body(chest, grid)
    _add_mediastinum(chest, grid, view)
    _add_vessels(chest, grid, view)
    _add_abdomen(chest, grid, view)
    _add_breasts(chest, grid, view)
    add_disease(chest, grid, view)
    bones = bone_thickness(chest, grid, view)
    metal = hardware_thickness(chest, grid, view)
    return expose_film(chest, grid, view.tissue - _LUNG_AIR * view.air + bones, metal)


def _body(chest: ChestAnatomy, grid: FilmGrid) -> Array:
    """Return the thickness of trunk, neck, shoulders and arms."""
    x, y, side = grid.x, grid.y, grid.abs_x
    slope = chest.patient_range(9, 0.02, 0.20)
    shoulder = chest.apex - 2.0 + slope * np.maximum(side - 6.0, 0) + 0.008 * np.square(np.maximum(side - 9.0, 0))
    shoulder = shoulder - 6.0 * np.exp(-np.square(np.maximum(side - 4.4, 0) / 3.2))
    below = y - shoulder
    armpit = chest.apex + chest.patient_range(10, 9.5, 13.5)
    spread = edge(armpit - y, 1.6)
    half = chest.body_half_width + 0.10 * np.maximum(y - 2, 0) * (chest.bmi - 24) / 10 + 10.0 * spread
    trunk = chest.body_depth * (1 - 0.40 * edge(chest.apex + 5.0 - y, 2.6) * edge(side - 3, 2.0))
    trunk = trunk * np.sqrt(np.maximum(1 - (side / half) ** 2.8, 0))
    trunk = trunk * (1 - 0.16 * spread * edge(side - chest.chest_half_width, 1.5))
    rise = np.clip(below / 7.0, 0, 1)
    trunk = trunk * np.sqrt(rise * (2 - rise))
    neck = 11.0 * chord(x / (5.2 + 0.1 * (chest.bmi - 26)))
    body = np.maximum(trunk, neck * edge(chest.apex + 2 - y, 1.0))
    arm_x = chest.body_half_width + chest.image_range(18, 3.6, 5.0) + 0.06 * y
    arm = 8.0 * chord((side - arm_x) / (3.6 + 0.06 * (chest.bmi - 26))) + 2.0 * chord((side - arm_x) / 1.2)
    return np.maximum(body, chest.portable * arm * edge(y - armpit + 1, 1.5))


def _project_lungs(chest: ChestAnatomy, grid: FilmGrid) -> ProjectedChest:
    """Return the air of two healthy lungs, cut by the rib cage and the domes of the diaphragm."""
    y, side, left = grid.y, grid.abs_x, grid.left
    base = chest.dome[0] + 5.0
    height = np.clip((y - chest.apex) / (base - chest.apex), 0, 1)
    narrowing = 1 - height
    wall = (
        chest.chest_half_width * np.sqrt(np.maximum(1 - narrowing**2.6, 1e-4)) * (1 - 0.05 * np.square(height - 0.75))
    )
    depth = np.minimum(side / wall, 1.0)
    crest = chest.patient_range(11, 0.38, 0.48) + 0.06 * left
    flat = 1 - 0.45 * chest.findings["Emphysema"] if chest.findings else 1.0
    dome = np.where(left > 0.5, chest.dome[1], chest.dome[0])
    fall = np.maximum(depth - crest, 0) / (1 - crest)
    dome = dome + flat * (5.2 * fall**2 + 1.6 * np.square(np.minimum(depth - crest, 0) / crest))
    above = dome - y
    air = 17.5 * np.sqrt(np.maximum(1 - depth**3.4, 0)) * (chest.body_depth / 21) ** 0.5
    rise = np.clip((y - chest.apex - 0.16 * np.maximum(5.0 - side, 0) - 0.1) / 5.5, 0, 1)
    air = air * np.sqrt(rise * (2 - rise))
    # Behind the dome the lung reaches deeper, so the border is sharp and a little air shines through the liver.
    lung = edge(above, 0.16)
    air = air * (0.93 * lung + 0.07 * edge(above + 2.2, 1.0)) * (0.90 + 0.10 * np.clip(above / 9, 0, 1))
    seen = lung * edge(0.97 - depth, 0.03) * edge(y - chest.apex, 0.6)
    return ProjectedChest(tissue=np.zeros_like(air), air=air, lung=seen, dome=dome, wall=wall, depth=depth)


def _add_mediastinum(chest: ChestAnatomy, grid: FilmGrid, view: ProjectedChest) -> None:
    """Take the heart, the great vessels, the hila and the spine out of the air; open the windpipe."""
    x, y, left = grid.x, grid.y, grid.left
    heart = _heart(chest, grid)
    stalk = 2.3 + 0.5 * chest.portable + 0.012 * (chest.age_years - 50) + 1.6 * edge(y - 6, 2.0)
    stalk = stalk + 1.4 * edge(chest.apex + 2.6 - y, 0.8)
    widen = np.clip(0.26 * (y - chest.apex - 8.5), 0, 0.22 * chest.heart_width) * left
    vessels = (10.5 + 5.0 * edge(y - chest.apex - 11.0, 2.0)) * chord((x - 0.5 * widen) / (stalk + 0.5 * widen))
    knob_y = chest.apex + 6.6
    unfolding = np.clip((chest.age_years - 35) / 50, 0, 1)
    knob = (9.0 + 3 * unfolding) * chord(
        np.hypot(x - 1.7 - 0.7 * unfolding, (y - knob_y) * 0.95) / (2.0 + 0.5 * unfolding)
    )
    aorta = 4.5 * chord((x - 1.6 - 0.5 * unfolding) / 1.35) * edge(y - knob_y, 0.7) * edge(view.dome + 3 - y, 1.0)
    trunk = 8.0 * chord(np.hypot(x - 2.6, (y - knob_y - 3.6) * 0.75) / 1.9)
    atrium = 8.0 * chord(np.hypot(x + 1.9, (y - knob_y - 2.0) * 0.22) / 1.2)
    hilum_y = knob_y + 4.4 - 1.1 * left
    hilum_x = 3.4 + 0.5 * left + 0.1 * (stalk - 2.7)
    hila = np.hypot((grid.abs_x - hilum_x) / 1.5, (y - hilum_y) / 2.2)
    hila = chest.patient_range(12, 2.6, 4.6) * np.exp(-np.square(hila))
    great = vessels
    for part in (heart, knob, trunk, atrium):
        great = np.maximum(great, part)
    view.air -= np.minimum(view.air, great + aorta + hila)
    view.tissue += 0.12 * great + 0.05 * heart
    lean = chest.image_range(19, -0.35, 0.6)
    windpipe = chord((x - lean * edge(y - chest.apex - 2, 2.0)) / 0.95) * edge(knob_y + 1.6 - y, 0.5)
    bronchi = chord((grid.abs_x - 0.65 * (y - knob_y - 1.2) - 0.2) / 0.75) * edge(y - knob_y - 1.2, 0.3)
    bronchi = bronchi * edge(knob_y + 4.6 - y, 0.6)
    view.tissue -= 2.3 * windpipe + 1.1 * bronchi


def _heart(chest: ChestAnatomy, grid: FilmGrid) -> Array:
    """Return the heart's chord: a tilted ellipse whose full width is ``chest.heart_width``."""
    half = chest.heart_width / 2
    tilt = chest.patient_range(13, 0.50, 0.72)
    slender = chest.patient_range(14, 0.70, 0.80)
    cosine, sine = np.cos(tilt), np.sin(tilt)
    # A tilted ellipse reaches sqrt(a^2 cos^2 + b^2 sin^2) sideways: solve for a so that it is exactly half a width.
    long = half / np.sqrt(cosine**2 + np.square(slender * sine))
    # The apex of the heart rests on the left dome.
    centre_x = chest.heart_offset * chest.heart_width
    centre_y = chest.dome[1] + 0.2 - 0.52 * long
    across, down = grid.x - centre_x, grid.y - centre_y
    along = cosine * across + sine * down
    beside = cosine * down - sine * across
    ellipse = np.square(along / long) + np.square(beside / (slender * long))
    return 11.5 * np.sqrt(np.maximum(1 - ellipse, 0))


def _add_vessels(chest: ChestAnatomy, grid: FilmGrid, view: ProjectedChest) -> None:
    """Spread vessels from the hila: ridges of a fan whose rays are bent by the patient's own texture."""
    from_x = grid.abs_x - 2.5
    from_y = grid.y - chest.apex - 10.2 + 0.8 * grid.left
    radius = np.sqrt(np.square(from_x) + np.square(from_y)) + 0.5
    angle = np.arctan2(from_y, from_x + 0.5)
    bent = texture_map(chest, grid, 0, repeats=0.34)
    failing = chest.findings["Edema"] if chest.findings else 0.0
    ridges = np.zeros_like(radius)
    for number, (rays, bend) in enumerate(((6.0, 1.7), (11.0, 2.6), (19.0, 3.6))):
        phase = chest.patient_range(15 + number, 0, 2 * np.pi)
        wave = np.cos(rays * angle + bend * bent + phase + (0.10 + 0.12 * number) * radius * (1 - 2 * (number % 2)))
        ridges += np.square(np.square(np.square(np.maximum(wave, 0)))) * (1.25 - 0.25 * number)
    thick = np.maximum(1 + 0.7 * texture_map(chest, grid, 0, repeats=0.6), 0.1)
    fade = (
        edge(from_x + 0.4, 0.4)
        * thick
        * np.exp(-radius / (5.5 + 2.0 * failing))
        * edge(radius - 2.0, 0.8)
        * (0.8 + 0.5 * edge(from_y, 2.0))
    )
    view.air -= np.minimum(view.air, view.lung * ((2.6 + 1.6 * failing) * fade + 0.22) * ridges)
    speckle = texture_map(chest, grid, 1, repeats=3)
    view.air -= np.minimum(view.air, view.lung * (0.35 * speckle + 0.25 * bent))


def _add_abdomen(chest: ChestAnatomy, grid: FilmGrid, view: ProjectedChest) -> None:
    """Fill the abdomen; put gas into the stomach below the left dome and into some bowel."""
    under = grid.y - view.dome
    view.tissue += 3.0 * edge(under - 0.5, 1.2) * edge(chest.body_half_width - 1.5 - grid.abs_x, 1.0)
    gas = chest.image_range(45, -0.4, 1.0).clip(0)
    wide = chest.image_range(46, 2.0, 3.8)
    bubble = np.hypot(
        (grid.x - chest.image_range(47, 5.0, 7.5)) / wide, (under - 2.4) / chest.image_range(48, 1.4, 2.2)
    )
    level = 1 - (1 - chest.portable) * edge(under - 2.9, 0.15)
    view.tissue -= 9.0 * gas * chord(bubble) * level * grid.left
    bowel = np.maximum(texture_map(chest, grid, 2) - chest.image_range(49, 0.6, 2.2), 0)
    view.tissue -= 3.0 * np.minimum(bowel, 1.2) * edge(under - 5.0, 1.0) * edge(9.0 - grid.abs_x, 1.5)


def _add_breasts(chest: ChestAnatomy, grid: FilmGrid, view: ProjectedChest) -> None:
    """Lay the breasts' shadow over the lower lungs of women; older and heavier ones hang lower and wider."""
    size = 4.6 + 0.14 * (chest.bmi - 24) + chest.patient_range(18, -0.6, 0.9)
    low = chest.apex + 15.2 + 0.04 * (chest.age_years - 50) + 0.05 * (chest.bmi - 24) + 0.8 * chest.portable
    across = (grid.abs_x - chest.patient_range(19, 7.6, 9.4) - 0.06 * (chest.bmi - 24)) / (1.12 * size)
    down = (grid.y - low) / size
    inside = np.maximum(1 - np.square(across) - np.square(np.where(down > 0, down, 0.62 * down)), 0)
    # The lower fold is crisp, the upper part fades into the chest wall.
    crisp = edge(down - 0.1, 0.25)
    view.tissue += chest.female * (0.62 * size) * inside * (1 - crisp + crisp / np.sqrt(inside + 0.02))
    nipple_side = np.hypot(grid.abs_x - 8.2, grid.y - low + 0.5)
    view.tissue += (1 - chest.female) * 0.10 * (chest.bmi - 16) * np.exp(-np.square(nipple_side / 5.0))
