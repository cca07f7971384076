"""Clinical values as text, so that equal rows can be found."""

from __future__ import annotations

import numpy as np
import pandas as pd

from .record_schema import RecordSchema

__all__ = ["row_texts"]


def row_texts(schema: RecordSchema, table: pd.DataFrame) -> np.ndarray:
    """Return clinical values as text ``(rows, columns)``, written the same for equal values; missing is empty."""
    columns = []
    for name in schema.feature_names:
        if schema[name].is_numeric:
            numbers = table[name].astype("float64").to_numpy(dtype=float, na_value=np.nan)
            columns.append(["" if np.isnan(value) else f"{value:.9g}" for value in numbers])
        else:
            columns.append(["" if pd.isna(value) else str(value) for value in table[name]])
    return np.array(columns, dtype=object).reshape(len(columns), len(table)).T
