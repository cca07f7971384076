from __future__ import annotations

import pytest

from monai_hybridsynth.data import RecordSchema
from monai_hybridsynth.evaluation.constraint_fidelity import (
    broken_constraints,
    constraint_fidelity,
    constraint_violations,
)
from monai_hybridsynth.evaluation.verdict import find_record


def test_the_lines_name_columns_and_constraints(judged, schema):
    synthetic = judged("synthetic", 100, 3, name="c")
    synthetic.table.loc[90:94, "age"] = 411.0
    synthetic.table.loc[93:97, "smoker"] = "maybe"
    synthetic.table.loc[99, "labels"] = "wet|green"
    assert constraint_violations(schema, synthetic.table).sum() == 9
    found = broken_constraints(schema, synthetic.table)
    assert {key: int(rows.sum()) for key, rows in found.items()} == {
        ("age", "limits"): 5,
        ("smoker", "categories"): 5,
        ("labels", "categories"): 1,
    }
    records = constraint_fidelity(schema, judged("holdout", 50, 2), synthetic)
    whole = find_record(records, "c", "constraint_violations")
    assert whole.value == pytest.approx(0.09)
    assert whole.low < 0.09 < whole.high
    assert "9 of 100" in whole.reading
    assert all(word in whole.reading for word in ("age (outside its limits)", "smoker (unknown category)", "labels"))
    assert find_record(records, "c", "constraint_violations", column="age", constraint="limits").value == 0.05


def test_rows_within_the_rules_give_one_line(judged, schema):
    records = constraint_fidelity(schema, judged("holdout", 50, 2), judged("synthetic", 100, 3, name="c"))
    assert [(record.column, record.value) for record in records] == [(None, 0.0)]


def test_every_rule_between_columns_has_a_line_with_the_real_rows_as_its_floor(judged, schema):
    rules = [
        {"if": {"column": "labels", "contains": "wet"}, "then": {"column": "smoker", "in": ["yes", "former"]}},
        {"if": {"column": "age", "minimum": 120}, "then": {"column": "sex", "is": "present"}},
    ]
    ruled = RecordSchema(schema.fields, schema.image, rules)
    holdout, synthetic = judged("holdout", 50, 2), judged("synthetic", 100, 3, name="c")
    synthetic.table.loc[0, ["labels", "smoker", "age"]] = ["dry|wet", "no", 411.0]

    def wet_and_no(rows) -> list[bool]:
        return ["wet" in row["labels"].split("|") and row["smoker"] == "no" for row in rows.table.to_dict("records")]

    records = constraint_fidelity(ruled, holdout, synthetic)
    first = find_record(records, "c", "constraint_violations", column="smoker", constraint="rule 1")
    assert first.value == pytest.approx(sum(wet_and_no(synthetic)) / 100)
    weights = holdout.weights / holdout.weights.sum()
    assert first.floor == pytest.approx(sum(w for w, bad in zip(weights, wet_and_no(holdout), strict=True) if bad))
    assert 0 < first.floor < 1
    assert "rule 1 (if 'labels' contains 'wet' then 'smoker' is one of ['yes', 'former']) is broken" in first.reading
    kept = find_record(records, "c", "constraint_violations", column="sex", constraint="rule 2")
    assert (kept.value, kept.floor, kept.ceiling) == (0, 0, 0)
    whole = find_record(records, "c", "constraint_violations", column=None)
    # A row that breaks a rule and a limit counts once.
    assert whole.value == first.value
    assert "smoker (rule 1)" in whole.reading
    assert "rule 2" not in whole.reading
