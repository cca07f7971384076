from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import r2_score

from monai_hybridsynth.metrics import supplement_weight, utility_ratio, utility_ratio_estimate, weighted_r2


def test_the_published_pair_of_areas():
    assert float(utility_ratio(0.74, 0.83)) == pytest.approx(0.24 / 0.33)
    assert np.isnan(utility_ratio(0.7, 0.5))
    assert float(utility_ratio(0.1, 0.4, chance=0.0)) == pytest.approx(0.25)


def test_no_gain_of_real_training_is_not_estimable():
    rng = np.random.default_rng(0)
    found = utility_ratio_estimate(0.6, 0.52, tuple(0.52 + 0.05 * rng.normal(size=(2, 200))), num_groups=40)
    assert found.value is None
    assert "gains 0.020 over chance" in found.note


def test_the_interval_is_paired():
    luck = 0.03 * np.random.default_rng(0).normal(size=300)
    found = utility_ratio_estimate(0.8, 0.8, (0.8 + luck, 0.8 + luck), num_groups=100)
    assert (found.value, found.low, found.high) == (1.0, pytest.approx(1.0), pytest.approx(1.0))


def test_explained_variance_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    values = rng.normal(50, 10, 30)
    predictions, weights = values + rng.normal(0, 5, 30), rng.integers(0, 3, (2, 30)).astype(float)
    expected = [r2_score(values, predictions, sample_weight=row) for row in weights]
    assert weighted_r2(predictions, values, weights).tolist() == pytest.approx(expected)
    assert float(weighted_r2(np.full(30, values.mean()), values)) == pytest.approx(0)
    assert np.isnan(weighted_r2(np.zeros(3), np.ones(3)))


def test_records_weigh_no_more_than_the_patients_together():
    for patients, records in ((480, 2400), (40, 40), (40, 10)):
        weight = supplement_weight(patients, records)
        assert weight * records == pytest.approx(min(patients, records))
    assert supplement_weight(10, 0) == 1
