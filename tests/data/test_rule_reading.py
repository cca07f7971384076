"""Rules as written in schema.json: read, written back, and refused with number, column, value and remedy."""

from __future__ import annotations

import json

import pytest

from monai_hybridsynth.data import CohortError, RecordField, RecordSchema

FIELDS = [
    RecordField("image", role="image"),
    RecordField("sex", kind="binary", enum=("f", "m"), required=True),
    RecordField("age", "integer", kind="integer", unit="a", minimum=0, maximum=120),
    RecordField("crp", "number", kind="continuous", minimum=0, censored=True, unit="mg/L"),
    RecordField("findings", kind="multilabel", separator="|", enum=("Edema", "Effusion")),
    RecordField("note", kind="free_text", role="excluded"),
    RecordField("day", "integer", kind="integer", unit="d", role="excluded"),
    RecordField("later", "integer", kind="integer", unit="d"),
]
RULES = [
    {"if": {"column": "sex", "in": ["f", "m"]}, "then": {"column": "age", "maximum": 90, "minimum": 18}},
    {"if": {"column": "findings", "contains": "Edema"}, "then": {"column": "crp", "is": "present"}},
    {"ascending": ["day", "later"]},
]


def test_a_schema_with_rules_survives_the_file(tmp_path):
    schema = RecordSchema(FIELDS, rules=RULES)
    schema.save(tmp_path / "schema.json")
    assert json.loads((tmp_path / "schema.json").read_text())["rules"] == RULES
    read = RecordSchema.load(tmp_path / "schema.json")
    assert read == schema
    assert read.with_image(read.image).with_fields(FIELDS[2]) == schema
    assert "rules" not in RecordSchema(FIELDS).to_dict()
    assert read != RecordSchema(FIELDS)


def test_values_are_read_as_the_column_reads_its_own():
    written = {"if": {"column": "age", "minimum": "060Y"}, "then": {"column": "sex", "equals": " m "}}
    rules = RecordSchema(FIELDS, rules=[written]).rules.to_list()
    assert rules == [{"if": {"column": "age", "minimum": 60}, "then": {"column": "sex", "equals": "m"}}]


def test_the_rules_that_the_documentation_shows_are_read(repository):
    page = (repository / "bundles/hybrid_record_synthesis/docs/README.md").read_text(encoding="utf-8")
    shown = json.loads("{" + page.split('```json\n"rules"')[1].split("```")[0].replace(":", '"rules":', 1) + "}")[
        "rules"
    ]
    fields = [
        RecordField("icu", kind="binary", enum=("no", "yes")),
        RecordField("days_to_icu", "integer", kind="integer", unit="d"),
        RecordField("days_to_death", "integer", kind="integer", unit="d"),
        RecordField("findings", kind="multilabel", separator="|", enum=("Cardiomegaly", "Effusion")),
        RecordField("cardiothoracic_ratio", "number", kind="continuous", minimum=0, maximum=1),
    ]
    assert RecordSchema(fields, rules=shown).rules.to_list() == shown
    assert len(shown) == 4


SEX = {"column": "sex", "equals": "f"}
OLD = {"column": "age", "minimum": 60}


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ({"if": {"column": "icu", "equals": "yes"}, "then": SEX}, r"column 'icu' is not in the schema; its columns"),
        (
            {"if": {"column": "sex", "equals": "x"}, "then": OLD},
            r"column 'sex': 'x' is not one of \['f', 'm'\]; name a",
        ),
        ({"if": {"column": "age", "minimum": 130}, "then": SEX}, r"'age': 130 lies above the plausible maximum 120"),
        ({"if": {"column": "age", "equals": 60.5}, "then": SEX}, r"'age': 60.5 is no whole number"),
        ({"if": {"column": "age", "equals": "old"}, "then": SEX}, r"'age': 'old' is no whole number"),
        ({"if": {"column": "age", "equals": ""}, "then": SEX}, r"'age': '' means missing; use 'is': 'missing'"),
        ({"if": {"column": "crp", "equals": "<3"}, "then": SEX}, r"'crp': '<3' is no number; name one"),
        (
            {"if": {"column": "sex", "minimum": 3}, "then": OLD},
            r"'sex' is binary and knows no 'minimum'; use \['equals'",
        ),
        (
            {"if": {"column": "findings", "equals": "Edema"}, "then": OLD},
            r"knows no 'equals'; use \['contains', 'is'\]",
        ),
        ({"if": {"column": "findings", "contains": "Mass"}, "then": OLD}, r"'findings': 'Mass' is not one of"),
        ({"if": {"column": "findings", "contains": "Edema|Effusion"}, "then": OLD}, r"more than one label; write one"),
        ({"if": {"column": "sex", "in": "f"}, "then": OLD}, r"'in' is 'f'; give a list"),
        ({"if": {"column": "sex", "in": []}, "then": OLD}, r"'in' is \[\]; give a list"),
        ({"if": {"column": "sex", "is": "there"}, "then": OLD}, r"'is' is 'there'; use 'present' or 'missing'"),
        ({"if": {"column": "sex", "is": "missing"}, "then": OLD}, r"'sex' is never missing; remove the rule"),
        (
            {"if": {"column": "note", "is": "present"}, "then": OLD},
            r"'note' is excluded, free_text, and never modelled",
        ),
        ({"if": {"column": "image", "is": "present"}, "then": OLD}, r"'image' is image, categorical, and never"),
        ({"if": {"column": "sex"}, "then": OLD}, r"'if' is {'column': 'sex'}; give a 'column' and what it must say"),
        ({"if": OLD, "then": {"column": "age", "maximum": 90}}, r"column 'age' twice; use the field's constraints"),
        ({"if": SEX}, r"give 'if' and 'then', or 'ascending'"),
        ({"ascending": ["age"]}, r"'ascending' is \['age'\]; give a list of two columns or more"),
        ({"ascending": ["age", "age"]}, r"each once"),
        ({"ascending": ["sex", "age"]}, r"'sex' is binary; only continuous and integer columns have an order"),
        ({"ascending": ["age", "later"]}, r"the units {'age': 'a', 'later': 'd'}; give them the same one"),
        ("icu", r"is 'icu'; give 'if' and 'then'"),
    ],
)
def test_a_rule_that_cannot_be_kept_is_refused(rule, told):
    with pytest.raises(ValueError, match=f"^rule 2: .*{told}"):
        RecordSchema(FIELDS, rules=[RULES[0], rule])


def test_the_error_names_the_file_and_every_wrong_rule(tmp_path):
    written = RecordSchema(FIELDS).to_dict() | {"rules": [{}, RULES[0], {"ascending": []}]}
    (tmp_path / "schema.json").write_text(json.dumps(written))
    with pytest.raises(CohortError, match="rule 1: .*rule 3: ") as caught:
        RecordSchema.load(tmp_path / "schema.json")
    assert str(tmp_path / "schema.json") in str(caught.value)
    (tmp_path / "schema.json").write_text(json.dumps(written | {"rules": {"ascending": []}}))
    with pytest.raises(CohortError, match="'rules' is .*give a list"):
        RecordSchema.load(tmp_path / "schema.json")
