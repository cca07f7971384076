"""Pools: whole patients set aside, images without patients counted one by one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from monai_hybridsynth.data import read_image_pool


def write_pool(folder, patients):
    (folder / "images").mkdir(parents=True)
    names = [f"images/{index:03d}.png" for index in range(len(patients))]
    for index, name in enumerate(names):
        Image.fromarray(np.full((8, 8), index, np.uint8)).save(folder / name)
    table = pd.DataFrame({"image": names})
    if any(patients):
        table["patient_id"] = patients
    table.to_csv(folder / "records.csv", index=False)
    return folder


def names(records):
    return {record["image"].rsplit("/", 1)[1] for record in records}


def test_images_without_patients(tmp_path):
    pool = read_image_pool(write_pool(tmp_path, [""] * 10), validation_images=3, seed=1)
    assert len(pool.validation) == 3
    assert len(names(pool.training) | names(pool.validation)) == 10


def test_patients_never_cross(tmp_path):
    patients = [f"p{index // 4}" for index in range(20)]
    folder = write_pool(tmp_path, patients)
    pool = read_image_pool(folder, validation_images=6, seed=0)
    side = {name: "train" for name in names(pool.training)} | {name: "val" for name in names(pool.validation)}
    for patient in set(patients):
        sides = {side[f"{index:03d}.png"] for index, own in enumerate(patients) if own == patient}
        assert len(sides) == 1
    assert len(pool.validation) == 8  # two whole patients of four images


def test_the_split_and_its_fingerprint_follow_the_seed(tmp_path):
    folder = write_pool(tmp_path, [""] * 30)
    first, again, other = (read_image_pool(folder, validation_images=5, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first.fingerprint != other.fingerprint


def test_at_most_half_is_set_aside_and_one_image_is_refused(tmp_path):
    pool = read_image_pool(write_pool(tmp_path / "four", [""] * 4), validation_images=500)
    assert len(pool.training) == len(pool.validation) == 2
    with pytest.raises(ValueError, match="at least two"):
        read_image_pool(write_pool(tmp_path / "one", [""]))
