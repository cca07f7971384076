"""Guess a schema from a table (first version)."""

from __future__ import annotations

import pandas as pd

from .image_settings import ImageSettings
from .record_field import DEFAULT_MISSING_VALUES, RecordField
from .table_schema import RecordSchema
from .value_parsing import as_text, is_missing

__all__ = ["infer_schema"]


def infer_schema(table: pd.DataFrame) -> RecordSchema:
    fields = []
    for name in table.columns:
        text = as_text(table[name])
        filled = text[~is_missing(text, DEFAULT_MISSING_VALUES)]
        if name == "image":
            fields.append(RecordField("image", role="image"))
        elif name == "patient_id":
            fields.append(RecordField("patient_id", role="group" if len(filled) else "excluded"))
        elif filled.nunique() < 2:
            fields.append(RecordField(name, role="excluded", reason="constant or blank"))
        else:
            numbers = pd.to_numeric(filled.str.replace(r"^(\d{1,3})Y$", r"\1", regex=True), errors="coerce")
            if filled.str.contains("|", regex=False).any():
                labels = sorted({part for value in filled.unique() for part in value.split("|")})
                fields.append(RecordField(name, kind="multilabel", separator="|", enum=tuple(labels)))
            elif filled.nunique() == 2:
                fields.append(RecordField(name, kind="binary", enum=tuple(sorted(filled.unique()))))
            elif numbers.notna().all():
                fields.append(RecordField(name, "number", kind="continuous", unit="a" if "age" in name.lower().split() else None,
                                          censored=bool(filled.str.contains("inf").any())))
            elif filled.nunique() <= 20:
                fields.append(RecordField(name, kind="categorical", enum=tuple(sorted(filled.unique()))))
            else:
                fields.append(RecordField(name, kind="free_text", role="excluded"))
    return RecordSchema(fields, ImageSettings())
