"""From a clinical row to the measures of a chest: what the drawing needs, in centimetres, one array per measure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from monai_hybridsynth.data.chest_phantom.finding_rows import FINDINGS

__all__ = ["ChestAnatomy", "chest_anatomy"]

Array = np.ndarray
_PATIENT_NUMBERS = 48
_IMAGE_NUMBERS = 144
TEXTURE_GRID = 24
TEXTURE_LAYERS = 3


@dataclass
class ChestAnatomy:
    """Measures of ``N`` chests, each of shape ``(N, 1, 1)``, float32, centimetres unless said otherwise.

    The origin is the midline at the height of the heart's upper border; x grows to the image's right, which is the
    patient's left, and y grows downwards. Sided measures are pairs ``(patient's right, patient's left)``.
    """

    portable: Array  # 1 for an anteroposterior bedside film, 0 for a posteroanterior one
    female: Array
    age_years: Array
    bmi: Array
    south: Array  # 1 for the second site's machine
    zoom: Array  # pixels of the film per unit of the body
    rotation: Array  # radians
    shift: tuple[Array, Array]
    chest_half_width: Array
    body_half_width: Array
    body_depth: Array
    apex: Array
    dome: tuple[Array, Array]
    heart_width: Array
    heart_offset: Array
    clouds: tuple[Array, Array]  # strength of the opacity, 0 to 1
    cloud_seats: Array  # (N, 2 sides, 3 blobs, 4: x, y, radius, weight)
    fluid_ml: tuple[Array, Array]
    device: list[str]
    findings: dict[str, Array] = field(default_factory=dict)
    patient: Array = field(default_factory=lambda: np.zeros(0))  # (N, numbers) uniform, kept by the patient
    image: Array = field(default_factory=lambda: np.zeros(0))  # (N, numbers) uniform, new with each image
    texture: Array = field(default_factory=lambda: np.zeros(0))  # (N, layers, grid, grid) standard normal
    noise_seeds: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        """Return the number of chests."""
        return len(self.device)

    def patient_range(self, index: int, low: float, high: float) -> Array:
        """Return the patient's number ``index`` scaled to a range, ``(N, 1, 1)``."""
        return (low + (high - low) * self.patient[:, index])[:, None, None]

    def image_range(self, index: int, low: float, high: float) -> Array:
        """Return the image's number ``index`` scaled to a range, ``(N, 1, 1)``."""
        return (low + (high - low) * self.image[:, index])[:, None, None]


