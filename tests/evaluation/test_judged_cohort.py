from __future__ import annotations

import numpy as np
import pytest

from monai_hybridsynth.data import CohortError, read_cohort
from monai_hybridsynth.evaluation.judged_cohort import (
    embed_cohort,
    read_real_cohort,
    read_synthetic_cohort,
    row_groups,
    tolerant_schema,
)
from monai_hybridsynth.features import PixelPCA
from monai_hybridsynth.transforms import load_images


def test_a_synthetic_cohort_that_breaks_constraints_is_read(folders, schema, tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "images").symlink_to(folders["honest"] / "images")
    text = (folders["honest"] / "records.csv").read_text().splitlines()
    text[1] = "images/000000.png,x,411.0,none,,yes"
    (broken / "records.csv").write_text("\n".join(text))
    with pytest.raises(CohortError):
        read_cohort(broken, schema=schema)
    cohort, manifest = read_synthetic_cohort(broken, schema)
    assert manifest is None
    assert cohort.table.loc[0, "age"] == 411
    assert cohort.table.loc[0, "sex"] == "x"


def test_tolerance_leaves_identity_and_order_alone(schema):
    tolerant = tolerant_schema(schema)
    assert tolerant.names == schema.names
    assert tolerant.feature_names == schema.feature_names
    assert tolerant["age"].maximum is None


def test_images_are_embedded_in_order_and_patients_named(folders, schema):
    cohort = read_real_cohort(folders["train"])
    images = load_images(cohort.image_paths, schema.image, spatial_size=16)
    features = PixelPCA(4).fit(images)
    seen: list[int] = []
    side = embed_cohort(cohort, features, name="train", role="train", spatial_size=16, progress=seen.append)
    assert side.features == pytest.approx(features(images).double().numpy(), abs=1e-5)
    assert sum(seen) == len(side) == 120
    assert side.num_groups == 60
    assert side.weights.sum() == pytest.approx(60)
    assert side.summary() == {"role": "train", "records": 120, "patients": 60, "manifest": None}
    part = side.limited(30, seed=1)
    assert len(part) == len(part.cohort.image_paths) == len(part.groups) == 30
    assert side.limited(500, seed=1) is side


def test_codes_stand_beside_the_spaces_and_follow_the_rows(folders, schema):
    cohort = read_real_cohort(folders["train"])

    def mean(images):
        return images.flatten(1).mean(1, keepdim=True)

    how = {"name": "train", "role": "train", "spatial_size": 16, "spaces": {"texture": mean}}
    side = embed_cohort(cohort, mean, **how, codes=lambda images: -mean(images))
    assert set(side.spaces) == {"texture"}
    assert (side.codes == -side.features).all()
    assert (side.subset(np.array([5, 2])).codes == side.codes[[5, 2]]).all()
    bare = embed_cohort(cohort, mean, **how)
    assert not len(bare.codes)
    assert not len(bare.subset(np.array([5, 2])).codes)


def test_synthetic_records_stand_alone(folders, schema):
    cohort, manifest = read_synthetic_cohort(folders["honest"], schema)
    assert len(np.unique(row_groups(cohort, "synthetic"))) == len(cohort)
    assert manifest is not None
    assert manifest["synthetic"] is True
