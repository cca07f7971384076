"""Guess a schema from a table, with a reason for every choice, to be edited by a person."""

from __future__ import annotations

import re
from dataclasses import replace

import pandas as pd

from .column_evidence import ColumnEvidence, TableEvidence, name_words
from .exclusion_rules import (
    acquisition_reason,
    ambiguous_number_reason,
    date_reason,
    empty_reason,
    free_text_reason,
    timing_reason,
)
from .identifier_rules import identifier_reason
from .image_settings import ImageSettings
from .kind_inference import AFFIRMATIVE, infer_field
from .record_field import LATENT_PREFIX, RecordField
from .table_schema import RecordSchema
from .value_parsing import as_text, is_missing

__all__ = ["infer_image_settings", "infer_schema"]

_HEAD_CT_WORDS = {
    "haemorrhage",
    "hemorrhage",
    "intraventricular",
    "intraparenchymal",
    "subarachnoid",
    "subdural",
    "epidural",
}
_VOLUME_SUFFIXES = (".dcm", ".dicom", ".nii", ".nii.gz")


def infer_schema(table: pd.DataFrame, *, modality: str | None = None) -> RecordSchema:
    """Return a schema for a table, guessed from its values; each field says why.

    Blank and constant columns, identifiers (also disguised ones), dates, scanner settings and free text are set aside
    and never modelled. Limits are those of known quantities, such as 0 to 120 years, never values seen.

    Args:
        table: raw values, one row per image; columns ``image`` and ``patient_id`` where there are any.
        modality: ``cxr`` or ``head_ct``; guessed from the column names when None, ``cxr`` unless they speak of
            intracranial haemorrhage or CT.

    Raises:
        ValueError: if two columns share a name.
    """
    names = [str(name) for name in table.columns]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"the table has more than one column named {repeated}; rename or remove one of each.")
    evidence = TableEvidence(*(_present_text(table, name) for name in ("image", "patient_id")))
    full_names = _unsplit_names(names)
    columns = [
        ColumnEvidence(name, table[key], evidence, full_names.get(name))
        for name, key in zip(names, table.columns, strict=True)
    ]
    fields = [_field(column, names) for column in columns]
    return RecordSchema(fields, infer_image_settings(table, modality=modality))


def _field(column: ColumnEvidence, names: list[str]) -> RecordField:
    """Return the field of one column: the first rule that speaks decides."""
    name = column.name
    if name.startswith(LATENT_PREFIX):
        return RecordField(name, "number", kind="continuous", role="excluded", reason="named like an image latent")
    if name == "image":
        return RecordField(name, role="image", required=True, reason="the image's path inside the cohort folder")
    if name == "patient_id" and column.num_filled:
        return RecordField(
            name, role="group", required=True, reason="the patient; used to split and weight, never modelled"
        )
    if name == "split" and set(column.counts.index) <= {"train", "holdout"} and column.num_filled:
        return RecordField(name, role="excluded", reason="a given split; prepare uses it instead of drawing one")
    ticked = column.num_distinct == 1 and column.num_filled < column.num_rows
    if (
        ticked
        and str(column.counts.index[0]).removesuffix(".0").casefold() in AFFIRMATIVE
        and _acquisition(column) is None
    ):
        return infer_field(column)
    for role, reason in (
        ("excluded", empty_reason(column)),
        ("excluded", date_reason(column)),
        ("excluded", ambiguous_number_reason(column)),
        ("identifier", identifier_reason(column) if column.num_filled else None),
    ):
        if reason:
            return RecordField(name, role=role, reason=reason)
    aside = _acquisition(column) or timing_reason(column, names)
    if aside:
        # Its kind stays, so that a person need only change the role; its values do not.
        return replace(
            infer_field(column), role="excluded", enum=None, blank_means=None, typical_range=None, reason=aside
        )
    field = infer_field(column)
    prose = free_text_reason(column) if field.kind == "categorical" else None
    return RecordField(name, kind="free_text", role="excluded", reason=prose) if prose else field


def _acquisition(column: ColumnEvidence) -> str | None:
    return acquisition_reason(column) if column.num_filled else None


def _present_text(table: pd.DataFrame, name: str) -> pd.Series | None:
    if name not in table.columns:
        return None
    text = as_text(table[name])
    return None if is_missing(text, ("",)).all() else text


def _unsplit_names(names: list[str]) -> dict[str, str]:
    """Return whole names where a header such as ``Size[x,y]`` was cut at its comma into ``Size[x`` and ``y]``."""
    whole: dict[str, str] = {}
    for opening, closing in zip(names, names[1:], strict=False):
        if re.search(r"\[[^\]]*$", opening) and re.match(r"^[^\[]*\]", closing):
            whole[opening] = whole[closing] = f"{opening},{closing}"
    return whole


def infer_image_settings(table: pd.DataFrame, *, modality: str | None = None) -> ImageSettings:
    """Return image settings by modality and by file format: DICOM and NIfTI hold Hounsfield units, pictures do not."""
    if modality is None:
        words = {word for name in table.columns for word in name_words(str(name))}
        modality = "head_ct" if words & _HEAD_CT_WORDS else "cxr"
        for name in table.columns:
            if str(name).lower() == "modality" and len(table) and (as_text(table[name]).dropna() == "CT").mean() > 0.5:
                modality = "head_ct"
    images = _present_text(table, "image")
    share = 0.0 if images is None else images.fillna("").str.lower().str.endswith(_VOLUME_SUFFIXES).mean()
    return ImageSettings.for_modality(modality, hounsfield=bool(share > 0.5))
