"""Clinical rows to complete columns or vectors, and back, without keeping any one patient's value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from monai_hybridsynth.transforms.column_encoding import (
    CategoryColumn,
    FlatColumn,
    LabelColumn,
    NumericColumn,
    fit_column,
)
from monai_hybridsynth.transforms.published_statistics import patient_weights

if TYPE_CHECKING:
    from monai_hybridsynth.data.record_schema import RecordSchema

__all__ = ["RecordEncoder"]

_KINDS = {kind.__name__: kind for kind in (NumericColumn, CategoryColumn, LabelColumn)}


class RecordEncoder:
    """Encode parsed clinical rows as complete flat columns (for a table model) or vectors (for a network).

    A number becomes a complete number, imputed by the median (a censored one by the end it passed), and, when values
    can be missing or beyond a detection limit, a discrete column ``<name>:state`` with the states ``value``,
    ``missing``, ``below``, ``above``. A multi-label column becomes one yes/no column ``<name>=<label>`` per label. What
    never varies is not in the flat table and is put back on the way out.

    What it keeps may be published: ranges are rounded and stand for several patients, categories, labels and states
    that fewer than ``minimum_patients`` patients have are absent. Such a rare category is encoded as missing when
    missing is known for the column, else as the most frequent category; numbers outside the range are clipped to it.

    Args:
        schema: what the columns are; None only for an encoder that ``from_dict`` fills.
        minimum_patients: patients that must have a category before it is learned. Not stated in a paper: five is the
            usual lower limit of published health tables.

    Example:
        >>> encoder = RecordEncoder(schema).fit(table)
        >>> encoder.unflatten(encoder.flatten(table)).columns.tolist() == schema.feature_names
        True
    """

    def __init__(self, schema: RecordSchema | None, *, minimum_patients: int = 5) -> None:
        if minimum_patients < 1:
            raise ValueError(f"minimum_patients is {minimum_patients}; it must be at least 1.")
        self.schema = schema
        self.minimum_patients = minimum_patients

    def fit(self, table: pd.DataFrame, patients: Sequence | np.ndarray | None = None) -> RecordEncoder:
        """Learn the encoding of every feature and target of the schema.

        Args:
            table: parsed rows; columns that the schema does not model are ignored.
            patients: one patient identifier per row; the schema's group column when None, else every row is a patient.

        Raises:
            ValueError: if the table is empty or lacks a column of the schema.
        """
        if self.schema is None:
            raise RuntimeError("this encoder was made without a schema; pass one to RecordEncoder to fit it.")
        names = list(self.schema.feature_names)
        absent = [name for name in names if name not in table.columns]
        if absent:
            raise ValueError(
                f"the schema names columns {absent} that the table lacks; its columns are {list(table.columns)}."
            )
        if len(table) == 0:
            raise ValueError("the table has no rows; there is nothing to learn an encoding from.")
        patients = row_patients(table, self.schema, patients)
        weights = patient_weights(patients)
        order = [name for name in table.columns if name in set(names)]
        self.columns_ = [
            fit_column(
                table[name],
                self.schema[name],
                patients=patients,
                weights=weights,
                minimum_patients=self.minimum_patients,
            )
            for name in order
        ]
        self._refuse_clashing_names()
        return self

    @property
    def names(self) -> list[str]:
        """Names of the clinical columns, in the order of the table that was fitted."""
        return [column.name for column in self._fitted()]

    @property
    def flat_columns(self) -> list[FlatColumn]:
        """Flat columns that vary, in order."""
        return [flat for column in self._fitted() for flat in column.flats if not flat.is_constant]

    @property
    def vector_names(self) -> list[str]:
        """Names of the vector's components: a number's own name, ``<column>=<category>`` for one-hot entries."""
        names: list[str] = []
        for flat in self.flat_columns:
            if flat.categories is None or flat.categories == ("no", "yes"):
                names.append(flat.name)
            else:
                names.extend(f"{flat.name}={category}" for category in flat.categories)
        return names

    def flatten(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return complete numeric (float64) and discrete (object of str) columns, shape ``(rows, flat columns)``."""
        values: dict[str, np.ndarray] = {}
        for column in self._fitted():
            if column.name not in table.columns:
                raise ValueError(f"the table lacks column {column.name!r}; its columns are {list(table.columns)}.")
            values.update(column.flatten(table[column.name]))
        return pd.DataFrame({flat.name: values[flat.name] for flat in self.flat_columns}, index=range(len(table)))

    def unflatten(self, flat: pd.DataFrame) -> pd.DataFrame:
        """Return parsed values with the columns, order and dtypes of the table that was fitted."""
        values = {name: flat[name].to_numpy() for name in flat.columns}
        restored = []
        for column in self._fitted():
            for part in column.flats:
                if part.is_constant:
                    values[part.name] = np.full(len(flat), part.constant, dtype=object if part.categories else float)
            restored.append(column.unflatten(values))
        return pd.concat(restored, axis=1) if restored else pd.DataFrame(index=range(len(flat)))

    def transform(self, table: pd.DataFrame) -> np.ndarray:
        """Return standardised numbers and one-hot categories, float32, shape ``(rows, len(vector_names))``."""
        flat = self.flatten(table)
        parts: list[np.ndarray] = [np.zeros((len(table), 0))]
        for column in self.flat_columns:
            values = flat[column.name].to_numpy()
            if column.categories is None:
                parts.append((values.astype(float)[:, None] - column.centre) / column.spread)
            elif column.categories == ("no", "yes"):
                parts.append((values == "yes")[:, None])
            else:
                parts.append(values[:, None] == np.array(column.categories, dtype=object)[None, :])
        return np.concatenate(parts, axis=1).astype(np.float32)

    def inverse(self, vectors: np.ndarray) -> pd.DataFrame:
        """Return the rows that vectors ``(rows, vector_names)`` stand for; one-hot parts by their largest entry."""
        vectors = np.asarray(vectors, dtype=float)
        if vectors.ndim != 2 or vectors.shape[1] != len(self.vector_names):
            raise ValueError(
                f"expected vectors of shape (rows, {len(self.vector_names)}), got {vectors.shape}; encode with the "
                "same fitted RecordEncoder."
            )
        flat: dict[str, Any] = {}
        start = 0
        for column in self.flat_columns:
            width = 1 if column.categories is None or column.categories == ("no", "yes") else len(column.categories)
            part = vectors[:, start : start + width]
            start += width
            if column.categories is None:
                flat[column.name] = np.clip(part[:, 0] * column.spread + column.centre, column.lower, column.upper)
            elif width == 1:
                flat[column.name] = np.where(part[:, 0] > 0.5, "yes", "no").astype(object)
            else:
                flat[column.name] = np.array(column.categories, dtype=object)[part.argmax(axis=1)]
        return self.unflatten(pd.DataFrame(flat, index=range(len(vectors))))

    def to_dict(self) -> dict[str, Any]:
        """Return the fitted encoding as JSON values; nothing in it belongs to one patient."""
        columns = [{"encoding": type(column).__name__, **asdict(column)} for column in self._fitted()]
        return {"minimum_patients": self.minimum_patients, "columns": columns}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> RecordEncoder:
        """Rebuild an encoder from ``to_dict``, also after a trip through JSON."""
        encoder = cls(None, minimum_patients=content["minimum_patients"])
        encoder.columns_ = []
        for entry in content["columns"]:
            entry = {name: tuple(value) if name == "exclusive" else value for name, value in entry.items()}
            kind = _KINDS[entry.pop("encoding")]
            flats = [FlatColumn.from_dict(flat) for flat in entry.pop("flats")]
            encoder.columns_.append(kind(flats=flats, **entry))
        return encoder

    def column(self, name: str) -> NumericColumn | CategoryColumn | LabelColumn:
        """Return how one clinical column is encoded."""
        for column in self._fitted():
            if column.name == name:
                return column
        raise KeyError(f"no clinical column {name!r} was fitted; there are {self.names}.")

    def _fitted(self) -> list:
        """Return the fitted columns, or say that fit is missing."""
        if not hasattr(self, "columns_"):
            raise RuntimeError("this encoder is not fitted; call fit(table) first.")
        return self.columns_

    def _refuse_clashing_names(self) -> None:
        """Refuse clinical names that collide with the names of flat columns."""
        names = [flat.name for column in self.columns_ for flat in column.flats]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"the flat columns {twice} would exist twice; rename the clinical columns they come from.")


def row_patients(
    table: pd.DataFrame, schema: RecordSchema, patients: Sequence | np.ndarray | None = None
) -> np.ndarray:
    """Return one patient identifier per row: ``patients``, the patients' column of the table, or the row's own number.

    The column is the schema's group, or ``patient_id``, as it is called in a latent table whatever the cohort calls it.

    Raises:
        ValueError: if ``patients`` has another length than the table.
    """
    if patients is None:
        found = [name for name in (schema.group_name, "patient_id") if name in table.columns]
        patients = table[found[0]].to_numpy() if found else np.arange(len(table))
    patients = np.asarray(patients, dtype=object)
    if len(patients) != len(table):
        raise ValueError(f"patients has {len(patients)} entries but the table has {len(table)} rows.")
    return np.array(
        [f"row {row}" if pd.isna(value) else str(value) for row, value in enumerate(patients)], dtype=object
    )
