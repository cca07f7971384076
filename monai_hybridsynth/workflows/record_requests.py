"""What is asked of a synthesizer: how many records, and which of their columns are fixed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from torch.utils.data import Dataset

from monai_hybridsynth.data import RecordSchema
from monai_hybridsynth.fusion import Conditions, RecordSynthesizer, latent_columns
from monai_hybridsynth.fusion.conditioning import conditions_table, refuse_beside_exclusive, whole_number

from .balanced_column import BalancedColumn

__all__ = ["RecordRequests"]


class RecordRequests(Dataset):
    """The records to draw, one item each: the values that are fixed for it, empty when all are free.

    Args:
        num_records: how many; None takes one per row of ``conditions``.
        schema: parses the fixed values, so that "060Y" and 60 ask for the same age.
        conditions: one mapping for all records, e.g. ``{"sex": "F"}``; or a table with a row per record, as a frame or
            as the path of a CSV or Parquet file. ``latent_*`` columns may be fixed too.
        balance: a column of which all categories shall be as frequent, or ``column=label``, see `BalancedColumn`.

    Raises:
        ValueError: if a fixed or balanced column is not modelled, a column is both, or the table has another number of
            rows, or a label is asked for beside the one that stands for none.
        TypeError: if ``num_records`` is no whole number, or ``conditions`` neither a mapping nor a table.
        CohortError: if a fixed value does not fit the schema, or fixed values break a rule between columns.
    """

    def __init__(
        self,
        num_records: int | None,
        schema: RecordSchema,
        *,
        conditions: Mapping[str, Any] | pd.DataFrame | str | Path | None = None,
        balance: str | None = None,
    ) -> None:
        if isinstance(conditions, str | Path):
            conditions = _read_table(Path(conditions))
        self.table: pd.DataFrame | None = None
        self.mapping: dict[str, Any] | None = None
        if isinstance(conditions, pd.DataFrame):
            self.table = _parse(conditions_table(conditions), schema)
            num_records = len(self.table) if num_records is None else num_records
            if len(self.table) != num_records:
                raise ValueError(f"conditions has {len(self.table)} rows for {num_records} records; give one row each.")
        elif conditions:
            row = _parse(conditions_table(conditions), schema)
            self.mapping = {str(name): row[name].iloc[0] for name in row.columns}
        if num_records is None:
            raise ValueError("num_records is None; give a positive number, or a table of conditions.")
        self.num_records = whole_number("num_records", num_records, least=1)
        self.balance = None if balance is None else BalancedColumn(balance, schema)
        if self.balance is not None and self.table is not None:
            raise ValueError(
                f"balance is {balance!r} beside a table of conditions; write the categories into the table."
            )
        if self.balance is not None and self.balance.field.name in self.fixed_columns:
            raise ValueError(f"balance is {balance!r}, but conditions fix that column; do one of both.")

    def __len__(self) -> int:
        return self.num_records

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < self.num_records:
            raise IndexError(f"record {index} of {self.num_records}")
        if self.table is None:
            asked = {} if self.balance is None else self.balance.asked(index, 1).iloc[0].to_dict()
            return (self.mapping or {}) | {str(name): value for name, value in asked.items()}
        return {str(name): value for name, value in self.table.iloc[index].items()}

    @property
    def fixed_columns(self) -> list[str]:
        """The columns that are fixed, in the order given."""
        return list(self.mapping or {}) if self.table is None else list(self.table.columns)

    def block(self, start: int, size: int) -> dict[str, Any] | pd.DataFrame | None:
        """Return the conditions of ``size`` records from ``start``; a table starts again after its last row."""
        if self.balance is not None:
            fixed = {name: [value] * size for name, value in (self.mapping or {}).items()}
            return pd.concat([pd.DataFrame(fixed, dtype=object), self.balance.asked(start, size)], axis=1)
        if self.table is None:
            return self.mapping
        rows = [(start + offset) % self.num_records for offset in range(size)]
        return self.table.iloc[rows].reset_index(drop=True)

    def draw(
        self, synthesizer: RecordSynthesizer, num_records: int, *, conditions: Conditions | None, seed: int
    ) -> pd.DataFrame:
        """Draw records given conditions that ``block`` returned, or some rows of them."""
        if self.balance is not None and isinstance(conditions, pd.DataFrame):
            return self.balance.draw(synthesizer, num_records, conditions=conditions, seed=seed)
        return synthesizer.sample(num_records, conditions=conditions, seed=seed)

    def describe(self) -> Any:
        """Return the conditions as JSON values; a table as its CSV text."""
        if self.table is not None:
            return self.table.to_csv(index=False)
        return {name: None if pd.isna(value) else str(value) for name, value in (self.mapping or {}).items()}


def _read_table(path: Path) -> pd.DataFrame:
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    return pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")


def _parse(table: pd.DataFrame, schema: RecordSchema) -> pd.DataFrame:
    """Return typed conditions, clinical columns first; the schema says what each may hold."""
    latents = latent_columns(table)
    clinical = [name for name in table.columns if name not in latents]
    unknown = [name for name in clinical if name not in schema.feature_names]
    if unknown:
        raise ValueError(f"conditions fix {unknown}, which are not modelled; the columns are {schema.feature_names}.")
    fields = [replace(schema[name], on_invalid="error") for name in clinical]
    rules = [rule.to_dict() for _, rule in schema.rules.among(clinical)]
    parsed = RecordSchema(fields, schema.image, rules).parse(table[clinical]) if clinical else table[[]]
    for field in fields:
        if field.separator and field.empty_label is not None:
            refuse_beside_exclusive(field.name, parsed[field.name], field.separator, [field.empty_label])
    return pd.concat([parsed, table[latents].astype("float32")], axis=1).reset_index(drop=True)
