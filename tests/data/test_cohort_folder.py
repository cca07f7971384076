"""Reading cohort folders with every problem at once, and writing them in blocks."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from monai_hybridsynth.data import CohortError, CohortWriter, RecordField, RecordSchema, read_cohort

SCHEMA = RecordSchema(
    [
        RecordField("image", role="image"),
        RecordField("patient_id", role="group"),
        RecordField("mrn", role="identifier", reason="number 4711 of the ward"),
        RecordField("age", "integer", kind="integer", unit="a", minimum=0, maximum=120, typical_range=(20, 80)),
        RecordField("sex", kind="binary", enum=("f", "m"), reason="2 of 7 rows"),
        RecordField("site", kind="categorical", enum=("here", "there", "rare disease centre")),
        RecordField("crp", "number", kind="continuous", censored=True),
    ]
)


def write_cohort(folder, text: str, images=("a", "b", "c")) -> None:
    (folder / "images").mkdir(exist_ok=True)
    for number, name in enumerate(images):
        Image.fromarray(np.full((4, 6), 40 * number, dtype=np.uint8)).save(folder / "images" / f"{name}.png")
    (folder / "records.csv").write_text(text)


def problems_of(folder) -> list[str]:
    with pytest.raises(CohortError) as caught:
        read_cohort(folder)
    return [str(problem) for problem in caught.value.problems]


def test_a_cohort_is_read(tmp_path):
    write_cohort(tmp_path, "image,patient_id,sex\nimages/a.png,p1,m\nimages\\b.png,p1,f\n./images/x/../c.png,p2,m\n")
    cohort = read_cohort(tmp_path)
    assert len(cohort) == 3
    assert list(cohort.table) == ["image", "patient_id", "sex"]
    assert cohort.image_paths == [tmp_path / "images" / f"{name}.png" for name in "abc"]


def test_a_pool_without_patients_is_read(tmp_path):
    write_cohort(tmp_path, "image,patient_id,label\nimages/a.png,,x\nimages/b.png,,y\n")
    cohort = read_cohort(tmp_path)
    assert cohort.schema.group_name is None
    assert list(cohort.table) == ["image", "label"]


def test_every_problem_is_in_one_error(tmp_path):
    write_cohort(
        tmp_path,
        "image,patient_id,Patient Age\n"
        "images/a.png,p1,060Y\n"
        "../secret.png,p2,411Y\n"
        "images/a.png,p3,050Y\n"
        "images/absent.png,,040Y\n"
        ",p5,030Y\n"
        "C:\\scans\\b.png,p6,020Y\n",
    )
    (tmp_path.parent / "secret.png").touch()
    found = problems_of(tmp_path)
    for part in (
        "row 3, column 'image': '../secret.png' lies outside the cohort folder",
        "row 3, column 'Patient Age': '411Y' lies above the plausible maximum 120 a",
        "row 4, column 'image': 'images/a.png' is the image of row 2 already",
        "row 5, column 'image': 'images/absent.png' does not exist",
        "row 5, column 'patient_id': names no patient",
        "row 6, column 'image': is blank",
        "row 7, column 'image': 'C:\\\\scans\\\\b.png' lies outside the cohort folder",
    ):
        assert any(part in told for told in found), (part, found)
    assert len(found) == 7
    assert all(told.startswith("records.csv") and ";" in told for told in found)


@pytest.mark.parametrize("name", ["/etc/passwd", "images/../../a.png", "..\\a.png", "images/../..", "\\\\host\\a.png"])
def test_paths_that_leave_the_folder(tmp_path, name):
    write_cohort(tmp_path, f"image,patient_id,sex\nimages/a.png,p1,m\n{name},p2,f\n")
    assert "lies outside the cohort folder" in problems_of(tmp_path)[0]


def test_a_link_inside_the_folder_may_point_anywhere(tmp_path):
    (tmp_path / "prepared").mkdir()
    write_cohort(tmp_path, "image\nimages/a.png\n")
    write_cohort(tmp_path / "prepared", "image,patient_id,sex\nimages/link.png,p1,m\nimages/b.png,p2,f\n")
    (tmp_path / "prepared" / "images" / "link.png").symlink_to(tmp_path / "images" / "a.png")
    assert len(read_cohort(tmp_path / "prepared")) == 2


def test_a_column_named_like_a_latent(tmp_path):
    write_cohort(tmp_path, "image,patient_id,latent_heat\nimages/a.png,p1,1\nimages/b.png,p2,2\n")
    assert "column 'latent_heat': is named like an image latent; rename the column" in problems_of(tmp_path)[0]


def test_no_image_column(tmp_path):
    write_cohort(tmp_path, "file,patient_id\nimages/a.png,p1\n")
    assert "has no column 'image'; rename the column 'file', if that is it" in problems_of(tmp_path)[0]


def test_a_schema_beside_the_table_is_used(tmp_path):
    write_cohort(tmp_path, "image,patient_id,age,sex,site,crp,extra\nimages/a.png,p1,7,m,here,inf,x\n")
    SCHEMA.save(tmp_path / "schema.json")
    cohort = read_cohort(tmp_path)
    assert cohort.schema == SCHEMA
    assert any("'extra' is not in the schema" in note for note in cohort.notes)


def block(start: int, count: int) -> tuple[pd.DataFrame, np.ndarray]:
    generator = np.random.default_rng(start)
    table = pd.DataFrame(
        {
            "age": pd.array([*generator.integers(0, 99, count - 1), None], dtype="Int64"),
            "sex": generator.choice(["f", "m"], count).astype(object),
            "site": pd.Series([None, *generator.choice(["here", "there"], count - 1)], dtype=object),
            "crp": [np.inf, -np.inf, np.nan, *generator.normal(size=count - 3)],
        }
    )
    return table, generator.integers(0, 256, (count, 1, 8, 8), dtype=np.uint8)


def test_what_is_written_in_blocks_is_read_back(tmp_path):
    blocks = [block(0, 5), block(5, 4)]
    with CohortWriter(tmp_path / "synthetic", SCHEMA) as writer:
        for table, images in blocks:
            writer.append(table, images)
        writer.close({"seed": 3})
    cohort = read_cohort(tmp_path / "synthetic")
    expected = pd.concat([table for table, _ in blocks], ignore_index=True)
    pd.testing.assert_frame_equal(cohort.table.drop(columns="image"), SCHEMA.parse(expected))
    pixels = np.stack([np.asarray(Image.open(path)) for path in cohort.image_paths])
    assert np.array_equal(pixels, np.concatenate([images[:, 0] for _, images in blocks]))
    manifest = json.loads((tmp_path / "synthetic" / "manifest.json").read_text())
    assert manifest == {"synthetic": True, "num_records": 9, "seed": 3}
    assert cohort.schema.image.scaling == {"kind": "range", "minimum": 0.0, "maximum": 255.0}


def test_nothing_private_is_in_the_written_schema(tmp_path):
    with CohortWriter(tmp_path / "synthetic", SCHEMA) as writer:
        writer.append(*block(0, 6))
    written = (tmp_path / "synthetic" / "schema.json").read_text()
    for private in ("mrn", "4711", "patient_id", "rare disease centre", "2 of 7 rows", "typical_range"):
        assert private not in written
    assert not (tmp_path / "synthetic" / ".unfinished").exists()


def test_several_channels_are_kept(tmp_path):
    table, images = block(0, 4)
    images = np.repeat(images, 3, axis=1)
    with CohortWriter(tmp_path / "synthetic", SCHEMA) as writer:
        writer.append(table, images)
    cohort = read_cohort(tmp_path / "synthetic")
    assert cohort.schema.image.channels == 3
    assert np.array_equal(np.load(cohort.image_paths[2]), images[2])


def test_a_killed_writer_begins_anew(tmp_path):
    killed = CohortWriter(tmp_path / "synthetic", SCHEMA)
    killed.append(*block(0, 6))
    with CohortWriter(tmp_path / "synthetic", SCHEMA) as writer:
        writer.append(*block(5, 4))
    assert len(read_cohort(tmp_path / "synthetic")) == 4
    assert len(list((tmp_path / "synthetic" / "images").iterdir())) == 4


def test_the_writer_overwrites_nothing(tmp_path):
    write_cohort(tmp_path, "image\n")
    with pytest.raises(FileExistsError, match="not empty"):
        CohortWriter(tmp_path, SCHEMA)


def test_after_an_error_there_is_no_manifest(tmp_path):
    table, images = block(0, 5)
    with CohortWriter(tmp_path / "synthetic", SCHEMA) as writer:
        writer.append(table, images)
        writer.__exit__(KeyError, KeyError(), None)
    assert (tmp_path / "synthetic" / ".unfinished").exists()
    assert not (tmp_path / "synthetic" / "manifest.json").exists()


def test_the_writer_refuses_what_does_not_fit(tmp_path):
    table, images = block(0, 5)
    with CohortWriter(tmp_path / "synthetic", SCHEMA) as writer:
        with pytest.raises(ValueError, match="uint8"):
            writer.append(table, images.astype(float))
        with pytest.raises(ValueError, match="not modelled by the schema"):
            writer.append(table.assign(mrn="1"), images)
        writer.append(table, images)
        with pytest.raises(ValueError, match="the first one had"):
            writer.append(table.drop(columns="crp"), images)
        with pytest.raises(ValueError, match="channels"):
            writer.append(table, np.repeat(images, 2, axis=1))
