"""From encodings to cuts: every kind of column, constants left out, and the way through JSON."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

from monai_hybridsynth.data import RecordField, RecordSchema
from monai_hybridsynth.fusion.underlying_table import _labels, read_underlying, underlying_columns
from monai_hybridsynth.transforms import RecordEncoder
from monai_hybridsynth.transforms.published_statistics import patient_weights


def columns_of(table: pd.DataFrame, schema: RecordSchema, ordinal: set[str] = frozenset()) -> list:
    patients = np.arange(len(table)).astype(str)
    encoder = RecordEncoder(schema).fit(table, patients)
    flat = {name: values.to_numpy() for name, values in encoder.flatten(table).items()}
    return underlying_columns(encoder, flat, ordinal=set(ordinal), weights=patient_weights(patients), patients=patients)


def test_every_kind_is_recognised(table, schema):
    columns = {column.name: column for column in columns_of(table, schema)}
    assert {name: column.kind for name, column in columns.items()} == {
        "age": "number",
        "sex": "steps",
        "view": "choice",
        "crp": "number",
        "images_before": "number",
        "findings": "labels",
    }
    assert columns["view"].categories[0] == "PA", "the most frequent category is asked first"
    assert columns["findings"].exclusive == ("No Finding",)
    assert columns["crp"].gap
    assert columns["crp"].above > 0
    assert not columns["age"].gap


def test_ordered_categories_share_one_variable():
    grades = np.array(["I", "II", "III"], dtype=object)[np.random.default_rng(0).integers(3, size=90)]
    grades[:9] = None
    schema = RecordSchema([RecordField("grade", kind="ordinal", enum=("I", "II", "III"))])
    (column,) = columns_of(pd.DataFrame({"grade": grades}), schema, {"grade"})
    assert (column.kind, column.categories, column.size) == ("steps", ("I", "II", "III"), 2)
    assert column.gap


def test_constants_take_no_variable():
    schema = RecordSchema([RecordField("sex", kind="binary"), RecordField("age", "number", kind="continuous")])
    table = pd.DataFrame({"sex": np.array(["F"] * 30, dtype=object), "age": np.full(30, 40.0)})
    assert columns_of(table, schema) == []


def test_columns_survive_json(table, schema):
    for column in columns_of(table, schema):
        again = read_underlying(json.loads(json.dumps(column.to_dict())))
        assert again == column
        z = np.random.default_rng(0).standard_normal((50, column.size))
        for name, values in column.decode(z).items():
            assert values.tolist() == again.decode(z)[name].tolist()


def test_rows_need_a_label_only_where_the_one_they_fall_back_on_is_learned():
    values = pd.Series(["none"] * 60 + ["A"] * 30 + ["B"] * 20, name="x")
    schema = RecordSchema([RecordField("x", kind="multilabel", separator="|", empty_label="none")])
    encoder = RecordEncoder(schema).fit(values.to_frame(), np.arange(len(values)).astype(str))
    column = encoder.column("x")
    assert _labels(column).always_one
    column.fallback = "not learned"
    assert not _labels(column).always_one
