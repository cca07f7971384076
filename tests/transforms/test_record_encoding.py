"""Rows to flat columns or vectors and back: what survives, what is made complete, what is never kept."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from monai_hybridsynth.data import RecordField, RecordSchema
from monai_hybridsynth.transforms import RecordEncoder

FIELDS = [
    RecordField("patient_id", role="group"),
    RecordField("age", "number", kind="continuous"),
    RecordField("sex", kind="binary"),
    RecordField("stage", kind="ordinal", enum=("low", "mid", "high")),
    RecordField("crp", "number", kind="continuous", censored=True),
    RecordField("stays", "integer", kind="integer"),
    RecordField("findings", kind="multilabel", separator="|"),
    RecordField("site", kind="categorical"),
]
SCHEMA = RecordSchema(FIELDS)


def make_table(num_rows: int = 200) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    crp = np.round(rng.uniform(1, 50, num_rows), 1)
    crp[::5], crp[1::7], crp[2::11] = np.nan, np.inf, -np.inf
    stays = pd.array(rng.integers(0, 9, num_rows), dtype="Int64")
    stays[::9] = pd.NA
    findings = rng.choice(["No Finding", "Edema", "Edema|Mass", "Mass"], num_rows).astype(object)
    findings[3::13] = None
    table = pd.DataFrame({"patient_id": [f"p{row // 2}" for row in range(num_rows)]})
    table["age"] = rng.integers(20, 80, num_rows).astype(float)
    table["sex"] = pd.Series(rng.choice(["F", "M"], num_rows), dtype=object)
    table["stage"] = pd.Series(rng.choice(["low", "mid", "high"], num_rows), dtype=object)
    table["crp"], table["stays"] = crp, stays
    table["findings"] = pd.Series(findings, dtype=object)
    table["site"] = pd.Series(["north"] * num_rows, dtype=object)
    return table


@pytest.fixture
def table() -> pd.DataFrame:
    return make_table()


def inside(table: pd.DataFrame, encoder: RecordEncoder) -> np.ndarray:
    """Return rows whose numbers lie within the learned ranges, so that nothing is clipped."""
    kept = np.ones(len(table), dtype=bool)
    for flat in encoder.flat_columns:
        if flat.categories is None:
            values = pd.to_numeric(table[flat.name]).astype("Float64").to_numpy(dtype=float, na_value=np.nan)
            kept &= ~np.isfinite(values) | ((values >= flat.lower) & (values <= flat.upper))
    return kept


@pytest.mark.parametrize("column", ["subject", "patient_id"])
def test_patients_are_counted_whatever_the_cohort_calls_them(column):
    """A latent table has them as ``patient_id``, also where the cohort's own column has another name."""
    schema = RecordSchema([RecordField("subject", role="group"), RecordField("site")])
    table = pd.DataFrame({column: [*"abcde", *"fffff"], "site": ["north"] * 5 + ["south"] * 5})
    encoder = RecordEncoder(schema).fit(table)
    assert encoder.column("site").flats[0].categories == ("north",)


def test_flat_columns_are_complete(table):
    flat = RecordEncoder(SCHEMA).fit(table).flatten(table)
    assert not flat.isna().any().any()
    assert np.isfinite(flat.select_dtypes("number")).all().all()
    assert set(flat["crp:state"]) == {"value", "missing", "below", "above"}
    assert set(flat["findings=Edema"]) == {"yes", "no"}
    assert "site" not in flat, "a constant is not modelled"
    assert "age:state" not in flat, "a complete column needs no state"


@pytest.mark.parametrize("way", ["flat", "vectors", "json"])
def test_the_way_back_restores_values_order_and_dtypes(table, way):
    table = table[["stays", "patient_id", *[name for name in table.columns if name not in ("stays", "patient_id")]]]
    encoder = RecordEncoder(SCHEMA).fit(table)
    kept = inside(table, encoder)
    assert kept.mean() > 0.8
    rows = table[kept].reset_index(drop=True)
    if way == "json":
        encoder = RecordEncoder.from_dict(json.loads(json.dumps(encoder.to_dict(), allow_nan=False)))
    back = encoder.inverse(encoder.transform(rows)) if way == "vectors" else encoder.unflatten(encoder.flatten(rows))
    pd.testing.assert_frame_equal(back, rows.drop(columns="patient_id"))


def test_vectors_are_standardised_numbers_and_one_hot_states(table):
    encoder = RecordEncoder(SCHEMA).fit(table)
    vectors = pd.DataFrame(encoder.transform(table), columns=encoder.vector_names)
    assert vectors.to_numpy().dtype == np.float32
    assert vectors["age"].std() == pytest.approx(1.0, abs=0.1)
    assert (vectors[["sex=F", "sex=M"]].sum(axis=1) == 1).all()
    np.testing.assert_array_equal(vectors["crp:state=missing"] == 1, table["crp"].isna())
    np.testing.assert_array_equal(vectors["findings=Mass"] == 1, table["findings"].str.contains("Mass").fillna(False))
    with pytest.raises(ValueError, match="same fitted RecordEncoder"):
        encoder.inverse(np.zeros((2, 3)))


