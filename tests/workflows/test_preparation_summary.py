"""The summary counts patients and images, and lines up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from monai_hybridsynth.data import RecordField, RecordSchema
from monai_hybridsynth.workflows import PreparedCohort, SummaryNote
from monai_hybridsynth.workflows.preparation_summary import describe_columns, describe_sides

SCHEMA = RecordSchema(
    [
        RecordField("patient_id", role="group", reason="the patient"),
        RecordField("findings", kind="multilabel", separator="|", role="target", reason="two labels"),
        RecordField("age", "number", kind="continuous", role="target", reason="years"),
        RecordField("note", kind="free_text", role="excluded", reason="prose"),
    ]
)
TABLE = pd.DataFrame(
    {
        "patient_id": ["a", "a", "b", "c"],
        "findings": ["Edema|Mass", "Mass", None, "Edema"],
        "age": [50.0, 60.0, np.inf, np.nan],
    }
)
SIDES = pd.Series(["train", "train", "train", "holdout"])


def test_sides_count_patients_and_images_of_each_class():
    sides = describe_sides(TABLE, SCHEMA, SIDES, ("train", "holdout")).set_index("")
    assert sides.loc["all"].tolist() == ["2 patients, 3 images", "1 patient, 1 image"]
    assert sides.loc["findings: Mass"].tolist() == ["1 patient, 2 images (66.7%)", "0 patients, 0 images (0.0%)"]
    assert sides.loc["findings: Edema"].tolist() == ["1 patient, 1 image (33.3%)", "1 patient, 1 image (100.0%)"]
    assert sides.loc["age: mean"].tolist() == ["55", "none"]


def test_every_column_has_its_use_and_reason():
    columns = describe_columns(SCHEMA, TABLE).set_index("column")
    assert columns["used"].to_dict() == {
        "patient_id": "group",
        "findings": "target",
        "age": "target",
        "note": "free text",
    }
    assert columns.loc["findings", "missing"] == 1
    assert columns.loc["note", "reason"] == "prose"


def test_the_text_lines_up():
    prepared = PreparedCohort(
        Path("out"),
        SCHEMA,
        [SummaryNote("age", "set to missing", 2, "implausible"), SummaryNote("split", "noted", None, "seed 0")],
        describe_columns(SCHEMA, TABLE),
        describe_sides(TABLE, SCHEMA, SIDES, ("train", "holdout")),
        np.array([[10, 20], [10, 24]]),
    )
    lines = prepared.to_text().splitlines()
    noted = [line for line in lines if "implausible" in line or "seed 0" in line]
    assert noted[0].index("implausible") == noted[1].index("seed 0")
    assert " 2 " in noted[0]
    assert any("median size 22 x 10 (from 20 x 10 to 24 x 10)" in line for line in lines)
    assert not any("nan" in line for line in lines)
