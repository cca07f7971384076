"""Prepare end to end on small cohorts: what is written, what is said, and every kind of bad input."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from monai_hybridsynth.data import CohortError, RecordSchema, read_cohort
from monai_hybridsynth.data.patient_split import is_stratified_split
from monai_hybridsynth.workflows import prepare_cohort, prepare_phantom

ROWS = 48


def rows() -> pd.DataFrame:
    """Return 48 images of 24 patients as a hospital may write them."""
    patients = [number // 2 for number in range(ROWS)]
    return pd.DataFrame(
        {
            "image": [f"images/{number * 7919 % 104729}.png" for number in range(ROWS)],
            "patient_id": [f"p{patient}" for patient in patients],
            "Patient Age": [f"{20 + patient * 2:03d}Y" for patient in patients],
            "sex": ["fm"[patient % 2] for patient in patients],
            "crp_val": ["" if n % 4 == 0 else "inf" if n == 5 else f"{n * 1.5}" for n in range(ROWS)],
            "Findings": ["Edema|Mass" if n % 5 == 0 else "Mass" if n % 3 else "No Finding" for n in range(ROWS)],
            "death_offset": [str(n) if n // 2 % 6 == 0 else "" for n in range(ROWS)],
            "mrn": [f"A{number:05d}" for number in range(ROWS)],
            "weight": [""] * ROWS,
        }
    )


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a cohort from a table and gives its folder."""

    def write_cohort(table: pd.DataFrame, name: str = "hospital") -> Path:
        folder = tmp_path / name
        generator = np.random.default_rng(0)
        for image in table["image"]:
            path = folder / image
            if ".." not in image and image.endswith(".png"):
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(generator.integers(0, 256, (9, 12), dtype=np.uint8)).save(path)
        folder.mkdir(exist_ok=True)
        table.to_csv(folder / "records.csv", index=False)
        return folder

    return write_cohort


