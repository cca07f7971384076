"""The findings column: spelling, consistency with the numbers beside it, prevalence."""

from __future__ import annotations

import pandas as pd
import pytest

from monai_hybridsynth.data import draw_rows
from monai_hybridsynth.data.chest_phantom import FINDINGS


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return draw_rows(4000, seed=6, variant="findings")


def test_labels_are_the_fourteen_in_alphabetical_order(rows):
    assert len(FINDINGS) == 14
    for value in rows["findings"]:
        labels = value.split("|")
        assert labels == ["No Finding"] or (set(labels) <= set(FINDINGS) and labels == sorted(set(labels)))


def test_every_finding_occurs_and_a_third_has_none(rows):
    counts = rows["findings"].str.get_dummies("|").mean()
    assert set(counts.index) == {"No Finding", *FINDINGS}
    assert 0.25 < counts["No Finding"] < 0.5
    assert counts.min() > 0.004


def test_labels_agree_with_the_numbers(rows):
    effusion = rows["findings"].str.contains("Effusion")
    known = rows["effusion_ml"].notna()
    assert (effusion[known] == (rows.loc[known, "effusion_ml"] > 0)).all()
    large = rows["findings"].str.contains("Cardiomegaly")
    known = rows["cardiothoracic_ratio"].notna()
    assert (large[known] == (rows.loc[known, "cardiothoracic_ratio"] > 0.55)).mean() > 0.995


def test_lung_disease_goes_with_emphysema(rows):
    chronic = rows["comorbidity"] == "copd"
    emphysema = rows["findings"].str.contains("Emphysema")
    assert emphysema[chronic].mean() > 3 * emphysema[~chronic].mean()
