"""Which rules of the schema synthetic rows break, and in which columns."""

from __future__ import annotations

import numpy as np
import pandas as pd

from monai_hybridsynth.data import RecordField, RecordSchema
from monai_hybridsynth.evaluation.judged_cohort import JudgedCohort
from monai_hybridsynth.evaluation.metric_record import MetricRecord
from monai_hybridsynth.metrics import share_estimate, violates_levels, violates_limits

__all__ = ["broken_constraints", "constraint_fidelity", "constraint_violations"]


def broken_constraints(schema: RecordSchema, table: pd.DataFrame) -> dict[tuple[str, str], np.ndarray]:
    """Return the rows that break each constraint of each column, bool ``(rows,)``, by column and constraint.

    Constraints are ``limits`` (a number outside the declared ones), ``categories`` (one that the schema does not know),
    ``required`` (a missing value) and ``rule 1`` ... (between columns, under the last one that it names); those that
    nobody breaks are left out.
    """
    found = {}
    for name in schema.feature_names:
        for constraint, rows in _violations_of(schema[name], table[name]).items():
            found[name, constraint] = rows
    broken = schema.rules.broken(table)
    for key, number in _rules(schema, table).items():
        found[key] = broken[number]
    return {key: rows for key, rows in found.items() if rows.any()}


def _rules(schema: RecordSchema, table: pd.DataFrame) -> dict[tuple[str, str], int]:
    """Return the rules that can be checked, by column and name, with their numbers from 0."""
    return {(rule.columns[-1], f"rule {number + 1}"): number for number, rule in schema.rules.speaking(table)}


def constraint_violations(schema: RecordSchema, table: pd.DataFrame) -> np.ndarray:
    """Return which rows break any constraint of a column or rule between columns, bool ``(rows,)``."""
    broken = np.zeros(len(table), dtype=bool)
    for rows in broken_constraints(schema, table).values():
        broken |= rows
    return broken


def _violations_of(field: RecordField, column: pd.Series) -> dict[str, np.ndarray]:
    missing = column.isna().to_numpy()
    found = {"required": missing} if field.required else {}
    if field.is_numeric:
        numbers = column.astype("float64").to_numpy(na_value=np.nan)
        return {**found, "limits": violates_limits(numbers, field.minimum, field.maximum)}
    if field.enum is None:
        return found
    values = [None if gone else str(value) for value, gone in zip(column, missing, strict=True)]
    return {**found, "categories": violates_levels(values, field.enum, separator=field.separator)}


def constraint_fidelity(schema: RecordSchema, holdout: JudgedCohort, synthetic: JudgedCohort) -> list[MetricRecord]:
    """Return constraint_violations for whole rows, for each rule, and for each other constraint that is broken."""
    sides = [broken_constraints(schema, side.table) for side in (synthetic, holdout)]
    whole = [constraint_violations(schema, side.table) for side in (synthetic, holdout)]
    named = ", ".join(f"{column} ({_WORDS.get(constraint, constraint)})" for column, constraint in sides[0])
    total = len(synthetic)
    reading = f"{int(whole[0].sum())} of {total} synthetic rows break a constraint of the schema"
    records = [
        _record(whole[0], whole[1], holdout, synthetic.name, None, {}, reading + (f": {named}." if named else "."))
    ]
    rules = {key: f"{schema.rules.told(number)} is broken" for key, number in _rules(schema, synthetic.table).items()}
    for column, constraint in dict.fromkeys([*sides[0], *rules]):
        rows, other = (
            side.get((column, constraint), np.zeros(len(cohort), dtype=bool))
            for side, cohort in zip(sides, (synthetic, holdout), strict=True)
        )
        told = rules.get((column, constraint)) or f"{column} {_BREAKS[constraint]}"
        reading = f"In {int(rows.sum())} of {total} synthetic rows, {told}."
        dimensions = {"constraint": constraint}
        records.append(_record(rows, other, holdout, synthetic.name, column, dimensions, reading))
    return records


_WORDS = {"limits": "outside its limits", "categories": "unknown category", "required": "missing"}
_BREAKS = {
    "limits": "lies outside its limits",
    "categories": "holds a category that the schema does not know",
    "required": "is missing although it is required",
}


def _record(
    broken: np.ndarray,
    other: np.ndarray,
    holdout: JudgedCohort,
    cohort: str,
    column: str | None,
    dimensions: dict[str, str],
    reading: str,
) -> MetricRecord:
    return MetricRecord.of(
        share_estimate(int(broken.sum()), len(broken)),
        cohort=cohort,
        family="fidelity",
        name="constraint_violations",
        column=column,
        dimensions=dimensions,
        better="lower",
        floor=float(np.average(other, weights=holdout.weights)),
        ceiling=0.0,
        estimator="share of synthetic rows, exact binomial interval; floor: share of held-out patients' rows",
        reading=reading,
    )