def fingerprint(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def problems_of(folder: Path, out: Path, **options) -> list[str]:
    with pytest.raises(CohortError) as caught:
        prepare_cohort(folder, out, **options)
    assert not out.exists()
    return [str(problem) for problem in caught.value.problems]


def test_a_prepared_cohort_is_whole_and_the_source_untouched(write, tmp_path):
    folder = write(rows())
    before = fingerprint(folder)
    prepared = prepare_cohort(folder, tmp_path / "out", targets=["sex", "Findings", "death_offset"])
    assert fingerprint(folder) == before
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["holdout", "schema.json", "train"]
    train, holdout = read_cohort(tmp_path / "out" / "train"), read_cohort(tmp_path / "out" / "holdout")
    assert len(train) + len(holdout) == ROWS
    assert holdout.table["patient_id"].nunique() == 6
    assert not set(train.table["patient_id"]) & set(holdout.table["patient_id"])
    assert train.schema.target_names == ["sex", "Findings", "death"]
    assert is_stratified_split(tmp_path / "out" / "train", tmp_path / "out" / "holdout")
    both = pd.concat([train.table, holdout.table]).sort_values("image", ignore_index=True)
    again = prepared.schema.parse(rows()).sort_values("image", ignore_index=True)
    pd.testing.assert_frame_equal(both, again)
    for cohort in (train, holdout):
        for path, name in zip(cohort.image_paths, cohort.table["image"], strict=True):
            assert path.read_bytes() == (folder / name).read_bytes()


def test_values_of_identifiers_are_nowhere(write, tmp_path):
    prepare_cohort(write(rows()), tmp_path / "out")
    written = "".join(path.read_text() for path in (tmp_path / "out").rglob("*") if path.suffix in (".csv", ".json"))
    assert "mrn" in written
    assert "A00007" not in written
    schema = RecordSchema.load(tmp_path / "out" / "schema.json")
    assert schema["mrn"].role == "identifier"
    assert all(entry.reason for entry in schema)


def test_one_seed_gives_one_cohort_and_preparing_again_replaces_it(write, tmp_path):
    folder = write(rows())
    prepare_cohort(folder, tmp_path / "a", targets=["sex"], seed=3)
    prepare_cohort(folder, tmp_path / "b", targets=["sex"], seed=4)
    other = fingerprint(tmp_path / "b")
    (tmp_path / "b" / "latents").mkdir()
    prepare_cohort(folder, tmp_path / "b", targets=["sex"], seed=3)
    assert fingerprint(tmp_path / "a") == fingerprint(tmp_path / "b") != other
    assert (tmp_path / "b" / "latents").is_dir()
    assert not list(tmp_path.glob("*.partial"))


def test_images_are_linked_or_copied(write, tmp_path):
    folder = write(rows())
    prepare_cohort(folder, tmp_path / "linked")
    prepare_cohort(folder, tmp_path / "copied", copy=True)
    linked = read_cohort(tmp_path / "linked" / "train").image_paths
    assert all(path.is_symlink() for path in linked)
    shutil.move(tmp_path / "linked", tmp_path / "moved")
    assert len(read_cohort(tmp_path / "moved" / "train")) == len(linked)
    shutil.rmtree(folder)
    assert len(read_cohort(tmp_path / "copied" / "train")) == len(linked)


def test_the_summary_says_what_was_done_and_why(write, tmp_path):
    prepared = prepare_cohort(write(rows()), tmp_path / "out", targets=["death_offset"])
    text = prepared.to_text()
    for part in (
        "blank in all 48 rows",
        "identifier",
        "plausible from 0 to 120",
        "1 beyond a detection limit",
        "the target 'death' is derived from it",
        "18 patients, 36 images",
        "6 patients, 12 images",
        "death: yes",
        "median size 12 x 9",
    ):
        assert part in text, part
    assert not any(word.strip("'") == "p7" for word in text.split())


def test_an_implausible_age_is_an_error_or_missing_and_counted(write, tmp_path):
    table = rows()
    table.loc[4, "Patient Age"] = "411Y"
    folder = write(table)
    found = problems_of(folder, tmp_path / "out")
    assert found == [
        "records.csv, row 6, column 'Patient Age': '411Y' lies above the plausible maximum 120 a; correct it, leave it "
        "blank, change the field in schema.json or use --on-invalid missing"
    ]
    prepared = prepare_cohort(folder, tmp_path / "out", on_invalid="missing")
    assert [(n.subject, n.count) for n in prepared.notes if n.action == "set to missing"] == [("Patient Age", 1)]
    both = pd.concat([read_cohort(tmp_path / "out" / side).table for side in ("train", "holdout")])
    assert both["Patient Age"].isna().sum() == 1
    assert both.loc[both["image"] == table["image"][4], "Patient Age"].isna().all()


def test_problems_of_every_kind_are_listed_together(write, tmp_path):
    table = rows()
    table.loc[0, "Patient Age"] = "411Y"
    table.loc[3, "image"] = "../outside.png"
    table.loc[5, "image"] = table.loc[4, "image"]
    table.loc[6, "crp_val"] = "high"
    folder = write(table)
    (folder / table["image"][8]).write_bytes(b"no image")
    (folder / table["image"][9]).unlink()
    colour = np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    Image.fromarray(colour).save(folder / table["image"][10])
    found = problems_of(folder, tmp_path / "out", targets=["no such column"])
    outside = "row 5, column 'image': '../outside.png'"
    for part in (
        "411Y",
        outside,
        "row 7",
        "'high' is no number",
        "row 10, column 'image'",
        "row 11",
        "row 12",
        "in colour",
    ):
        assert any(part in told for told in found), (part, found)
    assert any("no such column" in told for told in found)
    assert len(found) == 8


def test_a_mixed_column_names_each_odd_value(write, tmp_path):
    table = rows()
    table["ldh"] = [str(n * 3.5) if n % 3 else "n/k" for n in range(ROWS)]
    found = problems_of(write(table), tmp_path / "out")
    assert len(found) == ROWS / 3
    assert "column 'ldh': 'n/k' is no number, but most of the column is" in found[0]


def test_a_single_patient(write, tmp_path):
    found = problems_of(write(rows().assign(patient_id="p0")), tmp_path / "out")
    assert "there is 1 patient; a split into train and holdout needs at least two" in found[0]


@pytest.mark.parametrize("how", ["blank", "absent"])
def test_no_patients(write, tmp_path, how):
    table = rows().assign(patient_id="") if how == "blank" else rows().rename(columns={"patient_id": "Patient ID"})
    found = problems_of(write(table), tmp_path / "out")
    assert "has no patient ids, so patients cannot be kept on one side; fill a column 'patient_id'" in found[0]
    assert ("perhaps 'Patient ID' is it" in found[0]) == (how == "absent")


def test_a_given_split_is_kept_and_checked(write, tmp_path):
    table = rows()
    table["split"] = ["holdout" if number < 10 else "train" for number in range(ROWS)]
    prepare_cohort(write(table), tmp_path / "out", targets=["sex"])
    assert sorted(read_cohort(tmp_path / "out" / "holdout").table["image"]) == sorted(table["image"][:10])
    assert not is_stratified_split(tmp_path / "out" / "train", tmp_path / "out" / "holdout")
    table.loc[0, "split"] = "train"
    found = problems_of(write(table, "other"), tmp_path / "other_out")
    assert "'p0' is in train (row 2) and in holdout (row 3); put all rows of a patient on one side" in found[0]


def test_an_edited_schema_is_used(write, tmp_path):
    folder = write(rows())
    prepare_cohort(folder, tmp_path / "out")
    edited = json.loads((tmp_path / "out" / "schema.json").read_text())
    for entry in edited["fields"]:
        if entry["name"] == "sex":
            entry["role"] = "excluded"
        if entry["name"] == "Patient Age":
            entry["constraints"]["maximum"] = 50
    (tmp_path / "edited.json").write_text(json.dumps(edited))
    found = problems_of(folder, tmp_path / "again", schema=tmp_path / "edited.json")
    assert all("above the plausible maximum 50" in told for told in found)
    prepared = prepare_cohort(folder, tmp_path / "again", schema=tmp_path / "edited.json", on_invalid="missing")
    assert "sex" not in prepared.schema.feature_names
    assert "sex" not in read_cohort(tmp_path / "again" / "train").table


def test_rules_between_columns_hold_for_real_rows(write, tmp_path):
    folder = write(rows())
    prepare_cohort(folder, tmp_path / "out", targets=["death_offset"])
    schema = json.loads((tmp_path / "out" / "schema.json").read_text())
    schema["rules"] = [
        {"if": {"column": "sex", "equals": "f"}, "then": {"column": "Patient Age", "maximum": 60}},
        {"if": {"column": "death", "equals": "yes"}, "then": {"column": "death_offset", "is": "present"}},
    ]
    (tmp_path / "ruled.json").write_text(json.dumps(schema))
    broken = [n + 2 for n in range(ROWS) if n // 2 % 2 == 0 and 20 + n // 2 * 2 > 60]
    found = problems_of(folder, tmp_path / "again", schema=tmp_path / "ruled.json")
    told = (
        "breaks rule 1 (if 'sex' equals 'f' then 'Patient Age' is at most 60), because 'sex' is 'f', 'Patient Age' is"
    )
    assert [problem.split(":")[0] for problem in found] == [
        f"records.csv, row {n}, column 'Patient Age'" for n in broken
    ]
    assert told in found[0]
    prepared = prepare_cohort(folder, tmp_path / "again", schema=tmp_path / "ruled.json", on_invalid="missing")
    text = prepared.to_text()
    assert [(n.subject, n.count) for n in prepared.notes if n.action == "set to missing"] == [
        ("Patient Age", len(broken))
    ]
    assert f"{len(broken)} set to missing by rule 1" in text
    # The days stand aside, since the target is derived from them: their rule is kept, and said not to be checked.
    assert "set aside, so rule 2 (if 'death' equals 'yes' then 'death_offset' is present) is not checked" in text
    for name in ("schema.json", "train/schema.json"):
        assert json.loads((tmp_path / "again" / name).read_text())["rules"] == schema["rules"]
    both = pd.concat([read_cohort(tmp_path / "again" / side).table for side in ("train", "holdout")])
    assert both["Patient Age"].isna().sum() == len(broken)


def test_a_schema_that_does_not_fit(write, tmp_path):
    folder = write(rows())
    prepare_cohort(folder, tmp_path / "out")
    other = write(rows().rename(columns={"sex": "gender"}), "other")
    found = problems_of(other, tmp_path / "again", schema=tmp_path / "out" / "schema.json")
    assert "column 'sex': is in the schema but not in the table" in found[0]


def test_a_latent_column_and_a_byte_order_mark_and_semicolons(write, tmp_path):
    folder = write(rows().assign(latent_1=[str(n) for n in range(ROWS)]))
    assert "column 'latent_1': is named like an image latent" in problems_of(folder, tmp_path / "out")[0]
    rows().to_csv(folder / "records.csv", index=False, sep=";", encoding="utf-8-sig")
    text = prepare_cohort(folder, tmp_path / "out").to_text()
    assert "byte-order mark" in text
    assert "semicolons" in text


def test_parquet_gives_the_same_cohort(write, tmp_path):
    folder = write(rows())
    prepare_cohort(folder, tmp_path / "csv", targets=["sex"])
    typed = rows()
    typed["crp_val"] = pd.to_numeric(typed["crp_val"])
    typed["death_offset"] = pd.to_numeric(typed["death_offset"])
    (folder / "records.csv").unlink()
    typed.to_parquet(folder / "records.parquet")
    prepare_cohort(folder, tmp_path / "parquet", targets=["sex"])
    for side in ("train", "holdout"):
        tables = [read_cohort(tmp_path / name / side).table for name in ("csv", "parquet")]
        pd.testing.assert_frame_equal(*tables)


def test_only_safe_places_are_written_to(write, tmp_path):
    folder = write(rows())
    for out in (folder, folder / "prepared", tmp_path):
        with pytest.raises(ValueError, match="lie in one another"):
            prepare_cohort(folder, out)
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.txt").write_text("")
    with pytest.raises(ValueError, match="is no prepared cohort"):
        prepare_cohort(folder, tmp_path / "precious")
    assert (tmp_path / "precious" / "thesis.txt").exists()


def test_a_failed_run_leaves_the_earlier_cohort(write, tmp_path):
    folder = write(rows())
    prepare_cohort(folder, tmp_path / "out")
    before = fingerprint(tmp_path / "out")
    (folder / rows()["image"][0]).write_bytes(b"")
    with pytest.raises(CohortError):
        prepare_cohort(folder, tmp_path / "out")
    shutil.rmtree(folder / "images")
    assert set(before) == {
        str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*") if not p.is_dir()
    }


def test_rare_classes_and_shared_images_are_warned_of(write, tmp_path):
    table = rows()
    table["Findings"] = ["Hernia" if n < 2 else "Mass|Edema" if n % 2 else "Mass" for n in range(ROWS)]
    folder = write(table)
    shutil.copy(folder / table["image"][0], folder / table["image"][40])
    prepared = prepare_cohort(folder, tmp_path / "out", targets=["Findings"])
    warnings = {note.subject: note.reason for note in prepared.notes if note.action == "warning"}
    assert "does not occur in" in warnings["Findings: Hernia"]
    assert "rows 2 and 42" in warnings["images"]


def test_the_embedded_cohort(tmp_path):
    prepared = prepare_phantom(24, tmp_path / "out", seed=1, spatial_size=32)
    train = read_cohort(tmp_path / "out" / "train")
    assert len(train) + len(read_cohort(tmp_path / "out" / "holdout")) == 24
    assert prepared.schema.target_names
    assert not any(path.is_symlink() for path in train.image_paths)
