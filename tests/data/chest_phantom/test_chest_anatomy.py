"""Measures of the chest: which follow the row, which the patient, which the image."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from monai_hybridsynth.data import draw_rows
from monai_hybridsynth.data.chest_phantom.chest_anatomy import chest_anatomy


def test_a_patient_keeps_the_build_and_changes_the_pose():
    rows = draw_rows(300, seed=1).dropna(subset=["age", "bmi"])
    repeated = rows["patient_id"].duplicated(keep=False)
    rows = rows[repeated]
    chest = chest_anatomy(rows, seed=1)
    frame = pd.DataFrame(
        {"patient": rows["patient_id"], "width": chest.chest_half_width.ravel(), "turn": chest.rotation.ravel()}
    )
    known = frame[rows.groupby("patient_id")["bmi"].transform("nunique") == 1]
    assert (known.groupby("patient")["width"].nunique() == 1).all()
    assert (frame.groupby("patient")["turn"].nunique() > 1).all()


def test_values_of_the_row_are_taken_over():
    rows = draw_rows(200, seed=1).dropna()
    chest = chest_anatomy(rows, seed=1)
    ratio = (chest.heart_width / (2 * chest.chest_half_width)).ravel()
    np.testing.assert_allclose(ratio, rows["cardiothoracic_ratio"], rtol=1e-5)
    np.testing.assert_allclose((chest.fluid_ml[0] + chest.fluid_ml[1]).ravel(), rows["effusion_ml"], rtol=1e-5)
    opaque = np.stack([chest.clouds[0].ravel() > 0, chest.clouds[1].ravel() > 0], axis=1)
    sides = {"none": (False, False), "right": (True, False), "left": (False, True), "both": (True, True)}
    assert [tuple(pair) for pair in opaque] == [sides[side] for side in rows["opacity_side"]]


def test_text_from_a_file_reads_like_parsed_values():
    rows = draw_rows(40, seed=1)
    text = rows.astype(object).where(rows.notna(), None).map(lambda value: None if value is None else str(value))
    parsed, read = chest_anatomy(rows, seed=1), chest_anatomy(text, seed=1)
    np.testing.assert_array_equal(parsed.heart_width, read.heart_width)
    np.testing.assert_array_equal(parsed.clouds, read.clouds)


def test_measures_are_single_precision():
    chest = chest_anatomy(draw_rows(5, seed=1, variant="findings"), seed=1)
    for field in dataclasses.fields(chest):
        value = getattr(chest, field.name)
        for part in value if isinstance(value, tuple) else [value]:
            assert not isinstance(part, np.ndarray) or part.dtype == np.float32, field.name


@pytest.mark.parametrize(("label", "low", "high"), [("Cardiomegaly", 0.55, 0.8), ("No Finding", 0.3, 0.55)])
def test_a_label_alone_decides_the_heart(label, low, high):
    rows = pd.DataFrame({"findings": [label] * 50, "view": ["AP"] * 50})
    chest = chest_anatomy(rows, seed=1)
    ratio = chest.heart_width / (2 * chest.chest_half_width)
    assert ratio.min() > low
    assert ratio.max() < high
