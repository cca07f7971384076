"""Which columns are set aside because of what they hold: nothing, dates, the scanner's settings, free text."""

from __future__ import annotations

import numpy as np
import pandas as pd

from .column_evidence import ColumnEvidence

__all__ = [
    "MOST_CATEGORIES",
    "acquisition_reason",
    "ambiguous_number_reason",
    "date_reason",
    "empty_reason",
    "free_text_reason",
    "timing_reason",
]

MOST_CATEGORIES = 20
_SCANNER = (
    "pixel", "spacing", "native", "photometric", "manufacturer", "software", "detector", "kvp", "exposure", "bits",
    "rescale", "representation", "transfer", "compression", "resolution", "dpi", "scanner", "station", "padding",
)  # fmt: skip
_EXTENTS = ("width", "height", "rows", "columns", "cols")
_PROSE = (
    "note", "notes", "comment", "comments", "remark", "remarks", "description", "report", "impression", "history",
    "narrative", "text", "content", "anamnesis",
)  # fmt: skip
_DATE = (
    r"(?:19|20)\d{2}[-/.]\d{1,2}[-/.]\d{1,2}(?:[T ].*)?|\d{1,2}[-/.]\d{1,2}[-/.](?:19|20)?\d{2}(?: .*)?|"
    r"(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])|\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?"
)


def empty_reason(column: ColumnEvidence) -> str | None:
    """Return why a column says nothing about anyone: blank, or the same value everywhere."""
    if column.num_filled == 0:
        return f"blank in all {column.num_rows} rows"
    if column.num_distinct > 1:
        return None
    if column.num_filled == column.num_rows:
        return f"the same value in all {column.num_rows} rows"
    return (
        f"the same value in all {column.num_filled} rows that have one; if a blank means 'no', "
        f"use --target NAME={column.name}:is_present or set blank_means"
    )


def date_reason(column: ColumnEvidence) -> str | None:
    """Return why a column is a date or time of day."""
    if pd.api.types.is_datetime64_any_dtype(column.dtype) or column.share_matching(_DATE) > 0.9:
        return "dates and times can identify a patient; give days relative to the image instead"
    if column.has_words("year", "jahr") and column.share_matching(r"(?:19|20)\d{2}(?:\.0)?") > 0.9:
        return "a calendar year can identify a patient; give years relative to the image instead"
    return None


def acquisition_reason(column: ColumnEvidence) -> str | None:
    """Return why a column describes the scanner or the file, not the patient."""
    told = "how the image was taken or stored, not the patient; set role to feature to model it"
    if column.has_words(*_SCANNER) or (column.has_words("slice") and column.has_words("thickness")):
        return f"its name speaks of {told}"
    if column.share_matching(r"\d{2,5}\s*[xX×*]\s*\d{2,5}") > 0.9:
        return f"its values are image sizes; they describe {told}"
    if not column.has_words(*_EXTENTS) or column.number_share <= 0.9 or not column.is_whole:
        return None
    # A body's height has the same name, but nobody is over three metres tall.
    if column.has_words("image", "original", "px") or float(np.median(column.finite)) > 300:
        return f"an image size in pixels describes {told}"
    return None


def timing_reason(column: ColumnEvidence, names: list[str]) -> str | None:
    """Return why a column only says when another column's value was taken.

    Args:
        column: a column such as ``crp_offset``.
        names: every column's name; ``crp_val`` or ``crp`` among them makes it the timing of that value.
    """
    for ending in ("_offset", "_day", "_days", "_date", "_time"):
        if not column.name.endswith(ending):
            continue
        stem = column.name[: -len(ending)]
        measured = next((name for name in (f"{stem}_val", f"{stem}_value", stem) if name in names), None)
        if measured:
            return f"says when {measured!r} was measured, not what it was; set role to feature to model it"
    return None


def ambiguous_number_reason(column: ColumnEvidence) -> str | None:
    """Return why a column's numbers have no safe reading."""
    if column.decimal_char == "." and column.share_matching(r"[+-]?\d{1,3}(?:,\d{3})+") > 0.5:
        return "its commas may be decimal signs or separate thousands; write the numbers with a point and no separator"
    return None


def free_text_reason(column: ColumnEvidence) -> str | None:
    """Return why a text column is prose that a person typed rather than a category."""
    if column.number_share > 0.5:
        return None
    spaced = pd.Series(column.counts.index, dtype=object).astype(str).str.contains(r"\S\s+\S")
    if column.has_words(*_PROSE) and column.num_distinct > 2:
        return "its name says that it is free text, which can name a patient"
    words = pd.Series([len(str(value).split()) for value in column.counts.index])
    if column.num_distinct > 2 and float(words.mean()) >= 5:
        return f"typed sentences of {words.mean():.0f} words on average, which can name a patient"
    if column.num_distinct > MOST_CATEGORIES and column.num_distinct > 0.05 * column.num_patients:
        return f"{column.num_distinct} different texts are too many for categories, and free text can name a patient"
    if column.num_filled >= 5 and column.uniqueness >= 0.9 and column.num_distinct > 4:
        return f"{column.num_distinct} different texts in {column.num_filled} rows: hardly two are alike"
    rare = float((column.patients_per_value < 3).mean())
    if column.num_distinct >= 6 and spaced.mean() > 0.5 and rare >= 1 / 3:
        return f"typed text: {rare:.0%} of its {column.num_distinct} wordings occur in one or two patients only"
    return None
