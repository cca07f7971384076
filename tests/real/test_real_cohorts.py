"""The real cohorts, as a user hands them over: prepared whole, and nothing identifying among what is modelled."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from monai_hybridsynth.data import CohortError, ImageFileError, ImageSettings, infer_schema, read_cohort, read_image
from monai_hybridsynth.data.record_tables import read_record_table
from monai_hybridsynth.transforms import RecordImage, load_images
from monai_hybridsynth.workflows import prepare_cohort

# cohort -> targets asked for, then columns that must be modelled, then those that must never be.
COHORTS: dict[str, tuple[list[str], set[str], set[str]]] = {
    "nih_cxr14_sample": (
        ["View Position", "Patient Gender", "Finding_Labels"],
        {"Finding_Labels", "Patient Age", "Patient Gender", "View Position"},
        {"Image_Index", "Follow-up #", "Patient ID", "OriginalImageWidth", "native_size", "native_mode"},
    ),
    "nih1000_64": (
        ["Finding Labels"],
        {"Finding Labels", "Patient Age", "Patient Gender", "View Position"},
        {"repo_path", "Image Index", "Follow-up #", "Patient ID", "OriginalImage[Width", "Height]", "y]"},
    ),
    "hannover_covid": (
        ["icu_admission_offset"],
        {"sex", "admission_offset", "icu_admission", "projection", "crp_val", "d-dimer_val", "po2_val"},
        {"image_id", "age", "size", "weight", "icu_admission_offset", "icu_release_offset", "native_size"},
    ),
    "ct_ich": (
        ["any_haemorrhage=No_Hemorrhage:equals:0"],
        {"any_haemorrhage", "Epidural", "Subdural", "Fracture_Yes_No", "Age (years)", "Gender", "patient_Epidural"},
        {"repo_path", "repo_folder", "PatientNumber", "SliceNumber", "Condition on file", "Note", "No_Hemorrhage"},
    ),
    "kermany_pool": (["label"], {"label", "pneumonia_type"}, {"repo_path"}),
}


def raw_rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "records.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(params=list(COHORTS))
def cohort(request, real_data) -> tuple[Path, list[str], set[str], set[str]]:
    return real_data / request.param, *COHORTS[request.param]


def test_prepare_keeps_every_record_and_no_identifier(cohort, tmp_path):
    folder, targets, modelled, never = cohort
    before = sorted((path.name, path.stat().st_mtime_ns) for path in folder.rglob("*"))
    prepared = prepare_cohort(folder, tmp_path / "out", targets=targets)
    assert before == sorted((path.name, path.stat().st_mtime_ns) for path in folder.rglob("*"))
    names = set(prepared.schema.feature_names)
    assert modelled <= names
    assert not never & names
    assert all(entry.reason for entry in prepared.schema)
    sides = {side: read_cohort(tmp_path / "out" / side) for side in ("train", "holdout")}
    rows = raw_rows(folder)
    assert sum(len(side) for side in sides.values()) == len(rows)
    patients = {side: set(read.table["patient_id"]) for side, read in sides.items()}
    assert not patients["train"] & patients["holdout"]
    total = len({row["patient_id"] for row in rows})
    assert len(patients["holdout"]) == round(total / 4)
    # The second reading: values of identifiers and free text are in no file that a synthesizer may see.
    private = {row[name] for row in rows for name in never if name in row and len(row[name]) > 5}
    for path in (tmp_path / "out").rglob("records.csv"):
        written = pd.read_csv(path, dtype=str).drop(columns=["image", "patient_id"])
        assert private.isdisjoint(written.to_numpy().ravel())


def test_both_sides_hold_every_target_class_of_two_patients(cohort, tmp_path):
    folder, targets, _, _ = cohort
    prepared = prepare_cohort(folder, tmp_path / "out", targets=targets)
    lines = prepared.sides.iloc[1:]
    assert len(lines) >= 2
    for column in ("train", "holdout"):
        counts = lines[column].str.extract(r"^(\d+) patients?")[0].astype(int)
        other = lines["holdout" if column == "train" else "train"].str.extract(r"^(\d+) patients?")[0].astype(int)
        assert ((counts > 0) | (counts + other < 2)).all()


def test_values_are_read_as_they_stand(real_data):
    rows = raw_rows(real_data / "hannover_covid")
    table = read_cohort(real_data / "hannover_covid").table
    for name in ("crp_val", "d-dimer_val", "po2_val"):
        expected = [float(row[name]) if row[name] else np.nan for row in rows]
        np.testing.assert_array_equal(table[name].to_numpy(), np.array(expected))
    assert np.isinf(table.select_dtypes("float64").to_numpy()).sum() == sum(
        row[name] in ("inf", "-inf") for row in rows for name in row
    )
    rows = raw_rows(real_data / "nih_cxr14_sample")
    table = read_cohort(real_data / "nih_cxr14_sample").table
    assert table["Patient Age"].tolist() == [int(row["Patient Age"].rstrip("Y")) for row in rows]
    assert table["Finding_Labels"].tolist() == [row["Finding_Labels"] for row in rows]


def test_icu_is_read_from_the_day_column(real_data, tmp_path):
    prepare_cohort(real_data / "hannover_covid", tmp_path / "out", targets=["icu_admission_offset"])
    both = pd.concat([read_cohort(tmp_path / "out" / side).table for side in ("train", "holdout")])
    wanted = {
        row["image"]: "yes" if row["icu_admission_offset"] else "no" for row in raw_rows(real_data / "hannover_covid")
    }
    assert dict(zip(both["image"], both["icu_admission"], strict=True)) == wanted
    assert both.loc[both["icu_admission"] == "yes", "patient_id"].nunique() == 17


def test_the_known_wrong_age(real_data, tmp_path):
    folder = tmp_path / "nih"
    folder.mkdir()
    (folder / "images").symlink_to(real_data / "nih_cxr14_sample" / "images")
    rows = raw_rows(real_data / "nih_cxr14_sample")
    rows[10]["Patient Age"] = "411Y"
    pd.DataFrame(rows).to_csv(folder / "records.csv", index=False)
    with pytest.raises(CohortError) as caught:
        prepare_cohort(folder, tmp_path / "out")
    assert len(caught.value.problems) == 1
    problem = caught.value.problems[0]
    assert (problem.file, problem.row, problem.column, problem.value) == ("records.csv", 12, "Patient Age", "411Y")
    assert "--on-invalid missing" in problem.remedy
    prepared = prepare_cohort(folder, tmp_path / "out", on_invalid="missing")
    assert [(note.subject, note.count) for note in prepared.notes if note.action == "set to missing"] == [
        ("Patient Age", 1)
    ]


def test_the_pool_without_patients_is_read(real_data):
    pool = read_cohort(real_data / "mednist")
    assert pool.schema.group_name is None
    assert list(pool.table) == ["image", "label"]


def test_images_come_as_networks_want_them(cohort):
    folder = cohort[0]
    read = read_cohort(folder)
    images = load_images(read.image_paths[:12], read.schema.image, spatial_size=64)
    assert images.shape == (12, 1, 64, 64)
    assert images.min() >= -1
    assert images.max() <= 1
    assert images.std() > 0.2


def test_the_sample_files(real_data):
    folder = real_data / "dicom_samples" / "images"
    upright, inverted = (read_image(folder / f"cxr_pa_monochrome{kind}.dcm") for kind in ("2", "1_relabelled"))
    # The same pixels with another tag: reading one upright must turn the other over.
    np.testing.assert_array_equal(inverted.pixels, upright.pixels.max() + upright.pixels.min() - upright.pixels)
    head = read_image(folder / "headct_ge_slice14.dcm")
    assert head.hounsfield
    assert head.outside is not None
    assert head.pixels[head.outside].max() == -1500
    brain = RecordImage(ImageSettings.for_modality("head_ct", hounsfield=True), 128)(folder / "headct_ge_slice14.dcm")
    assert brain[0, :4].max() == -1
    assert 0.15 < (brain.abs() < 0.95).float().mean() < 0.6
    for name in ("deid_fixture_drawing1.dcm", "deid_fixture_drawing2.dcm"):
        with pytest.raises(ImageFileError, match="colour"):
            read_image(folder / name)
    pitch, vessels = (read_image(folder / f"CT_{name}.nii.gz") for name in ("pitch", "AVM"))
    assert pitch.pixels.shape == (248, 175)
    assert vessels.pixels.shape == (242, 256)
    assert vessels.note == "axial slice at 0.5 of the volume"


def test_the_sample_cohort_is_refused_with_each_reason_and_prepared_without(real_data, tmp_path):
    with pytest.raises(CohortError) as caught:
        prepare_cohort(real_data / "dicom_samples", tmp_path / "out")
    told = str(caught.value)
    assert told.count("is a DICOM colour image") == 2
    assert told.count("not the Hounsfield units") == 2
    folder = tmp_path / "heads"
    shutil.copytree(real_data / "dicom_samples" / "images", folder / "images")
    rows = [row for row in raw_rows(real_data / "dicom_samples") if "headct" in row["image"]]
    for number, row in enumerate(rows):
        row["patient_id"] = f"p{number}"
        row["bleeds"] = "yes" if number % 2 else "no"
    pd.DataFrame(rows).to_csv(folder / "records.csv", index=False)
    prepared = prepare_cohort(folder, tmp_path / "out")
    assert prepared.schema.image.scaling["kind"] == "window"
    assert prepared.schema.feature_names == ["bleeds"]


def test_names_and_people_of_the_samples_are_not_modelled(real_data):
    schema = infer_schema(read_record_table(real_data / "dicom_samples").table)
    assert {"PatientName_is", "source", "content"}.isdisjoint(schema.feature_names)
    text = json.dumps(schema.to_dict())
    assert "SIMPSON" not in text
    assert "6904" not in text
