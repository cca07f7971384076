"""Targets by name and by derivation, and what is set aside because it gives them away."""

from __future__ import annotations

import pandas as pd
import pytest

from monai_hybridsynth.data import CohortError, RecordSchema, infer_schema
from monai_hybridsynth.data.record_schema import TargetNote, set_targets

ROWS = 80


def table() -> pd.DataFrame:
    """Return 80 images of 40 patients, of whom 12 went to intensive care and 5 died."""
    patients = [number // 2 for number in range(ROWS)]
    icu = [patient % 3 == 0 and patient < 36 for patient in patients]
    bleeding = [number % 5 == 0 for number in range(ROWS)]
    return pd.DataFrame(
        {
            "image": [f"{number * 7919 % 104729}.png" for number in range(ROWS)],
            "patient_id": [f"p{patient}" for patient in patients],
            "sex": ["fm"[patient % 2] for patient in patients],
            "icu_admission_offset": [str(-(n % 9)) if ill else "" for n, ill in enumerate(icu)],
            "icu_release_offset": [str(n % 11) if ill else "" for n, ill in enumerate(icu)],
            "death_offset": [str(3 + n % 4) if p % 8 == 0 else "" for n, p in enumerate(patients)],
            "No_Hemorrhage": ["0" if bleeds else "1" for bleeds in bleeding],
            "Epidural": ["1" if bleeds and n % 2 else "0" for n, bleeds in enumerate(bleeding)],
            "Findings": ["Edema|Mass" if n % 3 == 0 else "Mass" if n % 7 else "No Finding" for n in range(ROWS)],
            "mrn": [f"A{number:04d}" for number in range(ROWS)],
        }
    )


def targeted(*wanted: str) -> tuple[RecordSchema, list[TargetNote]]:
    raw = table()
    return set_targets(infer_schema(raw), raw, wanted)


def test_named_columns_become_targets():
    schema, notes = targeted("sex", "Findings")
    assert schema.target_names == ["sex", "Findings"]
    assert [note.action for note in notes[:2]] == ["target", "target"]


@pytest.mark.parametrize(
    "wanted", ["icu_admission_offset", "icu_admission", "icu_admission=icu_admission_offset:is_present"]
)
def test_a_day_that_came_for_few_becomes_whether_it_came(wanted):
    schema, notes = targeted(wanted)
    assert schema.target_names == ["icu_admission"]
    assert schema["icu_admission"].enum == ("no", "yes")
    assert schema["icu_admission_offset"].role == "excluded"
    assert schema["icu_release_offset"].role == "excluded"
    assert "exactly where 'icu_admission' is 'yes'" in schema["icu_release_offset"].reason
    assert schema["death_offset"].role == "feature"
    assert {note.column for note in notes if note.action == "excluded"} == {
        "icu_admission_offset",
        "icu_release_offset",
    }
    raw = table()
    expected = ["yes" if day else "no" for day in raw["icu_admission_offset"]]
    assert schema.parse(raw)["icu_admission"].tolist() == expected


def test_the_column_that_a_target_restates_is_excluded():
    schema, notes = targeted("any_haemorrhage=No_Hemorrhage:equals:0")
    assert schema["No_Hemorrhage"].role == "excluded"
    assert "give the answer away" in schema["No_Hemorrhage"].reason
    raw = table()
    assert schema.parse(raw)["any_haemorrhage"].map({"yes": "0", "no": "1"}).tolist() == raw["No_Hemorrhage"].tolist()
    assert any(note.action == "warning" and "'Epidural'" in note.reason for note in notes) is False


def test_a_copy_under_another_name_is_excluded():
    raw = table()
    raw["folder_class"] = raw["sex"].map({"f": "Negativ", "m": "Positiv"})
    raw["again"] = raw["folder_class"]
    schema, _ = set_targets(infer_schema(raw), raw, ["sex"])
    assert schema["again"].role == "excluded"
    assert "says the same as 'sex'" in schema["again"].reason


def test_columns_that_settle_a_target_in_some_rows_are_only_warned_of():
    raw = table()
    raw["Subdural"] = ["1" if n % 5 == 0 and n < 70 else "0" for n in range(ROWS)]
    schema, notes = set_targets(infer_schema(raw), raw, ["bleeds=No_Hemorrhage:equals:0"])
    assert schema["Subdural"].role == "feature"
    assert any(note.action == "warning" and "'Subdural'" in note.reason for note in notes)


def test_a_label_of_a_multilabel_column():
    schema, _ = targeted("edema=Findings:contains:Edema")
    assert schema.parse(table())["edema"].eq("yes").sum() == sum(n % 3 == 0 for n in range(ROWS))
    assert schema["Findings"].role == "feature"


def test_an_excluded_column_can_be_asked_for():
    raw = table()
    raw["native_mode"] = ["L" if number % 3 else "RGBA" for number in range(ROWS)]
    raw["native_size"] = "64x64"
    schema, _ = set_targets(infer_schema(raw), raw, ["native_mode"])
    assert schema["native_mode"].enum == ("L", "RGBA")
    assert schema.parse(raw)["native_mode"].tolist() == raw["native_mode"].tolist()
    with pytest.raises(CohortError, match="the same value in all 80 rows"):
        set_targets(infer_schema(raw), raw, ["native_size"])


def test_all_wrong_targets_are_named_together_with_the_columns():
    with pytest.raises(CohortError) as caught:
        targeted("nope", "mrn", "x=sex:guess", "y=sex:equals:q", "sex=Findings:is_present", "patient_id")
    told = [str(problem) for problem in caught.value.problems]
    assert len(told) == 6
    for part, line in zip(
        ("is no column", "it is identifier", "rule 'guess'", "is no in every row", "existing column", "it is group"),
        told,
        strict=True,
    ):
        assert part in line
        assert "'Findings'" in line
