"""Turn one raw column into typed values, collecting what cannot be read."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from .record_field import RecordField
from .record_problem import RecordProblem

__all__ = ["ParsedColumn", "as_text", "canonical_text", "is_missing", "parse_column", "parse_numbers"]

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[+-]?[iI]nf(?:inity)?")
_AGE = re.compile(r"(\d{1,3})\s*([YyMmWwDd])")
_LIMIT = re.compile(r"([<>])=?\s*[+-]?\d*\.?\d+")
_YEARS_PER = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}


@dataclass
class ParsedColumn:
    """Typed values with the problems found on the way.

    Attributes:
        values: one per row; see :meth:`RecordSchema.parse` for the dtypes.
        problems: values that are errors.
        set_missing: how many invalid values were read as missing because ``on_invalid`` is ``missing``.
        notes: readings that needed a decision, such as a blank read as "no".
    """

    values: pd.Series
    problems: list[RecordProblem] = field(default_factory=list)
    set_missing: int = 0
    notes: list[str] = field(default_factory=list)


def canonical_text(value: Any) -> Any:
    """Return a category or an identifier as text: stripped, and 1.0 the same as 1; missing stays None."""
    if isinstance(value, str):
        text = value.strip()
        whole, point, rest = text.partition(".")
        # a table that once was floating point writes one patient as 7 here and as 7.0 there
        return whole if point and rest.strip("0") == "" and rest and whole.lstrip("-").isdecimal() else text
    if (
        value is None
        or value is pd.NA
        or (isinstance(value, (float, np.floating)) and np.isnan(value))
        or value is pd.NaT
    ):
        return None
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value))
    if isinstance(value, (float, np.floating)) and np.isfinite(value) and float(value).is_integer():
        return str(int(value))
    return str(value).strip()


def as_text(values: pd.Series) -> pd.Series:
    """Return a column as stripped text with None for missing, whatever its dtype."""
    plain = values.astype(object)
    try:
        codes, distinct = pd.factorize(plain.to_numpy())
    except TypeError:
        # Lists and dictionaries, as Parquet may hold them, cannot be compared; their text can.
        codes, distinct = pd.factorize(plain.map(str).to_numpy())
    spelled = np.array([*(canonical_text(value) for value in distinct), None], dtype=object)
    return pd.Series(spelled[codes], index=values.index, dtype=object)


def is_missing(text: pd.Series, missing_values: tuple[str, ...]) -> pd.Series:
    """Return which entries of :func:`as_text` mean "missing"."""
    return text.isna() | text.isin(missing_values)


def parse_numbers(values: pd.Series, field: RecordField) -> tuple[pd.Series, pd.Series]:
    """Read numbers, ages such as "060Y" (unit ``a``) and detection limits such as "<0.5" (``censored``).

    Args:
        values: the raw column, text or numbers.
        field: says the unit, the decimal sign, the missing spellings and whether the column is censored.

    Returns:
        float64 values (NaN where missing or unreadable) and a mask of the unreadable ones.
    """
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        numbers = pd.Series(values.to_numpy(dtype="float64", na_value=np.nan), index=values.index)
        return numbers, pd.Series(False, index=values.index)
    text = as_text(values)
    codes, distinct = pd.factorize(text)
    read = np.full(len(distinct) + 1, np.nan)
    unreadable = np.zeros(len(distinct) + 1, dtype=bool)
    for position, spelling in enumerate(distinct):
        if spelling in field.missing_values:
            continue
        number = _read_number(spelling, field)
        unreadable[position] = number is None
        read[position] = np.nan if number is None else number
    return pd.Series(read[codes], index=values.index), pd.Series(unreadable[codes], index=values.index)


def _read_number(text: str, field: RecordField) -> float | None:
    """Return the number that a spelling stands for, or None."""
    plain = text.replace(",", ".") if field.decimal_char == "," else text
    if _NUMBER.fullmatch(plain):
        return float(plain)
    age = _AGE.fullmatch(plain) if field.unit == "a" else None
    if age:
        years = int(age[1]) * _YEARS_PER[age[2].upper()]
        # An age in whole years counts completed years, so "007M" is 0.
        return float(int(years)) if field.kind == "integer" else years
    limit = _LIMIT.fullmatch(plain) if field.censored else None
    if limit:
        return -np.inf if limit[1] == "<" else np.inf
    return None


def parse_column(values: pd.Series, field: RecordField, *, source: str = "table", rows: Any = None) -> ParsedColumn:
    """Return a column's typed values and everything wrong with them.

    Args:
        values: the raw column, text as in a CSV or typed as in Parquet; parsed values parse to themselves.
        field: what the column should hold.
        source: the file named in problems.
        rows: row numbers named in problems, one per value; the index by default.
    """
    rows = values.index if rows is None else rows
    if field.is_numeric:
        parsed, invalid = _numeric(values, field)
    else:
        parsed, invalid = _discrete(values, field)
    result = ParsedColumn(parsed)
    blank = parsed.isna() & ~pd.Series([message is not None for message in invalid], index=parsed.index)
    if field.blank_means is not None and blank.any():
        result.values = parsed.mask(blank, field.blank_means)
        result.notes.append(f"{int(blank.sum())} blanks read as {field.blank_means!r}")
    elif field.required:
        invalid = [
            message or ("is missing but required" if empty else None)
            for message, empty in zip(invalid, blank, strict=True)
        ]
    for position, message in enumerate(invalid):
        if message is None:
            continue
        if field.on_invalid == "missing" and not blank.iloc[position]:
            result.set_missing += 1
            continue
        result.problems.append(
            RecordProblem(
                message,
                "correct it, leave it blank, change the field in schema.json or use --on-invalid missing",
                file=source,
                row=rows[position],
                column=field.name,
                value=None if blank.iloc[position] else str(values.iloc[position]),
            )
        )
    return result


def _numeric(values: pd.Series, field: RecordField) -> tuple[pd.Series, list[str | None]]:
    numbers, unreadable = parse_numbers(values, field)
    infinite = np.isinf(numbers) & (not field.censored)
    fraction = (field.kind == "integer") & np.isfinite(numbers) & (numbers != np.floor(numbers))
    low = (
        np.isfinite(numbers) & (numbers < field.minimum)
        if field.minimum is not None
        else pd.Series(False, index=values.index)
    )
    high = (
        np.isfinite(numbers) & (numbers > field.maximum)
        if field.maximum is not None
        else pd.Series(False, index=values.index)
    )
    unit = f" {field.unit}" if field.unit else ""
    messages: list[str | None] = [None] * len(values)
    for mask, message in (
        (unreadable, f"is no {'whole number' if field.kind == 'integer' else 'number'}, but most of the column is"),
        (infinite, "is infinite, but the field is not censored"),
        (fraction, "is no whole number"),
        (low, f"lies below the plausible minimum {field.minimum}{unit}"),
        (high, f"lies above the plausible maximum {field.maximum}{unit}"),
    ):
        for position in np.flatnonzero(mask.to_numpy()):
            messages[position] = messages[position] or message
    bad = unreadable | infinite | fraction | low | high
    numbers = numbers.mask(bad)
    return (numbers.astype("Int64") if field.kind == "integer" else numbers.astype("float64")), messages


def _discrete(values: pd.Series, field: RecordField) -> tuple[pd.Series, list[str | None]]:
    text = as_text(values)
    text = text.where(~is_missing(text, field.missing_values), None)
    reading: dict[str, str | None] = {}
    for value in text.dropna().unique():
        reading[value] = _labels(value, field) if field.kind == "multilabel" else _category(value, field)
    parsed = pd.Series([None if value is None else reading[value] for value in text], index=values.index, dtype=object)
    message = f"is not one of {list(field.enum)}" if field.enum is not None else ""
    invalid = [message if value is not None and reading[value] is None else None for value in text]
    return parsed, invalid


def _category(value: str, field: RecordField) -> str | None:
    """Return the category that a spelling stands for: itself, or the same number written differently."""
    if field.enum is None or value in field.enum:
        return value
    try:
        number = float(value)
    except ValueError:
        return None
    for category in field.enum:
        try:
            if float(category) == number:
                return category
        except ValueError:
            continue
    return None


def _labels(value: str, field: RecordField) -> str | None:
    """Return joined labels without repetition, in the order of the enum; None when one is unknown."""
    assert field.separator is not None
    labels = list(dict.fromkeys(label.strip() for label in value.split(field.separator) if label.strip()))
    if field.enum is not None:
        if not set(labels) <= set(field.enum):
            return None
        labels.sort(key=field.enum.index)
    return field.separator.join(labels) or None
