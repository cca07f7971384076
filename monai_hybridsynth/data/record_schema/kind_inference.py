"""What the values of a modelled column mean: number, category, labels; with unit, limits and a reason."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from .column_evidence import ColumnEvidence
from .exclusion_rules import MOST_CATEGORIES
from .known_quantities import KnownQuantity, known_quantity
from .record_field import RecordField

__all__ = ["AFFIRMATIVE", "MIXED_SHARE", "infer_field"]

# A single value beside blanks that means "yes": then a blank means "no".
AFFIRMATIVE = {
    "1": "0",
    "yes": "no",
    "y": "n",
    "true": "false",
    "x": "no",
    "positive": "negative",
    "+": "-",
    "ja": "nein",
}
# A column whose values are numbers at least this often is a numeric column with mistakes in it, not text; with more
# different numbers than categories can be, or a name that says a quantity (an age), half of them suffice.
MIXED_SHARE = 0.9
_NOTHING = (
    "no finding",
    "no findings",
    "none",
    "normal",
    "no abnormality",
    "negative",
    "no disease",
    "keine",
    "kein befund",
)
_ORDERED = ("grade", "stage", "score", "class", "severity", "level", "birads", "asa", "nyha")
_MOST_LABELS = 60
_FEWEST_FOR_RANGE = 20


def infer_field(column: ColumnEvidence) -> RecordField:
    """Return the modelled field that a column's values suggest; a numeric, binary, multi-label or categorical one."""
    separator = _separator(column)
    if separator:
        return _multilabel(column, separator)
    if column.num_distinct == 1:
        return _mark(column)
    spellings = sorted({_short(value) for value in column.counts.index}, key=_order)
    if len(spellings) == 2 and not (column.number_share == 1 and known_quantity(column)):
        named = " and ".join(repr(value) for value in spellings)
        return _discrete(column, "binary", spellings, f"two values, {named}")
    mostly = column.number_share > 0.5 and (len(column.finite) > MOST_CATEGORIES or known_quantity(column) is not None)
    if column.number_share >= MIXED_SHARE or mostly:
        return _number(column)
    same = {value.casefold() for value in spellings}
    warning = "; some differ only by capital letters, which may be a slip" if len(same) < len(spellings) else ""
    return _discrete(column, "categorical", spellings, f"{len(spellings)} different texts{warning}")


def _order(value: str) -> tuple[int, float, str]:
    try:
        return (0, float(value), value)
    except ValueError:
        return (1, 0.0, value)


def _short(value: str) -> str:
    """Return a whole number without its ".0", as categories such as 0 and 1 may be written."""
    return re.sub(r"(?<=\d)\.0+$", "", value) if re.fullmatch(r"-?\d+\.0+", value) else value


def _discrete(column: ColumnEvidence, kind: str, categories: list[str], reason: str) -> RecordField:
    return RecordField(column.name, kind=kind, enum=tuple(categories), reason=f"{kind}: {reason}{_missing(column)}")


def _mark(column: ColumnEvidence) -> RecordField:
    """Return the field of a column that is ticked or blank."""
    ticked = str(column.counts.index[0])
    no = AFFIRMATIVE[ticked.removesuffix(".0").casefold()]
    ticked = ticked.removesuffix(".0")
    blanks = column.num_rows - column.num_filled
    reason = f"binary: {ticked!r} or blank ({blanks} blanks); a blank is read as {no!r}, did not happen"
    return RecordField(column.name, kind="binary", enum=(no, ticked), blank_means=no, reason=reason)


def _separator(column: ColumnEvidence) -> str | None:
    """Return what joins several labels in one value, where the parts recur often enough to be labels."""
    for separator in ("|", ";"):
        joined = [value for value in column.counts.index if separator in value]
        labels = {part.strip() for value in column.counts.index for part in value.split(separator)}
        if joined and len(labels) <= _MOST_LABELS and (len(labels) < column.num_distinct or len(joined) < len(labels)):
            return separator
    return None


def _multilabel(column: ColumnEvidence, separator: str) -> RecordField:
    sets = [[part.strip() for part in value.split(separator) if part.strip()] for value in column.counts.index]
    labels = sorted({label for parts in sets for label in parts})
    alone = [
        label
        for label in labels
        if label.casefold() in _NOTHING and all(len(parts) == 1 for parts in sets if label in parts)
    ]
    reason = f"multilabel: {len(labels)} labels joined by {separator!r}"
    if alone:
        reason += f"; {alone[0]!r} never stands with another and says there is none"
    return RecordField(
        column.name, kind="multilabel", separator=separator, enum=tuple(labels),
        empty_label=alone[0] if len(alone) == 1 else None, reason=reason + _missing(column),
    )  # fmt: skip


def _number(column: ColumnEvidence) -> RecordField:
    quantity = known_quantity(column) or KnownQuantity("")
    censored = bool(np.isinf(column.distinct_numbers).any())
    written_whole = column.share_matching(r"[+-]?\d+|\d{1,3}\s*[YyMmWwDd]") > MIXED_SHARE
    integer = column.is_whole and not censored and (quantity.count or (written_whole and quantity.label == ""))
    if integer and column.has_words(*_ORDERED) and column.num_distinct <= 12 and column.number_share == 1:
        steps = sorted(column.counts.index, key=_order)
        return _discrete(column, "ordinal", steps, f"{len(steps)} ordered steps, by its name")
    parts = ["whole numbers" if integer else "numbers"]
    if quantity.label:
        parts.append(f"{quantity.label}{f' in {quantity.unit}' if quantity.unit else ''}")
        if quantity.maximum is not None:
            parts.append(f"plausible from {quantity.minimum:g} to {quantity.maximum:g}")
    if column.has_age_suffix:
        parts.append('written like "060Y"')
    if column.decimal_char == ",":
        parts.append("with decimal commas")
    if censored:
        infinite = int(column.counts[np.isinf(column.distinct_numbers)].sum())
        parts.append(f"{infinite} beyond a detection limit")
    odd = int(column.counts[column.distinct_numbers.isna()].sum())
    if odd:
        parts.append(f"{odd} values that are no numbers, each an error")
    kind = "integer" if integer else "continuous"
    return RecordField(
        column.name, "integer" if integer else "number", kind=kind, unit=quantity.unit, minimum=quantity.minimum,
        maximum=quantity.maximum, censored=censored, decimal_char=column.decimal_char,
        typical_range=_typical(column), reason=f"{kind}: {', '.join(parts)}{_missing(column)}",
    )  # fmt: skip


def _typical(column: ColumnEvidence) -> tuple[float, float] | None:
    """Return the 1st and 99th percentile over patients, rounded outwards so far that they are no patient's value."""
    if column.num_patients < _FEWEST_FOR_RANGE:
        return None
    numbers = pd.Series(column.distinct_numbers.reindex(column.filled).to_numpy(), index=column.filled.index)
    numbers = numbers[np.isfinite(numbers)]
    if column.patients is not None:
        numbers = numbers.groupby(column.patients).median()
    low, high = np.percentile(numbers, [1, 99]) if len(numbers) else (0.0, 0.0)
    if not low < high:
        return None
    step = 10.0 ** np.floor(np.log10(high - low))
    digits = max(0, -int(np.log10(step)))
    return (round(float(np.floor(low / step) * step), digits), round(float(np.ceil(high / step) * step), digits))


def _missing(column: ColumnEvidence) -> str:
    blanks = column.num_rows - column.num_filled
    return f"; missing in {blanks} of {column.num_rows} rows" if blanks else ""