def test_a_category_of_few_patients_is_not_learned(table):
    """Eight rows of four patients are four patients."""
    table.loc[:7, "sex"] = "X"
    encoder = RecordEncoder(SCHEMA, minimum_patients=5).fit(table)
    assert "X" not in json.dumps(encoder.to_dict()["columns"]).replace('"F"', "")
    assert set(encoder.flatten(table)["sex"]) == {"F", "M"}
    assert "X" in set(RecordEncoder(SCHEMA, minimum_patients=4).fit(table).flatten(table)["sex"])


def test_a_rare_category_becomes_missing_where_missing_is_known(table):
    table.loc[20:60, "sex"] = None
    table.loc[0, "sex"] = "X"
    encoder = RecordEncoder(SCHEMA).fit(table)
    assert encoder.unflatten(encoder.flatten(table))["sex"][0] is None


def test_a_column_without_a_shared_value_comes_back_missing(table):
    table["site"] = pd.Series([f"site {number}" for number in range(len(table))], dtype=object)
    with pytest.warns(UserWarning, match="no value of 'site' is shared by 5 patients"):
        encoder = RecordEncoder(SCHEMA).fit(table)
    assert "site 1" not in json.dumps(encoder.to_dict())
    assert encoder.unflatten(encoder.flatten(table))["site"].isna().all()


def test_what_is_kept_does_not_change_with_one_extreme_patient(table):
    before = RecordEncoder(SCHEMA).fit(table).to_dict()
    canary = table.iloc[[0, 1]].assign(patient_id="canary", age=987654.321, crp=np.array([31337.5, 31337.5]))
    canary["findings"] = "Canarylabel"
    after = RecordEncoder(SCHEMA).fit(pd.concat([table, canary], ignore_index=True)).to_dict()
    text = json.dumps(after)
    for trace in ("Canarylabel", "987654", "31337", "canary"):
        assert trace not in text

    def ranges(content):
        return {f["name"]: (f["lower"], f["upper"]) for column in content["columns"] for f in column["flats"]}

    assert ranges(after) == ranges(before)


def test_declared_limits_hold(table):
    narrow = SCHEMA.with_fields(RecordField("age", "number", kind="continuous", minimum=30, maximum=60))
    flat = RecordEncoder(narrow).fit(table).flatten(table)
    assert flat["age"].between(30, 60).all()


def test_an_exclusive_label_stands_alone(table):
    encoder = RecordEncoder(SCHEMA).fit(table)
    flat = encoder.flatten(table.iloc[:3])
    flat["findings:state"] = "value"
    for label, found in (("No Finding", "yes yes no"), ("Edema", "yes no no"), ("Mass", "yes no no")):
        flat[f"findings={label}"] = found.split()
    assert encoder.unflatten(flat)["findings"].tolist() == ["No Finding", "No Finding", "No Finding"]


def test_wrong_tables_are_refused(table):
    with pytest.raises(ValueError, match=r"columns \['age'\] that the table lacks"):
        RecordEncoder(SCHEMA).fit(table.drop(columns="age"))
    with pytest.raises(ValueError, match="no rows"):
        RecordEncoder(SCHEMA).fit(table.iloc[:0])
    with pytest.raises(RuntimeError, match="call fit"):
        RecordEncoder(SCHEMA).flatten(table)
    with pytest.raises(ValueError, match="minimum_patients is 0"):
        RecordEncoder(SCHEMA, minimum_patients=0)
    clash = RecordSchema([RecordField("a", "number", kind="continuous"), RecordField("a:state", kind="binary")])
    rows = pd.DataFrame({"a": np.arange(10.0), "a:state": pd.Series(["x", "y"] * 5, dtype=object)})
    with pytest.raises(ValueError, match="would exist twice"):
        RecordEncoder(clash, minimum_patients=1).fit(rows)


def test_patients_weigh_the_same_in_shares(table):
    """A patient with two hundred images of M must not turn the shares."""
    rows = pd.DataFrame({"sex": pd.Series(["M"] * 200 + ["F"] * 30 + ["M"] * 10, dtype=object)})
    small = RecordSchema([RecordField("sex", kind="binary")])
    encoder = RecordEncoder(small).fit(rows, patients=["one"] * 200 + [f"p{i}" for i in range(40)])
    flat = encoder.flat_columns[0]
    assert dict(zip(flat.categories, flat.shares, strict=True))["F"] == pytest.approx(30 / 41, abs=0.002)
