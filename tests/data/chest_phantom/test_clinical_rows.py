"""The phantom's rows: shape of the paper, determinism, correlations, missingness."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from monai_hybridsynth.data import draw_rows

CATEGORICAL = ["sex", "view", "opacity_side", "device", "smoker", "comorbidity", "outcome"]
NUMERIC = ["age", "cardiothoracic_ratio", "effusion_ml", "bmi", "crp", "ldh"]


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return draw_rows(6000, seed=4)


def rank_correlation(first, second) -> float:
    pair = pd.DataFrame({"first": first, "second": second}).dropna().astype(float).rank()
    return float(np.corrcoef(pair.to_numpy().T)[0, 1])


def test_paper_variant_has_seven_categories_and_six_numbers(rows):
    assert list(rows.columns) == ["image", "patient_id", *CATEGORICAL, *NUMERIC]
    assert all(rows[name].dtype == object for name in CATEGORICAL)
    assert all(pd.api.types.is_numeric_dtype(rows[name]) for name in NUMERIC)


@pytest.mark.parametrize(("variant", "columns"), [("paper", 13), ("wide", 70), ("two_site", 14), ("findings", 13)])
def test_a_longer_cohort_begins_with_the_shorter_one(variant, columns):
    short, long = draw_rows(37, seed=8, variant=variant), draw_rows(90, seed=8, variant=variant)
    assert len(short.columns) == 2 + columns
    pd.testing.assert_frame_equal(long.iloc[:37], short)


def test_another_seed_gives_other_patients(rows):
    other = draw_rows(300, seed=5)
    assert not set(other["patient_id"]) & set(rows["patient_id"])
    assert (other["age"].to_numpy() != rows["age"].to_numpy()[:300]).mean() > 0.9


def test_about_an_eighth_die_and_an_outcome_belongs_to_the_patient(rows):
    died = rows["outcome"] == "yes"
    assert 0.11 < died.mean() < 0.15
    assert died.groupby(rows["patient_id"]).nunique().max() == 1


def test_some_patients_have_several_images_and_keep_what_is_theirs(rows):
    groups = rows.groupby("patient_id")
    counts = groups.size()
    assert counts.max() == 6
    assert 0.2 < (counts > 1).mean() < 0.4
    assert (groups[["sex", "age", "bmi", "smoker"]].nunique() <= 1).all(axis=None)
    assert groups["effusion_ml"].nunique().max() > 1


def test_columns_hang_together(rows):
    died = rows["outcome"] == "yes"
    opaque = rows["opacity_side"] != "none"
    assert rank_correlation(rows["age"], died) > 0.12
    assert rank_correlation(rows["crp"], died) > 0.15
    assert rank_correlation(rows["crp"], rows["ldh"]) > 0.4
    assert rank_correlation(rows["ldh"], opaque) > 0.3
    assert rank_correlation(rows["effusion_ml"], died) > 0.1
    bedside = rows["view"] == "AP"
    assert rows.loc[bedside, "cardiothoracic_ratio"].mean() > rows.loc[~bedside, "cardiothoracic_ratio"].mean() + 0.03
    assert set(rows.loc[rows["device"] == "tube", "view"]) == {"AP", "PA"}
    assert (rows.loc[rows["device"] == "tube", "view"] == "AP").mean() > 0.7
    assert rank_correlation(rows["bmi"], rows["smoker"] == "current") < 0.1


def test_values_are_missing_or_below_the_detection_limit_as_in_a_hospital(rows):
    missing = rows.isna().mean()
    assert 0.18 < missing["ldh"] < 0.26
    assert 0.03 < missing["crp"] < 0.09
    assert not missing[["sex", "view", "opacity_side", "device", "outcome"]].any()
    below = rows["crp"] == -np.inf
    assert 0.01 < below.mean() < 0.12
    assert rows.loc[~below, "crp"].min() >= 3.0


def test_sites_differ_in_prevalence():
    rows = draw_rows(6000, seed=4, variant="two_site")
    died = (rows["outcome"] == "yes").groupby(rows["site"]).mean()
    assert set(died.index) == {"north", "south"}
    assert died["south"] > died["north"] + 0.02
    assert rows.groupby("patient_id")["site"].nunique().max() == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_records": 0, "seed": 1}, "num_records must be at least 1, got 0"),
        ({"num_records": 3, "seed": -1}, "seed must not be negative, got -1"),
        ({"num_records": 3, "seed": 1, "variant": "papr"}, "'papr' is unknown"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        draw_rows(**arguments)
