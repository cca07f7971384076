from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from monai_hybridsynth.evaluation.report.gallery import (
    closest_pairs,
    display_size,
    draw_gallery,
    listed_pairs,
    occluded_images,
    row_caption,
)


@pytest.fixture(scope="module")
def train(sides):
    return sides["train"]


def test_pictures_show_the_rows_that_were_asked_for(train, schema, tmp_path):
    pictures = draw_gallery(train, [5, 2], schema, tmp_path, prefix="real", size=16)
    for row, picture in zip([5, 2], pictures, strict=True):
        shown = np.asarray(Image.open(tmp_path / picture.path)).astype(int)
        stored = np.asarray(Image.open(train.cohort.image_paths[row])).astype(int)
        assert np.abs(shown - stored).max() <= 1
        assert f"sex: {train.table.loc[row, 'sex']}" in picture.caption
    assert draw_gallery(train, [], schema, tmp_path, prefix="none", size=16) == []


def test_captions_name_targets_first_with_units_and_leave_missing_values_out(schema):
    row = pd.Series({"sex": "m", "age": 60.4, "labels": "wet|dry", "crp": np.nan, "smoker": "no"})
    assert row_caption(schema, row) == ("sex: m", "age: 60.4 years", "labels: wet, dry", "smoker: no")
    assert "crp: below detection" in row_caption(schema, row.replace({np.nan: -np.inf}))


def test_the_closest_pair_of_a_cohort_with_itself_is_every_record_and_itself(train, tmp_path):
    pairs = closest_pairs(train, train, tmp_path, prefix="x", size=16, count=3)
    assert [pair.words for pair in pairs] == ["distance 0.00"] * 3
    for pair in pairs:
        assert (tmp_path / pair.record.path).read_bytes() == (tmp_path / pair.nearest.path).read_bytes()
        assert pair.record.caption == pair.nearest.caption


def test_listed_pairs_keep_their_order_and_words(sides, train, tmp_path):
    listed = [
        {"holdout": 4, "train": 9, "correlation": 0.98, "distance": 0.5, "transform": "flipped"},
        {"holdout": 2, "train": 1, "correlation": 0.9, "distance": 0.7, "transform": "none"},
    ]
    pairs = listed_pairs(sides["holdout"], train, listed, tmp_path, prefix="h", size=16)
    assert [pair.words for pair in pairs] == [
        "correlation 0.98, relative distance 0.50, flipped",
        "correlation 0.90, relative distance 0.70",
    ]
    shown = np.asarray(Image.open(tmp_path / pairs[0].nearest.path)).astype(int)
    assert np.abs(shown - np.asarray(Image.open(train.cohort.image_paths[9])).astype(int)).max() <= 1


def test_occlusion_colours_what_speaks_for_and_against(sides, tmp_path):
    values = np.zeros((4, 4))
    values[0, 0], values[3, 3] = 2.0, -2.0
    listed = [{"row": 3, "target": "sex", "real": values.tolist(), "synthetic": np.zeros((4, 4)).tolist()}]
    (one,) = occluded_images(sides["holdout"], listed, tmp_path, prefix="o", size=64)
    real = np.asarray(Image.open(tmp_path / one.real.path)).astype(int)
    assert real[4, 4, 0] > real[4, 4, 2] + 50
    assert real[59, 59, 2] > real[59, 59, 0] + 50
    plain = np.asarray(Image.open(tmp_path / one.synthetic.path)).astype(int)
    assert np.ptp(plain, axis=2).max() == 0


def test_small_images_are_shown_no_smaller_than_64_pixels(train):
    assert display_size([train]) == 64
