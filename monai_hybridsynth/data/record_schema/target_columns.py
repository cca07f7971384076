"""Which columns are to be predicted: named ones, ones derived from others, and what would give them away.

A target is named by its column, or derived: ``NAME=COLUMN:is_present``, ``NAME=COLUMN:equals:VALUE``,
``NAME=COLUMN:contains:VALUE``. A column that only restates a target is set aside, because a table that holds the answer
measures nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from .record_field import DERIVE_RULES, RecordField
from .record_problem import CohortError, RecordProblem
from .table_schema import RecordSchema
from .value_parsing import as_text, is_missing

__all__ = ["TargetNote", "set_targets"]

# Blank in a tenth of the patients or more: then a blank says that it did not happen, not that it was forgotten.
_MOST_WITH_EVENT = 0.9
_DAY_ENDINGS = ("_offset", "_days", "_day", "_date", " offset", " days", " day")


@dataclass(frozen=True)
class TargetNote:
    """A decision about a target, for the summary.

    Attributes:
        column: the column decided about.
        action: ``target``, ``derived``, ``excluded`` or ``warning``.
        reason: why.
    """

    column: str
    action: str
    reason: str


def set_targets(
    schema: RecordSchema, table: pd.DataFrame, targets: Sequence[str], *, source: str = "table"
) -> tuple[RecordSchema, list[TargetNote]]:
    """Return the schema with role target where asked, and what was decided on the way.

    A column of days that is blank for a tenth of the patients or more, such as ``icu_admission_offset``, becomes the
    target "did it happen", here ``icu_admission``; the days themselves would give the answer away and are excluded.

    Args:
        schema: inferred or given.
        table: the raw table.
        targets: names and derivations as described above.
        source: the file named in problems.

    Raises:
        CohortError: if a target names no column, or has fewer than two values.
    """
    notes: list[TargetNote] = []
    problems: list[RecordProblem] = []
    for wanted in dict.fromkeys(targets):
        try:
            schema, made = _set_target(schema, table, wanted)
            notes += made
        except ValueError as error:
            columns = ", ".join(repr(str(name)) for name in table.columns)
            problems.append(RecordProblem(str(error), f"the table's columns are {columns}", file=source, value=wanted))
    if problems:
        raise CohortError(problems)
    schema, made = _exclude_restatements(schema, table)
    return schema, notes + made


def _set_target(schema: RecordSchema, table: pd.DataFrame, wanted: str) -> tuple[RecordSchema, list[TargetNote]]:
    if wanted not in schema:
        # "icu_admission" is a natural way to ask for what "icu_admission_offset" tells.
        days = [f"{wanted}{ending}" for ending in _DAY_ENDINGS if f"{wanted}{ending}" in schema]
        wanted = days[0] if days and _is_event_day(schema[days[0]], table, schema.group_name) else wanted
    if wanted in schema:
        entry = schema[wanted]
        if wanted not in table.columns and entry.derive is None:
            raise ValueError("is in the schema, but not in the table")
        if _is_event_day(entry, table, schema.group_name):
            return _derive(schema, table, _event_name(wanted), {"from": wanted, "rule": "is_present"})
        if entry.role in ("identifier", "group", "image") or entry.kind == "free_text":
            raise ValueError(f"cannot be a target: it is {entry.role} ({entry.reason})")
        if wanted in table.columns and not entry.is_modelled:
            entry = _reinstated(entry, table[wanted])
        return schema.with_fields(replace(entry, role="target")), [TargetNote(wanted, "target", entry.reason)]
    name, separated, rule_text = wanted.partition("=")
    candidates = [column for column in schema.names if rule_text.startswith(f"{column}:")]
    if not separated or not name or not candidates:
        raise ValueError("is no column and no NAME=COLUMN:RULE[:VALUE] with a column of the table")
    column = max(candidates, key=len)
    rule, _, value = rule_text[len(column) + 1 :].partition(":")
    if rule not in DERIVE_RULES or (rule != "is_present" and not value):
        raise ValueError(f"has the rule {rule!r}; use is_present, equals:VALUE or contains:VALUE")
    if name in schema:
        raise ValueError(f"would be named {name!r} like an existing column; choose another name")
    derive = {"from": column, "rule": rule} if rule == "is_present" else {"from": column, "rule": rule, "value": value}
    return _derive(schema, table, name, derive)


def _derive(
    schema: RecordSchema, table: pd.DataFrame, name: str, derive: dict[str, str]
) -> tuple[RecordSchema, list[TargetNote]]:
    origin = schema[derive["from"]]
    told = f"{derive['rule']} {derive['value']!r}" if "value" in derive else "has a value, 'no' where it is blank"
    entry = RecordField(
        name, kind="binary", role="target", enum=("no", "yes"), derive=derive, separator=origin.separator,
        reason=f"derived: 'yes' where {origin.name!r} {told}",
    )  # fmt: skip
    values = RecordSchema([entry, origin]).examine(table).table[name]
    share = values.dropna().eq("yes").mean() if values.notna().any() else 0.0
    if share in (0.0, 1.0):
        raise ValueError(f"is {'yes' if share else 'no'} in every row; a target needs both")
    notes = [TargetNote(name, "derived", f"{entry.reason}: {share:.1%} of the rows")]
    # The new column stands where its source stood, which is not modelled beside it.
    fields = []
    for field in schema:
        if field.name == origin.name:
            fields.append(entry)
            if origin.is_modelled and (derive["rule"] != "contains"):
                reason = f"the target {name!r} is derived from it, so it would give the answer away"
                field = replace(field, role="excluded", reason=reason)
                notes.append(TargetNote(origin.name, "excluded", reason))
        fields.append(field)
    return RecordSchema(fields, schema.image, schema.rules), notes


def _reinstated(entry: RecordField, values: pd.Series) -> RecordField:
    """Return an excluded field as a target that somebody asks for by name, with its categories filled in."""
    text = as_text(values)
    categories = sorted(text[~is_missing(text, entry.missing_values)].unique())
    if len(categories) < 2:
        raise ValueError(f"cannot be a target: {entry.reason}")
    reason = f"asked for as a target, though it {entry.reason}"
    if entry.is_numeric or entry.enum is not None:
        return replace(entry, reason=reason)
    return replace(entry, enum=tuple(categories), reason=reason)


def _is_event_day(entry: RecordField, table: pd.DataFrame, group_name: str | None) -> bool:
    """Return whether a column counts days to something that did not happen to everyone."""
    if entry.unit != "d" or entry.name not in table.columns:
        return False
    present = ~is_missing(as_text(table[entry.name]), entry.missing_values)
    if group_name in table.columns:
        present = present.groupby(as_text(table[group_name])).any()
    return bool(0 < present.mean() <= _MOST_WITH_EVENT)


def _event_name(name: str) -> str:
    for ending in _DAY_ENDINGS:
        if name.endswith(ending):
            return name[: -len(ending)]
    return f"{name}_happened"


def _exclude_restatements(schema: RecordSchema, table: pd.DataFrame) -> tuple[RecordSchema, list[TargetNote]]:
    """Set aside columns that say the same as a target in every row, and warn of those that say it in many."""
    parsed = schema.examine(table).table
    notes: list[TargetNote] = []
    for target in schema.target_names:
        if schema[target].is_numeric or schema[target].kind == "multilabel":
            continue
        answer = parsed[target]
        hints = []
        for name in schema.feature_names:
            if schema[name].role != "feature":
                continue
            reason = _restates(parsed[name], answer, schema[name])
            if reason:
                reason = f"{reason.format(target=target)}, so it would give the answer away"
                schema = schema.with_fields(replace(schema[name], role="excluded", reason=reason))
                notes.append(TargetNote(name, "excluded", reason))
            elif _hints(parsed[name], answer, schema[name]):
                hints.append(name)
        if hints:
            told = ", ".join(repr(name) for name in hints)
            remedy = "set their role to excluded in schema.json if they would not be known when it is predicted"
            notes.append(TargetNote(target, "warning", f"follows in some rows from a value of {told}; {remedy}"))
    return schema, notes


def _restates(values: pd.Series, answer: pd.Series, entry: RecordField) -> str | None:
    """Return how a column says the same as the answer in every row, or None."""
    known = answer.notna()
    present = values.notna()
    if answer[known].nunique() != 2:
        return None
    if entry.is_numeric:
        sides = pd.crosstab(present[known], answer[known]).to_numpy()
        if sides.shape == (2, 2) and (sides[0, 0] == sides[1, 1] == 0 or sides[0, 1] == sides[1, 0] == 0):
            return f"has a value exactly where {{target!r}} is {answer[known & present].iloc[0]!r}"
        return None
    pairs = pd.DataFrame({"value": values[known], "answer": answer[known]}).drop_duplicates()
    if present[known].all() and len(pairs) == 2 and pairs["value"].is_unique:
        return "says the same as {target!r} in every row"
    return None


def _hints(values: pd.Series, answer: pd.Series, entry: RecordField) -> bool:
    """Return whether some value of a column, or having one, goes with the rarer answer alone, in 10 rows or more."""
    known = answer.notna()
    counts = answer[known].value_counts()
    minority = counts.index[-1] if len(counts) else None
    shown = values.notna() if entry.is_numeric else values.where(values.notna(), "missing")
    sides = pd.crosstab(shown[known], answer[known] == minority)
    if True not in sides.columns or False not in sides.columns or len(sides) < 2:
        return False
    return bool(((sides[True] >= 10) & (sides[False] == 0)).any())
