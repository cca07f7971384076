"""The part of a schema that may leave the house together with a fitted synthesizer."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import pandas as pd

from monai_hybridsynth.data import RecordField, RecordSchema
from monai_hybridsynth.transforms.record_encoding import row_patients

__all__ = ["published_schema", "set_aside"]


def set_aside(schema: RecordSchema) -> list[dict[str, str]]:
    """Return the columns that were not modelled, by name and role: what a synthetic cohort's manifest says it lacks."""
    return [
        {"column": entry.name, "role": entry.role}
        for entry in schema.fields
        if entry.role in ("identifier", "excluded", "group")
    ]


def published_schema(schema: RecordSchema, table: pd.DataFrame | None, *, minimum_patients: int = 5) -> RecordSchema:
    """Return the modelled fields without anything that a few patients alone brought in.

    Args:
        schema: of the private cohort.
        table: its parsed rows, with their patients (`row_patients`). None for a schema that was declared without a look
            at patients, as differential privacy asks for: all its categories stay, since what occurs is not public.
        minimum_patients: a category or label that fewer patients have is dropped from its ``enum``.

    Returns:
        the image field and the modelled fields, in order: no identifiers, no excluded columns, no reasons (they quote
        the data), no derivations (their sources stay behind), no typical ranges (in a small cohort one patient sets
        them). Declared limits and units stay, and the rules between these columns do, without the dropped categories.
    """
    patients = None if table is None else row_patients(table, schema)
    fields = [RecordField("image", role="image")]
    known: dict[str, Collection[str] | None] = {}
    for name in schema.feature_names:
        entry = schema[name]
        known[name] = enum = entry.enum
        if table is not None and not entry.is_numeric:
            labels = table[name].str.split(entry.separator, regex=False) if entry.separator else table[name]
            pairs = pd.DataFrame({"value": labels, "patient": patients}).explode("value").drop_duplicates()
            counts = pairs["value"].value_counts()
            frequent = list(counts.index[counts >= minimum_patients])
            enum = None if enum is None else tuple(value for value in enum if value in frequent) or None
            known[name] = frequent
        blank = entry.blank_means if enum and entry.blank_means in enum else None
        fields.append(replace(entry, enum=enum, blank_means=blank, typical_range=None, derive=None, reason=""))
    return RecordSchema(fields, schema.image, schema.rules.within(known))
