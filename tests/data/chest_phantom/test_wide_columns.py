"""The wide variant: seventy columns inside their declared limits, tied to the severity."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from monai_hybridsynth.data import draw_rows, phantom_schema
from monai_hybridsynth.data.chest_phantom.wide_columns import WIDE_FLAGS, WIDE_NUMBERS, WIDE_SCALES


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return draw_rows(3000, seed=6, variant="wide")


def test_seventy_clinical_columns(rows):
    assert len(rows.columns) == 72
    assert len(phantom_schema("wide").feature_names) == 70


def test_loadings_leave_room_for_a_records_own_part():
    assert all(number.by_severity**2 + number.by_age**2 < 1 for number in WIDE_NUMBERS.values())


def test_numbers_stay_inside_their_limits_and_are_missing_as_often_as_declared(rows):
    for name, number in WIDE_NUMBERS.items():
        values = rows[name].dropna()
        assert values.between(number.minimum, number.maximum).all(), name
        assert values.nunique() > 3, name
        assert abs(rows[name].isna().mean() - number.missing) < 0.04, name


def test_flags_and_scales_take_every_value(rows):
    for name in WIDE_FLAGS:
        assert set(rows[name].dropna()) == {"no", "yes"}, name
    for name, (levels, _, _) in WIDE_SCALES.items():
        assert set(rows[name].dropna()) == set(levels), name


def test_the_sick_breathe_worse(rows):
    def correlation(first: str, second: str) -> float:
        pair = rows[[first, second]].dropna().rank().to_numpy()
        return float(np.corrcoef(pair.T)[0, 1])

    assert correlation("oxygen_saturation", "respiratory_rate") < -0.2
    assert correlation("lactate", "interleukin_6") > 0.15
    assert correlation("natriuretic_peptide", "age") > 0.35
