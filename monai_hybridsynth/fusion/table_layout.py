"""One latent table split into what is modelled, and put together again: clinical columns, latents, patients."""

from __future__ import annotations

import re
import warnings
from typing import Any

import numpy as np
import pandas as pd

from monai_hybridsynth.data.record_schema import ColumnRules, RecordSchema
from monai_hybridsynth.transforms.column_encoding import CategoryColumn, LabelColumn
from monai_hybridsynth.transforms.record_encoding import RecordEncoder, row_patients

__all__ = ["TableLayout", "latent_columns", "read_latents"]

_LATENT = re.compile(r"latent_\d+")


def latent_columns(table: pd.DataFrame) -> list[str]:
    """Return the names of the latent columns (``latent_000`` ...), in the order of the table."""
    return [name for name in table.columns if isinstance(name, str) and _LATENT.fullmatch(name)]


def read_latents(table: pd.DataFrame) -> np.ndarray:
    """Return the latents of a table, float64 ``(rows, latents)``.

    Raises:
        ValueError: if one is missing or not finite.
    """
    names = latent_columns(table)
    values = table[names].to_numpy(dtype=float)
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        row, column = bad[0]
        raise ValueError(
            f"{len(bad)} latent values are not finite, the first in row {row}, column {names[column]!r}; encode "
            "those images again."
        )
    return values


def learned_rules(schema: RecordSchema, encoder: RecordEncoder) -> ColumnRules:
    """Return the schema's rules between the fitted columns, without categories and labels that were not learned."""
    known: dict[str, tuple[str, ...] | None] = {}
    for column in map(encoder.column, encoder.names):
        known[column.name] = None
        if isinstance(column, LabelColumn):
            known[column.name] = column.labels
        elif isinstance(column, CategoryColumn):
            known[column.name] = column.flats[0].categories
    return schema.rules.within(known)


class TableLayout:
    """The layout of a latent table: which columns come back, in which order and with which dtypes.

    Args:
        encoder: fitted on the clinical columns.
        order: names of the columns to return.
        latent_dtypes: dtype of each latent column.
        rules: between clinical columns; what was not learned is not in them.
    """

    def __init__(
        self, encoder: RecordEncoder, order: list[str], latent_dtypes: dict[str, str], rules: ColumnRules | None = None
    ) -> None:
        self.encoder = encoder
        self.order = list(order)
        self.latent_dtypes = dict(latent_dtypes)
        self.rules = rules or ColumnRules()

    @classmethod
    def fit(
        cls, table: pd.DataFrame, schema: RecordSchema, *, minimum_patients: int
    ) -> tuple[TableLayout, pd.DataFrame, np.ndarray, np.ndarray]:
        """Check a table and learn its layout.

        Returns:
            the layout; the flat clinical columns; the latents, float64 ``(rows, latents)``; one patient identifier per
            row.

        Raises:
            ValueError: if columns are absent, exist twice, or latents are missing or not finite.
        """
        twice = sorted(set(table.columns[table.columns.duplicated()]))
        if twice:
            raise ValueError(f"the table has the columns {twice} twice; keep one of each.")
        latents = latent_columns(table)
        unknown = [
            name for name in table.columns if name not in schema and name not in latents and name != "patient_id"
        ]
        if unknown:
            warnings.warn(f"the schema does not name the columns {unknown}, so they are not modelled.", stacklevel=4)
        patients = row_patients(table, schema)
        encoder = RecordEncoder(schema, minimum_patients=minimum_patients).fit(table, patients)
        values = read_latents(table)
        clinical = set(encoder.names)
        order = [name for name in table.columns if name in clinical or name in latents]
        layout = cls(encoder, order, {name: str(table[name].dtype) for name in latents}, learned_rules(schema, encoder))
        return layout, encoder.flatten(table), values, patients

    @property
    def latent_names(self) -> list[str]:
        """Names of the latent columns."""
        return list(self.latent_dtypes)

    def join(self, flat: pd.DataFrame, latents: np.ndarray) -> pd.DataFrame:
        """Return records from flat clinical columns and latents, in the order and dtypes of the fitted table."""
        clinical = self.encoder.unflatten(flat)
        columns = {name: clinical[name] for name in clinical.columns}
        for index, (name, dtype) in enumerate(self.latent_dtypes.items()):
            columns[name] = pd.Series(latents[:, index].astype(dtype), name=name)
        if not columns:
            return pd.DataFrame(index=range(len(flat)))
        return pd.concat([columns[name] for name in self.order], axis=1)

    def to_dict(self) -> dict[str, Any]:
        """Return the layout as JSON values."""
        written = {"encoder": self.encoder.to_dict(), "order": self.order, "latent_dtypes": self.latent_dtypes}
        return {**written, "rules": self.rules.to_list()} if self.rules else written

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> TableLayout:
        """Rebuild a layout from ``to_dict``."""
        encoder = RecordEncoder.from_dict(content["encoder"])
        separators = {name: getattr(encoder.column(name), "separator", None) for name in encoder.names}
        rules = ColumnRules.from_list(content.get("rules", []), separators)
        return cls(encoder, content["order"], content["latent_dtypes"], rules)
