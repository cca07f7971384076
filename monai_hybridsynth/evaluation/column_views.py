"""Clinical columns of several cohorts as numbers and level indicators, cut the same way for all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from monai_hybridsynth.data import RecordField, RecordSchema
from monai_hybridsynth.evaluation.prediction_targets import label_sets

__all__ = ["ColumnView", "column_views"]

NUM_BINS = 5
MAXIMUM_LEVELS = 20
OTHER = "(other)"


@dataclass(frozen=True)
class ColumnView:
    """One clinical column, ready to be compared between cohorts.

    Attributes:
        field: of the training schema.
        levels: categories, or for numbers the bins; the same for every cohort.
        edges: inner bin edges of a numeric column, quantiles of the training values.
    """

    field: RecordField
    levels: tuple[str, ...]
    edges: tuple[float, ...] = ()

    @property
    def name(self) -> str:
        """The column's name."""
        return self.field.name

    def missing(self, table: pd.DataFrame) -> np.ndarray:
        """Return which values are missing, bool ``(rows,)``."""
        return table[self.name].isna().to_numpy()

    def numbers(self, table: pd.DataFrame) -> np.ndarray:
        """Return a numeric column's values, float64 ``(rows,)``; NaN marks missing."""
        return table[self.name].astype("float64").to_numpy(dtype=float, na_value=np.nan)

    def indicators(self, table: pd.DataFrame) -> np.ndarray:
        """Return levels as 0 / 1, float64 ``(rows, levels)``; a row that misses the column is zero."""
        if self.field.is_numeric:
            values = self.numbers(table)
            codes = np.searchsorted(np.array(self.edges), values, side="right")
            return ((codes[:, None] == np.arange(len(self.levels))) & ~np.isnan(values)[:, None]).astype(float)
        if self.field.kind == "multilabel":
            sets = label_sets(table[self.name], self.field)
            found = [[float(level in labels) if labels else 0.0 for level in self.levels] for labels in sets]
            return np.array(found).reshape(len(table), len(self.levels))
        known = {level: place for place, level in enumerate(self.levels)}
        result = np.zeros((len(table), len(self.levels)))
        for row, value in enumerate(table[self.name]):
            if not pd.isna(value):
                result[row, known.get(str(value), known.get(OTHER, 0))] = 1
        return result


def column_views(schema: RecordSchema, tables: Sequence[pd.DataFrame]) -> list[ColumnView]:
    """Return a view of every modelled column; bins come from the first (training) table, levels from all tables."""
    views = []
    for name in schema.feature_names:
        field = schema[name]
        if field.is_numeric:
            values = tables[0][name].astype("float64").to_numpy(dtype=float, na_value=np.nan)
            known = values[np.isfinite(values)]
            inner = np.linspace(0, 1, NUM_BINS + 1)[1:-1]
            edges = np.unique(np.quantile(known, inner)) if known.size else np.zeros(0)
            levels = tuple(f"bin {place + 1}" for place in range(len(edges) + 1))
            views.append(ColumnView(field, levels, tuple(float(edge) for edge in edges)))
            continue
        counts: dict[str, int] = {}
        for table in tables:
            for value in table[name].dropna():
                for level in str(value).split(field.separator) if field.kind == "multilabel" else [str(value)]:
                    counts[level] = counts.get(level, 0) + 1
        ranked = sorted(counts, key=lambda level: (-counts[level], level))
        if len(ranked) > MAXIMUM_LEVELS and field.kind != "multilabel":
            ranked = [*ranked[: MAXIMUM_LEVELS - 1], OTHER]
        views.append(ColumnView(field, tuple(ranked[:MAXIMUM_LEVELS])))
    return views
