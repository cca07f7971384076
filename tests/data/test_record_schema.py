"""Fields, schema files, and parsing: what a value becomes, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from monai_hybridsynth.data import CohortError, ImageSettings, RecordField, RecordSchema, infer_schema

AGE = RecordField("age", "integer", kind="integer", unit="a", minimum=0, maximum=120)
CRP = RecordField("crp", "number", kind="continuous", minimum=0, censored=True)
SEX = RecordField("sex", kind="binary", enum=("f", "m"))
FINDINGS = RecordField("findings", kind="multilabel", separator="|", enum=("Edema", "Effusion", "No Finding"))


def problems_of(schema: RecordSchema, table: pd.DataFrame) -> list[str]:
    with pytest.raises(CohortError) as caught:
        schema.parse(table)
    return [str(problem) for problem in caught.value.problems]


def test_values_become_typed():
    table = pd.DataFrame(
        {
            "sex": ["m", " f ", ""],
            "age": ["060Y", "7", "NA"],
            "crp": ["1.5", "-inf", ""],
            "findings": ["Effusion|Edema", "Edema|Edema", ""],
        }
    )
    parsed = RecordSchema([AGE, CRP, SEX, FINDINGS]).parse(table)
    assert list(parsed.columns) == ["age", "crp", "sex", "findings"]
    assert parsed["age"].dtype == "Int64"
    assert parsed["age"].tolist()[:2] == [60, 7]
    assert parsed["age"].isna().tolist() == [False, False, True]
    assert parsed["crp"].dtype == np.float64
    assert parsed["crp"].iloc[1] == -np.inf
    assert np.isnan(parsed["crp"].iloc[2])
    assert parsed["sex"].tolist() == ["m", "f", None]
    assert parsed["findings"].tolist() == ["Edema|Effusion", "Edema", None]


def test_parsing_twice_changes_nothing():
    table = pd.DataFrame({"age": ["060Y", ""], "crp": ["inf", "2"], "sex": ["m", None], "findings": ["Edema", ""]})
    schema = RecordSchema([AGE, CRP, SEX, FINDINGS])
    once = schema.parse(table)
    pd.testing.assert_frame_equal(schema.parse(once), once)


def test_typed_columns_parse_like_text():
    schema = RecordSchema([AGE, CRP, RecordField("icu", kind="binary", enum=("0", "1"))])
    typed = pd.DataFrame({"age": pd.array([60, None], dtype="Int64"), "crp": [0.5, np.nan], "icu": [1.0, np.nan]})
    text = pd.DataFrame({"age": ["60", ""], "crp": ["0.5", ""], "icu": ["1", ""]})
    pd.testing.assert_frame_equal(schema.parse(typed), schema.parse(text))


@pytest.mark.parametrize(("written", "years"), [("060Y", 60), ("018M", 1), ("011M", 0), ("010D", 0), ("104W", 1)])
def test_ages_count_completed_years(written, years):
    assert RecordSchema([AGE]).parse(pd.DataFrame({"age": [written]}))["age"].tolist() == [years]


def test_ages_with_fractions_keep_them():
    entry = RecordField("age", "number", kind="continuous", unit="a")
    parsed = RecordSchema([entry]).parse(pd.DataFrame({"age": ["018M", "010D"]}))["age"]
    assert parsed.tolist() == pytest.approx([1.5, 10 / 365.25])


def test_detection_limits_are_censored():
    parsed = RecordSchema([CRP]).parse(pd.DataFrame({"crp": ["<0.5", "> 200", "inf", "3e1"]}))["crp"]
    assert parsed.tolist() == [-np.inf, np.inf, np.inf, 30.0]


def test_a_detection_limit_elsewhere_is_an_error():
    entry = RecordField("crp", "number", kind="continuous")
    found = problems_of(RecordSchema([entry]), pd.DataFrame({"crp": ["<0.5", "inf"]}))
    assert "'<0.5' is no number" in found[0]
    assert "not censored" in found[1]


def test_every_problem_is_listed_with_row_column_and_value():
    table = pd.DataFrame({"age": ["411Y", "60", "sixty", "3.5"], "sex": ["m", "x", "f", "m"]}, index=[2, 3, 4, 5])
    found = problems_of(RecordSchema([AGE, SEX]), table)
    assert len(found) == 4
    assert "row 2, column 'age': '411Y' lies above the plausible maximum 120 a" in found[0]
    assert "row 4, column 'age': 'sixty' is no whole number" in found[1]
    assert "row 5, column 'age': '3.5' is no whole number" in found[2]
    assert "row 3, column 'sex': 'x' is not one of ['f', 'm']" in found[3]


def test_an_invalid_value_can_be_read_as_missing_and_is_counted():
    lenient = RecordField("age", "integer", kind="integer", unit="a", maximum=120, on_invalid="missing")
    result = RecordSchema([lenient]).examine(pd.DataFrame({"age": ["411Y", "60", ""]}))
    assert result.problems == []
    assert result.set_missing == {"age": 1}
    assert result.table["age"].isna().tolist() == [True, False, True]


def test_a_schema_that_does_not_fit_the_table_names_the_column():
    assert (
        "column 'sex': is in the schema but not in the table"
        in problems_of(RecordSchema([SEX]), pd.DataFrame({"gender": ["m"]}))[0]
    )


def test_columns_that_the_schema_does_not_name_are_left_out():
    result = RecordSchema([SEX]).examine(pd.DataFrame({"sex": ["m"], "secret": ["x"]}))
    assert list(result.table) == ["sex"]
    assert result.unknown == ["secret"]


def test_identifiers_and_excluded_columns_never_come_through():
    schema = RecordSchema(
        [SEX, RecordField("mrn", role="identifier"), RecordField("note", kind="free_text", role="excluded")]
    )
    assert list(schema.parse(pd.DataFrame({"mrn": ["1"], "note": ["hello"], "sex": ["m"]}))) == ["sex"]
    assert schema.feature_names == ["sex"]


def test_a_blank_can_mean_no():
    entry = RecordField("fracture", kind="binary", enum=("0", "1"), blank_means="0")
    result = RecordSchema([entry]).examine(pd.DataFrame({"fracture": ["1", "", "1.0"]}))
    assert result.table["fracture"].tolist() == ["1", "0", "1"]
    assert result.notes == {"fracture": ["1 blanks read as '0'"]}


def test_required_values_must_be_there():
    entry = RecordField("sex", kind="binary", enum=("f", "m"), required=True)
    assert "is missing but required" in problems_of(RecordSchema([entry]), pd.DataFrame({"sex": ["m", ""]}))[0]


@pytest.mark.parametrize(
    ("derive", "expected"),
    [
        ({"from": "labels", "rule": "is_present"}, ["yes", "yes", "no"]),
        ({"from": "labels", "rule": "equals", "value": "A"}, ["yes", "no", None]),
        ({"from": "labels", "rule": "contains", "value": "B"}, ["no", "yes", None]),
    ],
)
def test_derived_columns(derive, expected):
    origin = RecordField("labels", kind="multilabel", separator="|")
    schema = RecordSchema([origin, RecordField("event", kind="binary", enum=("no", "yes"), derive=derive)])
    parsed = schema.parse(pd.DataFrame({"labels": ["A", "AB|B", ""]}))
    assert parsed["event"].tolist() == expected
    pd.testing.assert_frame_equal(schema.parse(parsed), parsed)


def test_contains_looks_at_whole_labels():
    origin = RecordField("labels", kind="multilabel", separator="|")
    derived = RecordField("mass", kind="binary", derive={"from": "labels", "rule": "contains", "value": "Mass"})
    parsed = RecordSchema([origin, derived]).parse(pd.DataFrame({"labels": ["Massive|Edema", "Mass"]}))
    assert parsed["mass"].tolist() == ["no", "yes"]


def test_decimal_commas():
    entry = RecordField("crp", "number", kind="continuous", decimal_char=",")
    assert RecordSchema([entry]).parse(pd.DataFrame({"crp": ["1,5", "2"]}))["crp"].tolist() == [1.5, 2.0]


def test_schema_file_round_trip(tmp_path):
    schema = RecordSchema(
        [AGE, CRP, SEX, FINDINGS, RecordField("id", role="identifier", reason="repeats the patient id")],
        ImageSettings.for_modality("head_ct", hounsfield=True),
    )
    schema.save(tmp_path / "schema.json")
    written = json.loads((tmp_path / "schema.json").read_text())
    assert written["fields"][0]["constraints"] == {"minimum": 0, "maximum": 120}
    assert RecordSchema.load(tmp_path / "schema.json") == schema


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"kind": "numeric"}, "kind is 'numeric'"),
        ({"role": "feature", "kind": "free_text"}, "never reaches a synthesizer"),
        ({"minimun": 0}, "unknown keys"),
        ({"constraints": {"maximun": 3}}, "unknown keys"),
        ({"kind": "multilabel"}, "without a separator"),
        ({"name": "latent_000"}, "reserved"),
        ({"derive": {"from": "x", "rule": "guess"}}, "derive is"),
        ({"constraints": {"enum": "ab"}}, "give a list"),
    ],
)
def test_a_wrong_schema_file_says_what_is_wrong(tmp_path, change, told):
    path = tmp_path / "schema.json"
    path.write_text(json.dumps({"fields": [{"name": "a", "type": "string", "kind": "categorical", **change}]}))
    with pytest.raises(CohortError, match=told) as caught:
        RecordSchema.load(path)
    assert str(path) in str(caught.value)


def test_a_schema_file_that_is_no_json(tmp_path):
    (tmp_path / "schema.json").write_text("{")
    with pytest.raises(CohortError, match="schema.json"):
        RecordSchema.load(tmp_path / "schema.json")


def test_names_are_unique_and_found():
    with pytest.raises(ValueError, match="more than once"):
        RecordSchema([SEX, SEX])
    with pytest.raises(KeyError, match="no field 'age'"):
        RecordSchema([SEX])["age"]


def test_head_ct_windows_by_name():
    settings = ImageSettings.for_modality("head_ct", hounsfield=True, windows=("brain", "subdural", "bone"))
    assert settings.channels == 3
    assert [window["width"] for window in settings.scaling["windows"]] == [80.0, 200.0, 2800.0]
    with pytest.raises(ValueError, match="lung"):
        ImageSettings.for_modality("head_ct", hounsfield=True, windows=("lung",))


def test_image_settings_count_channels():
    windows = [{"name": "brain", "center": 40, "width": 80}, {"name": "bone", "center": 600, "width": 2800}]
    settings = ImageSettings("head_ct", scaling={"kind": "window", "windows": windows})
    assert settings.channels == 2
    assert ImageSettings.from_dict(settings.to_dict()) == settings


@pytest.mark.parametrize(
    "scaling",
    [
        {"kind": "percentile", "lower": 99, "upper": 1},
        {"kind": "window", "windows": []},
        {"kind": "window", "windows": [{"name": "brain", "center": 40, "width": 0}]},
        {"kind": "minmax"},
        {"kind": "range", "minimum": 0},
    ],
)
def test_impossible_scaling_is_refused(scaling):
    with pytest.raises(ValueError, match="image"):
        ImageSettings(scaling=scaling)


def test_infer_and_parse_agree_on_a_wide_table():
    generator = np.random.default_rng(0)
    columns = {f"lab_{number}": generator.normal(50, 9, 1000).round(1).astype(str) for number in range(60)}
    columns |= {f"grade_{number}": generator.integers(1, 5, 1000).astype(str) for number in range(10)}
    table = pd.DataFrame(columns)
    parsed = infer_schema(table).parse(table)
    for name in table:
        assert parsed[name].astype(float).tolist() == table[name].astype(float).tolist()


def test_one_patient_written_as_7_and_as_7_point_0_is_one_patient():
    table = pd.DataFrame({"image": ["a.png", "b.png"], "patient_id": ["7", "7.0"], "sex": ["m", "f"]})
    assert infer_schema(table).parse(table)["patient_id"].tolist() == ["7", "7"]
    versions = pd.DataFrame({"image": ["a.png", "b.png"], "patient_id": ["v2.0", "v2.1"], "sex": ["m", "f"]})
    assert infer_schema(versions).parse(versions)["patient_id"].tolist() == ["v2.0", "v2.1"]
