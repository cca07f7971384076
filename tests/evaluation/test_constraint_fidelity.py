from __future__ import annotations

import pytest

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
