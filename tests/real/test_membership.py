"""Membership controls on real patients: copies are found, copied images alone too, a third set is not accused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from monai_hybridsynth.data import read_cohort
from monai_hybridsynth.evaluation.judged_cohort import embed_cohort
from monai_hybridsynth.evaluation.membership import membership_findings
from monai_hybridsynth.features import RandomConvolutionFeatures
from monai_hybridsynth.workflows import prepare_cohort

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sides(real_data, tmp_path_factory):
    root = tmp_path_factory.mktemp("nih")
    targets = ["View Position", "Patient Gender", "Finding_Labels"]
    prepare_cohort(real_data / "nih_cxr14_sample", root / "whole", targets=targets, holdout=0.4)
    prepare_cohort(root / "whole" / "train", root / "part", holdout=0.4, schema=root / "whole" / "schema.json")
    texture = RandomConvolutionFeatures(1)
    folders = {"train": root / "part" / "train", "holdout": root / "part" / "holdout", "fresh": root / "whole/holdout"}
    return [
        embed_cohort(read_cohort(folder), texture, name=role, role=role, spatial_size=64, spaces={"texture": texture})
        for role, folder in folders.items()
    ]


def made_of(rows_of, rows, images_of, images):
    """Return a synthetic cohort of one cohort's rows on another one's images."""
    own, lent = rows_of.subset(rows), images_of.subset(images)
    groups = np.array([f"row {row}" for row in range(len(rows))], dtype=object)
    return replace(own, name="made", role="synthetic", pixels=lent.pixels, spaces=lent.spaces, groups=groups)


def strongest(sides, made):
    found = membership_findings(*sides[:2], made, seed=0).metrics
    return {
        record.dimensions["view"]: record
        for record in found
        if record.name == "membership_auroc"
        and (record.dimensions["attack"], record.dimensions["stratum"]) == ("strongest", "all")
    }


def test_copies_are_found(sides):
    picked = np.random.default_rng(0).integers(0, len(sides[0]), 5 * len(sides[0]))
    found = strongest(sides, made_of(sides[0], picked, sides[0], picked))
    assert found["image"].value > 0.95
    assert found["record"].value > 0.95
    # Age, sex, view and findings of many patients agree with somebody else's: their rows alone give less away.
    assert found["table"].low > 0.5


def test_a_third_set_of_patients_is_not_accused(sides):
    every = np.arange(len(sides[2]))
    for record in strongest(sides, made_of(sides[2], every, sides[2], every)).values():
        assert record.low <= 0.5 <= record.high


def test_copied_images_under_fresh_rows_are_found_in_the_images(sides):
    rng = np.random.default_rng(0)
    found = strongest(
        sides, made_of(sides[2], rng.integers(0, len(sides[2]), 900), sides[0], rng.integers(0, len(sides[0]), 900))
    )
    assert found["image"].value > 0.95
    assert found["table"].low <= 0.5 <= found["table"].high
