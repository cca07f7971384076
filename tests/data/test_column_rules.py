"""Rules between columns: where they are broken, judged by a loop; what is set to missing; what real rows report."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from monai_hybridsynth.data import CohortError, RecordField, RecordSchema

FIELDS = [
    RecordField("icu", kind="binary", enum=("no", "yes")),
    RecordField("days_to_icu", "integer", kind="integer", unit="d", minimum=0),
    RecordField("days_to_death", "integer", kind="integer", unit="d", minimum=0),
    RecordField("crp", "number", kind="continuous", minimum=0, censored=True),
    RecordField("findings", kind="multilabel", separator="|", enum=("Cardiomegaly", "Effusion", "No Finding")),
    RecordField("ratio", "number", kind="continuous", minimum=0, maximum=1),
]
ICU_DAYS = {"if": {"column": "icu", "equals": "yes"}, "then": {"column": "days_to_icu", "is": "present"}}
NO_ICU = {"if": {"column": "icu", "equals": "no"}, "then": {"column": "days_to_icu", "is": "missing"}}
ORDER = {"ascending": ["days_to_icu", "days_to_death"]}


def make_schema(*rules, lenient: bool = False) -> RecordSchema:
    return RecordSchema([replace(f, on_invalid="missing") if lenient else f for f in FIELDS], rules=rules)


def make_rows(**columns) -> pd.DataFrame:
    """Return parsed rows; columns that are not given are blank."""
    size = len(next(iter(columns.values())))
    return RecordSchema(FIELDS).parse(pd.DataFrame({f.name: columns.get(f.name, [""] * size) for f in FIELDS}))


def broken(rule, **columns) -> list[bool]:
    return make_schema(rule).rules.broken(make_rows(**columns))[0].tolist()


def test_an_implication_is_broken_where_if_holds_and_then_fails():
    assert broken(ICU_DAYS, icu=["yes", "yes", "no", ""], days_to_icu=["3", "", "", ""]) == [False, True, False, False]
    assert broken(NO_ICU, icu=["yes", "no", "no", ""], days_to_icu=["3", "", "4", "4"]) == [False, False, True, False]


def test_a_missing_value_neither_holds_nor_fails():
    rule = {"if": {"column": "crp", "minimum": 10}, "then": {"column": "icu", "in": ["yes"]}}
    assert broken(rule, crp=["", "20", "20", "5"], icu=["no", "", "no", "no"]) == [False, False, True, False]


def test_labels_and_numbers_on_both_sides():
    rule = {"if": {"column": "findings", "contains": "Cardiomegaly"}, "then": {"column": "ratio", "minimum": 0.5}}
    findings = ["Cardiomegaly", "Cardiomegaly|Effusion", "Effusion", ""]
    assert broken(rule, findings=findings, ratio=["0.5", "0.49", "0.1", "0.1"]) == [False, True, False, False]
    back = {"if": {"column": "ratio", "minimum": 0.5}, "then": {"column": "findings", "contains": "Cardiomegaly"}}
    assert broken(back, findings=findings, ratio=["0.5", "0.6", "0.6", "0.6"]) == [False, False, True, False]
    # A part of a label is not the label.
    near = make_rows(findings=["Effusion"], ratio=["0.6"]).assign(findings=["Cardiomegaly2"])
    assert make_schema(back).rules.broken(near).all()


def test_several_tests_of_one_side_hold_together():
    rule = {"if": {"column": "crp", "minimum": 10, "maximum": 20}, "then": {"column": "icu", "equals": "no"}}
    assert broken(rule, crp=["9", "10", "20", "21"], icu=["yes"] * 4) == [False, True, True, False]


def test_values_beyond_a_detection_limit():
    """Beyond the limit is a number, but which one is open: it keeps the near limit and leaves every other test open."""
    high = {"if": {"column": "crp", "minimum": 10}, "then": {"column": "icu", "equals": "yes"}}
    assert broken(high, crp=["inf", "-inf"], icu=["no", "no"]) == [True, False]
    low = {"if": {"column": "icu", "equals": "no"}, "then": {"column": "crp", "maximum": 10}}
    assert broken(low, crp=["inf", "-inf", "11"], icu=["no"] * 3) == [False, False, True]
    same = {"if": {"column": "icu", "equals": "no"}, "then": {"column": "crp", "equals": 0}}
    assert broken(same, crp=["-inf", "0", "1"], icu=["no"] * 3) == [False, False, True]
    present = {"if": {"column": "icu", "equals": "no"}, "then": {"column": "crp", "is": "present"}}
    assert broken(present, crp=["-inf", ""], icu=["no"] * 2) == [False, True]


def test_order_agrees_with_every_pair_of_a_loop():
    rng = np.random.default_rng(0)
    names = ["a", "b", "c", "d"]
    fields = [RecordField(name, "number", kind="continuous", censored=True) for name in names]
    table = pd.DataFrame(rng.choice([np.nan, np.inf, -np.inf, 1, 2, 3, 4], size=(400, 4)), columns=names)
    rules = RecordSchema(fields, rules=[{"ascending": names}]).rules
    expected = [
        any(np.isfinite(x) and np.isfinite(y) and x > y for x, y in itertools.combinations(row, 2))
        for row in table.to_numpy()
    ]
    assert rules.broken(table)[0].tolist() == expected
    assert 50 < sum(expected) < 350
    mended, counts = rules.blank_broken(table, may_be_missing=names)
    assert not rules.broken(mended).any()
    assert sum(counts.values()) == int((mended.isna() & table.notna()).to_numpy().sum()) > 0
    # Only broken rows change, and the first number of a row stays.
    same = [i for i, bad in enumerate(expected) if not bad]
    pd.testing.assert_frame_equal(mended.iloc[same], table.iloc[same])
    pd.testing.assert_series_equal(mended["a"], table["a"])


def test_a_rule_without_its_columns_is_silent():
    rules = make_schema(ICU_DAYS, ORDER).rules
    assert not rules.broken(pd.DataFrame({"icu": ["yes"]})).any()
    assert [number for number, _ in rules.speaking(make_rows(icu=["yes"]))] == [0, 1]


def test_real_rows_that_break_a_rule_are_problems():
    schema = make_schema(ICU_DAYS, ORDER)
    table = make_rows(icu=["yes", "yes", "no"], days_to_icu=["", "9", ""], days_to_death=["", "3", "1"])
    with pytest.raises(CohortError) as caught:
        schema.parse(table)
    found = {(problem.row, problem.column): str(problem) for problem in caught.value.problems}
    assert set(found) == {(0, "days_to_icu"), (1, "days_to_death")}
    assert "rule 1 (if 'icu' equals 'yes' then 'days_to_icu' is present)" in found[0, "days_to_icu"]
    assert "'icu' is 'yes', 'days_to_icu' is missing" in found[0, "days_to_icu"]
    assert "--on-invalid" not in found[0, "days_to_icu"], "a missing value is what is wrong"
    assert "rule 2 ('days_to_icu' <= 'days_to_death'), because 'days_to_icu' is 9" in found[1, "days_to_death"]
    assert "--on-invalid missing" in found[1, "days_to_death"]


def test_on_invalid_missing_empties_what_gives_way_and_counts_it():
    schema = make_schema(NO_ICU, ORDER, lenient=True)
    table = make_rows(icu=["no", "yes", "yes"], days_to_icu=["4", "9", "2"], days_to_death=["", "3", "3"])
    result = schema.examine(table)
    assert not result.problems
    assert result.table["days_to_icu"].isna().tolist() == [True, False, False]
    assert result.table["days_to_death"].isna().tolist() == [True, True, False]
    assert result.set_missing == {"days_to_icu": 1, "days_to_death": 1}
    assert result.notes["days_to_death"] == ["1 set to missing by rule 2 ('days_to_icu' <= 'days_to_death')"]
    assert [str(dtype) for dtype in result.table.dtypes[:3]] == ["object", "Int64", "Int64"]
    pd.testing.assert_frame_equal(schema.parse(result.table), result.table)


def test_missing_does_not_mend_a_rule_that_asks_for_a_value():
    with pytest.raises(CohortError, match="breaks rule 1"):
        make_schema(ICU_DAYS, lenient=True).parse(make_rows(icu=["yes"]))


def test_what_one_rule_empties_another_may_ask_for():
    """Emptying the day breaks the rule that asks for one; the row is reported, not passed over."""
    rules = [{"ascending": ["days_to_death", "days_to_icu"]}, ICU_DAYS]
    with pytest.raises(CohortError, match="breaks rule 2"):
        make_schema(*rules, lenient=True).parse(make_rows(icu=["yes"], days_to_icu=["2"], days_to_death=["5"]))


def test_emptied_text_is_none_as_parsing_has_it():
    rule = {"if": {"column": "crp", "minimum": 10}, "then": {"column": "icu", "equals": "yes"}}
    table = make_schema(rule, lenient=True).parse(make_rows(icu=["no", "no"], crp=["20", "5"]))
    assert table["icu"].tolist() == [None, "no"]


def test_values_of_rare_categories_do_not_stay():
    known = {"icu": ["no"], "days_to_icu": None, "findings": ["Effusion", "No Finding"], "ratio": None}
    severe = {"if": {"column": "icu", "in": ["yes", "no"]}, "then": {"column": "findings", "contains": "Cardiomegaly"}}
    kept = make_schema(ICU_DAYS, severe, ORDER, NO_ICU).rules.within(known).to_list()
    # No row can say yes; no row can have the label, so only a missing value is left; one column is not there.
    assert kept == [
        {"if": {"column": "icu", "in": ["no"]}, "then": {"column": "findings", "is": "missing"}},
        NO_ICU,
    ]


def test_premises_are_what_is_asked_about_first():
    """ICU is asked about before its days are decided, and the label before the number; of an order, who has a day."""
    large = {"column": "ratio", "minimum": 0.55}
    label = {"column": "findings", "contains": "Cardiomegaly"}
    rules = [ORDER, ICU_DAYS, NO_ICU, {"if": label, "then": large}, {"if": large, "then": label}]
    wet = {"if": {"column": "findings", "contains": "Effusion"}, "then": {"column": "crp", "is": "present"}}
    assert [premise.to_dict() for premise in make_schema(*rules, wet).rules.premises()] == [
        {"column": "icu", "equals": "yes"},
        {"column": "icu", "equals": "no"},
        label,
        {"column": "findings", "contains": "Effusion"},
        {"column": "days_to_death", "is": "present"},
    ]


def test_among_some_columns_an_order_speaks_of_two_an_implication_of_both():
    longer = {"ascending": ["days_to_icu", "days_to_death", "days_home"]}
    home = RecordField("days_home", "integer", kind="integer", unit="d")
    rules = RecordSchema([*FIELDS, home], rules=[ICU_DAYS, longer]).rules
    said = [(number, rule.to_dict()) for number, rule in rules.among({"days_home", "days_to_icu"})]
    assert said == [(1, {"ascending": ["days_to_icu", "days_home"]})]
    assert [number for number, _ in rules.among({"icu", "days_to_icu"})] == [0]
    assert [rule for _, rule in rules.among({entry.name for entry in [*FIELDS, home]})] == list(rules)
