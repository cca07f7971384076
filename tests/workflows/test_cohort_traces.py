"""What is gathered from a cohort: names that name someone, values that few have, images as fingerprints."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from monai_hybridsynth.data import RecordField, RecordSchema
from monai_hybridsynth.workflows.cohort_traces import CohortTraces, fingerprints, name_parts, rare_numbers

ROWS = 24


@pytest.fixture
def cohort(tmp_path):
    """Every patient has two images, ``000001.png`` and so on, in a folder that all share."""
    (tmp_path / "images").mkdir()
    rng = np.random.default_rng(0)
    for number in range(ROWS):
        Image.fromarray(rng.integers(255, size=(16, 16), dtype=np.uint8)).save(tmp_path / f"images/{number:06d}.png")
    table = pd.DataFrame(
        {
            "image": [f"images/{number:06d}.png" for number in range(ROWS)],
            "patient_id": [f"K-{1000 + number // 2}" for number in range(ROWS)],
            "repo_path": [f"Data/Brain/Negativ/x{number // 2}77123.jpg" for number in range(ROWS)],
            "surname": ["Mustermann"] * 2 + [f"Family{number // 2}" for number in range(2, ROWS)],
            "note": ["came by ambulance with a broken arm"] + ["nothing to report at all"] * (ROWS - 1),
            "crp": [f"{number // 2}.12345" for number in range(ROWS)],
            "sex": ["F", "M"] * (ROWS // 2),
            "finding": ["sarcoidosis"] * 2 + ["normal"] * (ROWS - 2),
        }
    )
    table.to_csv(tmp_path / "records.csv", index=False)
    RecordSchema(
        [
            RecordField("image", role="image"),
            RecordField("patient_id", role="group"),
            RecordField("repo_path", role="identifier"),
            RecordField("surname", role="identifier"),
            RecordField("note", kind="free_text", role="excluded"),
            RecordField("crp", "number", kind="continuous"),
            RecordField("sex", kind="binary"),
            RecordField("finding", kind="categorical"),
        ]
    ).save(tmp_path / "schema.json")
    return tmp_path


def test_names_are_what_few_patients_share(cohort):
    traces = CohortTraces.read(cohort)
    assert {"k-1003", "x377123", "mustermann", "family4"} <= traces.names
    assert not {"brain", "negativ", "images", "000003", "data"} & traces.names, (
        "running numbers and folders name nobody"
    )


def test_texts_values_and_categories_of_few_patients(cohort):
    traces = CohortTraces.read(cohort)
    assert traces.phrases == {"came by ambulance with a broken arm"}
    assert 3.12345 in traces.numbers
    assert traces.categories == {"finding": {"sarcoidosis"}}
    assert traces.images.shape == (ROWS, 32 * 32)


def test_a_prepared_cohort_is_both_its_sides(cohort, tmp_path_factory):
    import shutil

    prepared = tmp_path_factory.mktemp("prepared")
    for side in ("train", "holdout"):
        shutil.copytree(cohort, prepared / side)
    traces = CohortTraces.read(prepared)
    assert len(traces.images) == len(traces.table) == 2 * ROWS
    assert "mustermann" in traces.names


def test_a_latent_table_is_a_source(tmp_path):
    table = pd.DataFrame(
        {"patient_id": ["a", "b"], "age": [50.0, 60.0], "latent_000": [1.0, 2.0], "latent_001": [3.0, 4.0]}
    )
    table.to_parquet(tmp_path / "latents.parquet")
    assert CohortTraces.read(tmp_path / "latents.parquet").latents.tolist() == [[1.0, 3.0], [2.0, 4.0]]


def test_other_sources_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no records.csv"):
        CohortTraces.read(tmp_path)
    with pytest.raises(ValueError, match="no cohort folder"):
        CohortTraces.read(tmp_path / "absent")


def test_rare_numbers_need_five_digits_and_few_patients():
    table = pd.DataFrame({"a": ["0.143", "12.345", "12.345", "98765", "98765", "1e-3"], "b": ["x"] * 6})
    patients = np.array(["p0", "p1", "p2", "p3", "p3", "p4"])
    assert rare_numbers(table, patients).tolist() == [12.345, 98765.0]
    common = pd.DataFrame({"a": ["12.345"] * 6})
    assert rare_numbers(common, np.arange(6).astype(str)).tolist() == []


def test_names_are_found_inside_longer_ones():
    assert {"hc40037_x", "synth_hc40037_x", "hc40037"} <= name_parts("synth_HC40037_x.png")


def test_fingerprints_do_not_change_with_size_brightness_and_padding():
    image = np.add.outer(np.arange(64), 2.0 * np.arange(64)) + 40 * np.sin(np.arange(64) / 5)
    larger = np.kron(image, np.ones((2, 2)))
    first, second, third = fingerprints([image, 0.5 * larger + 9, image[:, :32]])
    np.testing.assert_allclose(first, second, atol=1e-4)
    assert np.abs(first - third).max() > 0.5
