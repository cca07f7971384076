from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from monai_hybridsynth.evaluation.judged_cohort import embed_cohort, read_real_cohort
from monai_hybridsynth.evaluation.report_images import closest_pairs, display_size, draw_gallery, row_caption
from monai_hybridsynth.features import PixelPCA
from monai_hybridsynth.transforms import load_images


@pytest.fixture(scope="module")
def train(folders, schema):
    cohort = read_real_cohort(folders["train"])
    features = PixelPCA(8).fit(load_images(cohort.image_paths, schema.image, spatial_size=16))
    return embed_cohort(cohort, features, name="train", role="train", spatial_size=16)


def test_pictures_show_the_rows_that_were_asked_for(train, schema, tmp_path):
    pictures = draw_gallery(train, [5, 2], schema, tmp_path, prefix="real", size=16)
    for row, picture in zip([5, 2], pictures, strict=True):
        shown = np.asarray(Image.open(tmp_path / picture.path)).astype(int)
        stored = np.asarray(Image.open(train.cohort.image_paths[row])).astype(int)
        assert np.abs(shown - stored).max() <= 1
        assert f"sex: {train.table.loc[row, 'sex']}" in picture.caption


def test_captions_name_targets_first_with_units_and_leave_missing_values_out(schema):
    row = pd.Series({"sex": "m", "age": 60.4, "labels": "wet|dry", "crp": np.nan, "smoker": "no"})
    assert row_caption(schema, row) == ("sex: m", "age: 60.4 years", "labels: wet, dry", "smoker: no")


def test_the_closest_pair_of_a_cohort_with_itself_is_every_record_and_itself(train, tmp_path):
    pairs = closest_pairs(train, train, tmp_path, prefix="x", size=16, count=3)
    assert [pair.distance for pair in pairs] == pytest.approx([0, 0, 0])
    for pair in pairs:
        assert (tmp_path / pair.record.path).read_bytes() == (tmp_path / pair.nearest.path).read_bytes()
        assert pair.record.caption == pair.nearest.caption


def test_small_images_are_shown_no_smaller_than_64_pixels(train):
    assert display_size([train]) == 64
