"""What of a schema may leave: nothing that a few patients alone brought into it."""

from __future__ import annotations

import pandas as pd

from monai_hybridsynth.data import RecordField, RecordSchema, read_cohort, write_phantom_cohort
from monai_hybridsynth.fusion import IndependentSynthesizer
from monai_hybridsynth.workflows import CohortImages, SynthesizerTraining, published_schema, synthesise_cohort
from monai_hybridsynth.workflows.published_schema import set_aside

SCHEMA = RecordSchema(
    [
        RecordField("image", role="image"),
        RecordField("patient_id", role="group"),
        RecordField("site", enum=("north", "south", "rare"), reason="3 values such as 'rare'"),
        RecordField("crp", "number", kind="continuous", minimum=0, typical_range=(30.0, 60000.0)),
        RecordField("findings", kind="multilabel", separator="|", enum=("a", "b", "c")),
        RecordField("note", role="excluded", reason="free text such as 'Miller'"),
        RecordField("day", "number", kind="continuous", minimum=0, maximum=99, role="excluded"),
        RecordField("event", kind="binary", enum=("no", "yes"), derive={"from": "day", "rule": "is_present"}),
    ]
)


def test_rare_categories_reasons_and_private_columns_stay_behind():
    table = pd.DataFrame(
        {
            "patient_id": ["p1", "p2", "p3", "p4", "p4", "p4"],
            # Three rows are rare, but of one patient only.
            "site": ["north", "south", "south", "rare", "rare", "rare"],
            "crp": [30.0, 31.0, 32.0, 123456.0, 123456.0, 33.0],
            "findings": ["a|b", "a", "b", "c", "c", None],
            "event": ["no", "no", "yes", "yes", "no", "no"],
        }
    )
    schema = published_schema(SCHEMA, table, minimum_patients=2)
    assert schema.names == ["image", "site", "crp", "findings", "event"]
    assert schema["site"].enum is None or schema["site"].enum == ("south",)
    assert schema["findings"].enum == ("a", "b")
    assert schema["event"].enum == ("no", "yes")
    written = str(schema.to_dict())
    assert not any(word in written for word in ("rare", "north", "Miller", "'c'", "day"))
    assert schema["event"].derive is None
    # one patient's 123456 would reach the typical range of a small cohort; the declared limit is nobody's value
    assert schema["crp"].typical_range is None
    assert schema["crp"].minimum == 0


def test_what_was_set_aside_is_named_by_role_only():
    assert set_aside(SCHEMA) == [
        {"column": "patient_id", "role": "group"},
        {"column": "note", "role": "excluded"},
        {"column": "day", "role": "excluded"},
    ]


def test_without_patients_every_row_counts():
    table = pd.DataFrame(
        {"site": ["north"] * 5 + ["south"] * 4, "crp": [1.0] * 9, "findings": ["a"] * 9, "event": ["no"] * 9}
    )
    schema = published_schema(SCHEMA, table, minimum_patients=5)
    assert schema["site"].enum == ("north",)


def test_a_column_of_rare_categories_only_keeps_no_list():
    table = pd.DataFrame(
        {"site": ["north", "south"], "crp": [1.0, 2.0], "findings": ["a", None], "event": ["no", "yes"]}
    )
    assert published_schema(SCHEMA, table, minimum_patients=5)["site"].enum is None


def test_rules_stay_without_rare_values_and_private_columns():
    rules = [
        {"if": {"column": "event", "equals": "yes"}, "then": {"column": "day", "is": "present"}},
        {"if": {"column": "site", "in": ["south", "rare"]}, "then": {"column": "crp", "minimum": 12.5}},
        {"if": {"column": "site", "equals": "rare"}, "then": {"column": "crp", "is": "present"}},
        {"if": {"column": "free", "equals": "odd"}, "then": {"column": "crp", "is": "present"}},
    ]
    # A column whose categories nobody declared: the rule names one all the same.
    private = RecordSchema([*SCHEMA.fields, RecordField("free")], rules=rules)
    table = pd.DataFrame(
        {"site": ["south"] * 5 + ["rare"] * 4, "crp": [20.0] * 9, "findings": ["a"] * 9, "event": ["no"] * 9}
    )
    table["free"] = ["even"] * 8 + ["odd"]
    schema = published_schema(private, table, minimum_patients=5)
    assert schema.rules.to_list() == [
        {"if": {"column": "site", "in": ["south"]}, "then": {"column": "crp", "minimum": 12.5}}
    ]
    assert RecordSchema.from_dict(schema.to_dict()) == schema
    assert not any(word in str(schema.to_dict()) for word in ("rare", "odd", "day"))


def test_a_public_schema_is_published_without_a_look_at_rows():
    rules = [
        {"if": {"column": "site", "equals": "rare"}, "then": {"column": "crp", "is": "present"}},
        {"if": {"column": "event", "equals": "yes"}, "then": {"column": "day", "is": "present"}},
    ]
    schema = published_schema(RecordSchema(SCHEMA.fields, rules=rules), None)
    assert schema.names == ["image", "site", "crp", "findings", "event"]
    assert [schema[name].enum for name in ("site", "findings")] == [("north", "south", "rare"), ("a", "b", "c")]
    assert schema.rules.to_list() == rules[:1]
    assert (schema["crp"].minimum, schema["crp"].typical_range, schema["site"].reason) == (0, None, "")


def test_the_cohorts_own_name_of_the_patient_is_known():
    named = RecordSchema([RecordField("subject", role="group"), RecordField("site", enum=("north", "south"))])
    table = pd.DataFrame({"subject": [*"abcdef", *"gggggg"], "site": ["north"] * 6 + ["south"] * 6})
    assert published_schema(named, table)["site"].enum == ("north",)


def test_units_kinds_and_orders_of_every_column_reach_the_synthetic_cohort(encoder, generator, tmp_path):
    private = read_cohort(write_phantom_cohort(tmp_path / "private", 24, seed=0, spatial_size=32, variant="wide"))
    artifact = tmp_path / "artifact"
    SynthesizerTraining(
        CohortImages(private, spatial_size=16), encoder, IndependentSynthesizer(minimum_patients=1), artifact, seed=0
    ).run()
    published = RecordSchema.load(artifact / "schema.json")
    synthesise_cohort(artifact, generator, published, tmp_path / "out", num_records=6, seed=0)
    made = RecordSchema.load(tmp_path / "out" / "schema.json")
    assert made.feature_names == private.schema.feature_names
    fields = [(private.schema[name], made[name]) for name in made.feature_names]
    for what in ("unit", "kind", "type", "minimum", "maximum", "censored", "separator"):
        assert [getattr(here, what) for here, _ in fields] == [getattr(there, what) for _, there in fields], what
    assert len({here.unit for here, _ in fields}) > 5
    for here, there in fields:
        assert there.enum is None or list(there.enum) == [level for level in here.enum if level in there.enum]