def chest_anatomy(table: pd.DataFrame, *, seed: int) -> ChestAnatomy:
    """Derive the measures of every row's chest.

    A blank cell or an absent column is filled with a plausible value from the row's own random numbers, so that any
    table with some of the phantom's columns can be drawn. Numbers that belong to the patient (build, ribs, vessels)
    depend on ``seed`` and ``patient_id`` alone; numbers of the image (pose, exposure, noise) on ``image`` too. Where
    these columns are absent the row's position stands in.

    Args:
        table: rows with columns of ``draw_rows``, parsed or as text.
        seed: not negative.
    """
    numbers = _RowNumbers(table, seed)
    u, v = numbers.patient, numbers.image
    cells = _Cells(table, len(table))
    female = cells.flag("sex", "F", u[:, 0] < 0.46)
    portable = cells.flag("view", "AP", v[:, 0] < 0.37)
    age = cells.number("age", 35 + 45 * u[:, 1], low=0, high=110)
    bmi = cells.number("bmi", 21 + 12 * u[:, 2], low=14, high=60)
    findings = cells.labels("findings")
    ratio = cells.number("cardiothoracic_ratio", 0.43 + 0.09 * u[:, 3] + 0.04 * portable, low=0.3, high=0.8)
    if findings:
        blank = cells.blank("cardiothoracic_ratio")
        ratio = np.where(blank & (findings["Cardiomegaly"] > 0), 0.57 + 0.08 * u[:, 3], ratio)
        ratio = np.where(blank & (findings["Cardiomegaly"] == 0), np.minimum(ratio, 0.54), ratio)
    size = 1 + 0.05 * _normal(u[:, 4], u[:, 5]) - 0.035 * female + 0.025 * (1 - female)
    chest = 13.3 * size + 0.05 * (bmi - 27)
    emphysema = findings.get("Emphysema", np.zeros(len(table)))
    inspiration = 0.9 * _normal(v[:, 1], v[:, 2]) - 0.07 * (bmi - 27) - 1.9 * portable + 1.6 * emphysema
    right_dome = 6.3 * size + inspiration
    left_dome = right_dome + 0.5 + 1.1 * u[:, 6]
    clouds, fluid = _disease(cells, findings, u, v)
    column = _column
    return ChestAnatomy(
        portable=column(portable),
        female=column(female),
        age_years=column(age),
        bmi=column(bmi),
        south=column(cells.flag("site", "south", np.zeros(len(table), dtype=bool))),
        zoom=column(1.09 + 0.045 * _normal(v[:, 3], v[:, 4]) + 0.02 * portable),
        rotation=column(np.radians(1.6 + 1.2 * portable) * _normal(v[:, 5], v[:, 6])),
        shift=(column((0.6 + 0.5 * portable) * _normal(v[:, 7], v[:, 8])), column(0.9 * _normal(v[:, 9], v[:, 10]))),
        chest_half_width=column(chest),
        body_half_width=column(chest + 3.0 + 0.27 * np.maximum(bmi - 19, 0)),
        body_depth=column(20.5 + 0.42 * (bmi - 26) + 1.2 * (1 - female)),
        apex=column(-13.2 * size + 0.4 * _normal(v[:, 11], v[:, 12]) + 0.8 * portable),
        dome=(column(right_dome), column(left_dome)),
        heart_width=column(ratio * 2 * chest),
        heart_offset=column(0.155 + 0.07 * u[:, 7]),
        clouds=(column(clouds[0]), column(clouds[1])),
        cloud_seats=_cloud_seats(v),
        fluid_ml=(column(fluid[0]), column(fluid[1])),
        device=cells.text("device", "none"),
        findings={name: column(values) for name, values in findings.items()},
        patient=u,
        image=v,
        texture=numbers.texture,
        noise_seeds=numbers.noise_seeds,
    )


class _RowNumbers:
    """Random numbers of every row, from its patient and its image."""

    def __init__(self, table: pd.DataFrame, seed: int) -> None:
        position = [str(row) for row in range(len(table))]
        patients = [str(value) for value in table["patient_id"]] if "patient_id" in table else position
        images = [str(value) for value in table["image"]] if "image" in table else position
        patient, image, texture = [], [], []
        self.noise_seeds = []
        for patient_id, name in zip(patients, images, strict=True):
            own = np.random.default_rng(_digest(f"{seed}/{patient_id}"))
            shot = np.random.default_rng(_digest(f"{seed}/{patient_id}/{name}"))
            patient.append(own.random(_PATIENT_NUMBERS, dtype=np.float32))
            image.append(shot.random(_IMAGE_NUMBERS, dtype=np.float32))
            layers = shot.standard_normal((TEXTURE_LAYERS, TEXTURE_GRID, TEXTURE_GRID), dtype=np.float32)
            layers[0] = own.standard_normal((TEXTURE_GRID, TEXTURE_GRID), dtype=np.float32)
            texture.append(layers)
            self.noise_seeds.append(int(shot.integers(2**62)))
        self.patient, self.image, self.texture = np.stack(patient), np.stack(image), np.stack(texture)


