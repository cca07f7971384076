from __future__ import annotations

from dataclasses import replace

import pytest

from monai_hybridsynth.data import ImageSettings, read_cohort
from monai_hybridsynth.evaluation.input_checks import check_channels, check_folders, check_patients


def test_folders_are_there_filled_and_different(folders, tmp_path):
    a, b, c = folders["train"], folders["holdout"], folders["honest"]
    check_folders(a, b, [c, c, folders["unmatched"]])
    with pytest.raises(ValueError, match="the train cohort .* is an empty folder"):
        check_folders(tmp_path, b, [c])
    with pytest.raises(ValueError, match="the holdout cohort .* is no folder"):
        check_folders(a, tmp_path / "absent", [c])
    (tmp_path / "link").symlink_to(a)
    with pytest.raises(ValueError, match="is given as train and as synthetic"):
        check_folders(a, b, [tmp_path / "link"])


def test_patients_are_known_on_both_sides_or_on_none(folders):
    train, holdout = read_cohort(folders["train"]), read_cohort(folders["holdout"])
    check_patients(train, holdout)
    nameless = [replace(cohort, table=cohort.table.drop(columns="patient_id")) for cohort in (train, holdout)]
    check_patients(*nameless)
    with pytest.raises(ValueError, match="the holdout cohort .* names no patients in the column 'patient_id'"):
        check_patients(train, nameless[1])
    with pytest.raises(ValueError, match="the train cohort .* names no patients"):
        check_patients(nameless[0], holdout)
    with pytest.raises(ValueError, match="60 patients are in train"):
        check_patients(train, train)


def test_channels_and_first_images_fit(folders):
    train, honest = read_cohort(folders["train"]), read_cohort(folders["honest"])
    check_channels(train, [honest])
    wide = ImageSettings(scaling={"kind": "range", "minimum": 0, "maximum": 255, "channels": 3})
    with pytest.raises(ValueError, match="have 3 channels"):
        check_channels(train, [replace(honest, schema=honest.schema.with_image(wide))])
    with pytest.raises(ValueError, match="absent.png"):
        check_channels(train, [replace(honest, image_paths=[honest.folder / "absent.png"])])
