"""From clinical columns to what a predictor predicts: one outcome per column, category or label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from monai_hybridsynth.data import RecordField, RecordSchema

__all__ = ["PredictionTarget", "label_sets", "ordered_scale", "prediction_targets", "target_matrix"]

# A column with more levels than this is judged on its most frequent ones; the rest are too rare for an interval.
MAXIMUM_LEVELS = 20
NEGATIVE_LEVELS = ("no", "0", "false", "negative", "none", "absent")


@dataclass(frozen=True)
class PredictionTarget:
    """One outcome that a predictor can be trained on.

    Attributes:
        column: the clinical column it belongs to.
        label: the category or label that counts as positive; None for numbers and ordered categories.
        field: the column's field in the schema.
    """

    column: str
    label: str | None
    field: RecordField

    @property
    def is_binary(self) -> bool:
        """Whether the outcome is yes or no."""
        return self.label is not None

    def values(self, table: pd.DataFrame) -> np.ndarray:
        """Return 0 / 1, numbers or ranks of ordered categories, float64 ``(rows,)``; NaN marks missing."""
        column = table[self.column]
        if self.label is None:
            if self.field.is_numeric:
                return column.astype("float64").to_numpy(dtype=float, na_value=np.nan)
            order = {level: float(rank) for rank, level in enumerate(self.field.enum or ())}
            return np.array([order.get(value, np.nan) for value in column], dtype=float)
        if self.field.kind == "multilabel":
            return np.array([np.nan if s is None else float(self.label in s) for s in label_sets(column, self.field)])
        return np.array([np.nan if pd.isna(value) else float(str(value) == self.label) for value in column])


def label_sets(column: pd.Series, field: RecordField) -> list[set[str] | None]:
    """Return the labels of each row of a multi-label column; None where the column is missing."""
    return [None if pd.isna(value) else set(str(value).split(field.separator)) for value in column]


def prediction_targets(schema: RecordSchema, columns: Sequence[str], train: pd.DataFrame) -> list[PredictionTarget]:
    """Return the outcomes of the given columns, levels as found in the training table.

    A column with two categories gives one outcome (the positive one of yes and no, else the rarer); more categories and
    multi-label columns give one outcome per category or label; numbers and ordered categories give themselves.
    """
    result = []
    for name in columns:
        field = schema[name]
        if field.is_numeric or (field.kind == "ordinal" and field.enum and len(field.enum) > 2):
            result.append(PredictionTarget(name, None, field))
            continue
        if field.kind == "multilabel":
            found = [label for labels in label_sets(train[name], field) if labels for label in labels]
        else:
            found = [str(value) for value in train[name] if not pd.isna(value)]
        counts = pd.Series(found, dtype=object).value_counts(sort=True)
        levels = [str(level) for level in counts.index]
        if field.kind != "multilabel" and len(levels) == 2:
            positive = [level for level in levels if level.lower() not in NEGATIVE_LEVELS]
            levels = positive if len(positive) == 1 else levels[1:]
        result += [PredictionTarget(name, level, field) for level in sorted(levels[:MAXIMUM_LEVELS])]
    return result


def target_matrix(targets: Sequence[PredictionTarget], table: pd.DataFrame) -> np.ndarray:
    """Return the outcomes side by side, float64 ``(rows, targets)``; NaN marks missing."""
    if not targets:
        return np.zeros((len(table), 0))
    return np.column_stack([target.values(table) for target in targets])


def ordered_scale(values: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return each number's place among reference numbers, from 0 to 1; NaN stays NaN.

    Makes skewed and censored columns fit for least squares: infinite values land at the ends, outliers do not pull.
    """
    known = np.sort(reference[~np.isnan(reference)])
    if not known.size:
        return np.full(len(values), np.nan)
    place = (
        0.5 * (np.searchsorted(known, values, side="left") + np.searchsorted(known, values, side="right")) / known.size
    )
    return np.where(np.isnan(values), np.nan, place)