class _Cells:
    """Reads columns of a table that may lack them, or hold blanks."""

    def __init__(self, table: pd.DataFrame, rows: int) -> None:
        self.table, self.rows = table, rows

    def blank(self, name: str) -> Array:
        """Return where a value is missing, ``(rows,)`` bool."""
        if name not in self.table:
            return np.ones(self.rows, dtype=bool)
        return pd.isna(self.table[name]).to_numpy()

    def flag(self, name: str, value: str, fallback: Array) -> Array:
        """Return 1.0 where the column holds ``value``."""
        held = self.table[name].astype(str).to_numpy() == value if name in self.table else fallback
        return np.where(self.blank(name), fallback, held).astype(np.float64)

    def number(self, name: str, fallback: Array, *, low: float, high: float) -> Array:
        """Return numbers inside the range that can be drawn."""
        if name not in self.table:
            return np.clip(fallback, low, high)
        values = pd.to_numeric(self.table[name], errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        return np.clip(np.where(np.isnan(values), fallback, values), low, high)

    def text(self, name: str, fallback: str) -> list[str]:
        """Return strings."""
        if name not in self.table:
            return [fallback] * self.rows
        return [fallback if pd.isna(value) else str(value) for value in self.table[name]]

    def labels(self, name: str) -> dict[str, Array]:
        """Return one 0/1 array per finding; empty where the table has no such column."""
        if name not in self.table:
            return {}
        held = [set(value.split("|")) for value in self.text(name, "")]
        return {label: np.array([label in labels for labels in held], dtype=np.float64) for label in FINDINGS}


def _disease(cells: _Cells, findings: dict[str, Array], u: Array, v: Array) -> tuple[list[Array], list[Array]]:
    """Return the clouds' strength and the effusion in ml, each for the patient's right and left side."""
    side = np.array(cells.text("opacity_side", "none"), dtype=object)
    ldh = cells.number("ldh", 200 + 120 * v[:, 14], low=100, high=700)
    crp = np.maximum(cells.number("crp", 5 + 80 * v[:, 15], low=0, high=450), 2.0)
    strength = np.clip(0.42 + 0.28 * np.log(ldh / 250) + 0.07 * np.log(crp / 25) + 0.3 * v[:, 16], 0.38, 1.0)
    clouds = [strength * np.isin(side, [name, "both"]) for name in ("right", "left")]
    volume = cells.number("effusion_ml", np.zeros(len(u)), low=0, high=2500)
    if findings:
        volume = np.where(cells.blank("effusion_ml") & (findings["Effusion"] > 0), 250 + 700 * v[:, 17], volume)
    # Fluid gathers on the diseased side; without one it is right, left or, in the middle, on both sides.
    share = np.select([side == "right", side == "left"], [0.85, 0.15], np.clip(2.2 * u[:, 8] - 0.5, 0, 1))
    return clouds, [volume * share, volume * (1 - share)]


def _cloud_seats(v: Array) -> Array:
    """Place three blobs a side: x and y as shares of the lung's width and height, radius in cm, weight."""
    draws = v[:, 64:88].reshape(-1, 2, 3, 4)
    seats = np.empty(draws.shape, dtype=np.float32)
    seats[..., 0] = 0.34 + 0.4 * draws[..., 0]
    seats[..., 1] = np.array([0.78, 0.55, 0.35]) - 0.12 + 0.24 * draws[..., 1]
    seats[..., 2] = 2.6 + 1.8 * draws[..., 2]
    seats[..., 3] = np.array([1.0, 0.85, 0.6]) * (0.7 + 0.4 * draws[..., 3])
    return seats


def _digest(text: str) -> int:
    """Return a stable 64-bit number for a text; Python's own hash changes from run to run."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def _normal(first: Array, second: Array) -> Array:
    """Return standard normal numbers from two uniform ones (Box and Muller), cut at 2.5."""
    radius = np.sqrt(-2 * np.log(np.maximum(first, 1e-6)))
    return np.clip(radius * np.cos(2 * np.pi * second), -2.5, 2.5)


def _column(values: Array) -> Array:
    """Return ``(N, 1, 1)`` float32, ready to meet ``(N, S, S)``."""
    return np.asarray(values, dtype=np.float32)[:, None, None]
