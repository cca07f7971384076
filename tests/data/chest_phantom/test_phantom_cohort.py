"""The written cohort folder."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from monai_hybridsynth.data import draw_images, draw_rows, read_cohort, write_phantom_cohort


@pytest.mark.parametrize("variant", ["paper", "findings"])
def test_reads_back_as_drawn(tmp_path, variant):
    folder = write_phantom_cohort(tmp_path / "cohort", 9, seed=3, variant=variant, spatial_size=32)
    rows = draw_rows(9, seed=3, variant=variant)
    cohort = read_cohort(folder)
    pd.testing.assert_frame_equal(cohort.table[list(rows.columns)], rows)
    images = draw_images(rows, spatial_size=32, seed=3)
    for path, expected in zip(cohort.image_paths, images, strict=True):
        assert np.array_equal(np.asarray(Image.open(path)), expected)


def test_missing_values_are_blank(tmp_path):
    folder = write_phantom_cohort(tmp_path / "cohort", 60, seed=3, spatial_size=32)
    text = pd.read_csv(folder / "records.csv", dtype=str, keep_default_na=False)
    assert (text["ldh"] == "").sum() == draw_rows(60, seed=3)["ldh"].isna().sum() > 0
    assert not text.isin(["nan", "NaN", "None", "<NA>"]).any(axis=None)


def test_equal_arguments_give_equal_bytes(tmp_path):
    def digest(folder) -> dict[str, str]:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    first = digest(write_phantom_cohort(tmp_path / "a", 5, seed=3, spatial_size=32))
    again = digest(write_phantom_cohort(tmp_path / "b", 5, seed=3, spatial_size=32))
    other = digest(write_phantom_cohort(tmp_path / "c", 5, seed=4, spatial_size=32))
    assert first == again
    assert first["images/000000.png"] != other["images/000000.png"]
    assert len(first) == 7
