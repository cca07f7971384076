"""Rules as a person writes them in ``schema.json``, checked against the columns they speak of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from .column_rules import ColumnRules
from .record_field import RecordField
from .value_parsing import parse_column

__all__ = ["read_rules"]

_ASKED = ("feature", "target", "excluded")


def read_rules(written: Iterable[Mapping[str, Any]], fields: Mapping[str, RecordField]) -> ColumnRules:
    """Return the rules of a schema.

    Args:
        written: ``{"if": {"column": "icu", "equals": "yes"}, "then": {"column": "days_to_icu", "is": "present"}}`` or
            ``{"ascending": ["days_to_icu", "days_to_death"]}``, one entry per rule.
        fields: the schema's columns by name.

    Raises:
        ValueError: naming every rule that cannot be kept, by its number from 1, with column, value and remedy.
    """
    rules, wrong = [], []
    for number, entry in enumerate(written, start=1):
        try:
            rules.append(_rule(entry, fields))
        except ValueError as error:
            wrong.append(f"rule {number}: {error}")
    if wrong:
        raise ValueError("; ".join(wrong))
    return ColumnRules.from_list(rules, {name: entry.separator for name, entry in fields.items()})


def _rule(entry: Mapping[str, Any], fields: Mapping[str, RecordField]) -> dict[str, Any]:
    keys = set(entry) if isinstance(entry, Mapping) else set()
    if keys == {"ascending"}:
        return {"ascending": _order(entry["ascending"], fields)}
    if keys != {"if", "then"}:
        raise ValueError(f"is {entry!r}; give 'if' and 'then', or 'ascending'")
    sides = {side: _condition(side, entry[side], fields) for side in ("if", "then")}
    if sides["if"]["column"] == sides["then"]["column"]:
        name = sides["if"]["column"]
        raise ValueError(f"speaks of column {name!r} twice; use the field's constraints for one column")
    return sides


def _order(names: Any, fields: Mapping[str, RecordField]) -> list[str]:
    if not isinstance(names, (list, tuple)) or len(names) < 2 or len(set(map(str, names))) < len(names):
        raise ValueError(f"'ascending' is {names!r}; give a list of two columns or more, each once")
    entries = [_field(name, fields) for name in names]
    for entry in entries:
        if not entry.is_numeric:
            raise ValueError(
                f"column {entry.name!r} is {entry.kind}; only continuous and integer columns have an order"
            )
    units = {entry.name: entry.unit for entry in entries}
    if len(set(units.values())) > 1:
        raise ValueError(f"the columns of 'ascending' have the units {units}; give them the same one")
    return list(names)


def _condition(side: str, written: Any, fields: Mapping[str, RecordField]) -> dict[str, Any]:
    if not isinstance(written, Mapping) or "column" not in written or len(written) < 2:
        raise ValueError(f"{side!r} is {written!r}; give a 'column' and what it must say, such as 'equals'")
    entry = _field(written["column"], fields)
    allowed = {"equals", "in", "is"}
    if entry.is_numeric:
        allowed |= {"minimum", "maximum"}
    elif entry.kind == "multilabel":
        allowed = {"contains", "is"}
    tests = {name: wanted for name, wanted in written.items() if name != "column"}
    for name in tests:
        if name not in allowed:
            raise ValueError(f"column {entry.name!r} is {entry.kind} and knows no {name!r}; use {sorted(allowed)}")
    for name, wanted in tests.items():
        tests[name] = _wanted(entry, name, wanted)
    if side == "if" and tests.get("is") == "missing" and (entry.required or entry.blank_means is not None):
        raise ValueError(f"column {entry.name!r} is never missing; remove the rule or the field's 'required'")
    return {"column": entry.name, **tests}


def _field(name: Any, fields: Mapping[str, RecordField]) -> RecordField:
    if not isinstance(name, str) or name not in fields:
        raise ValueError(f"column {name!r} is not in the schema; its columns are {list(fields)}")
    entry = fields[name]
    if entry.role not in _ASKED or entry.kind == "free_text":
        raise ValueError(f"column {name!r} is {entry.role}, {entry.kind}, and never modelled; remove the rule")
    return entry


def _wanted(entry: RecordField, test: str, wanted: Any) -> Any:
    """Return the value of a test as the column's own values are parsed."""
    if test == "is":
        if wanted not in ("present", "missing"):
            raise ValueError(f"column {entry.name!r}: 'is' is {wanted!r}; use 'present' or 'missing'")
        return wanted
    if test == "in":
        if not isinstance(wanted, (list, tuple)) or not wanted:
            raise ValueError(f"column {entry.name!r}: 'in' is {wanted!r}; give a list of values")
        return [_value(entry, value) for value in wanted]
    return _value(entry, wanted)


def _value(entry: RecordField, wanted: Any) -> Any:
    """Return one value as the column's own values are parsed, so that "060Y" and 60 mean the same age."""
    strict = replace(entry, on_invalid="error", required=False, blank_means=None)
    parsed = parse_column(pd.Series([wanted], dtype=object), strict)
    told = f"column {entry.name!r}: {wanted!r}"
    if parsed.problems:
        raise ValueError(f"{told} {parsed.problems[0].message}; name a value that the column can have")
    value = parsed.values.iloc[0]
    if pd.isna(value):
        raise ValueError(f"{told} means missing; use 'is': 'missing'")
    if entry.is_numeric:
        if not np.isfinite(value):
            raise ValueError(f"{told} is no number; name one, or use 'is': 'present'")
        return int(value) if entry.kind == "integer" else float(value)
    if entry.separator and entry.separator in value:
        raise ValueError(f"{told} is more than one label; write one rule per label")
    return value
