from __future__ import annotations

import numpy as np
import pandas as pd

from monai_hybridsynth.data import RecordField, RecordSchema
from monai_hybridsynth.data.row_texts import row_texts

SCHEMA = RecordSchema(
    [
        RecordField("age", "integer", kind="integer"),
        RecordField("crp", "number", kind="continuous", censored=True),
        RecordField("site", kind="categorical"),
        RecordField("note", role="excluded"),
    ]
)


def table(age, crp, site):
    columns = {"age": pd.array([age], dtype="Int64"), "crp": np.array([crp], float), "site": [site], "note": ["free"]}
    return pd.DataFrame(columns)


def test_equal_values_have_equal_texts():
    first, second = row_texts(SCHEMA, table(60, 0.1 + 0.2, "x")), row_texts(SCHEMA, table(60, 0.3, "x"))
    assert (first == second).all()
    assert (first != row_texts(SCHEMA, table(60, 0.3001, "x"))).sum() == 1


def test_missing_is_empty_limits_are_infinite_and_only_modelled_columns_are_written():
    assert row_texts(SCHEMA, table(None, -np.inf, None)).tolist() == [["", "-inf", ""]]
