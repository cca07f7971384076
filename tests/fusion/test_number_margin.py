"""Quantiles of a number: close to the data, steps kept, and no patient in them."""

from __future__ import annotations

import numpy as np
import pytest

from monai_hybridsynth.fusion.number_margin import NumberMargin


def margin_of(values: np.ndarray, lower: float, upper: float, *, minimum_patients: int = 5) -> NumberMargin:
    return NumberMargin.fit(
        values,
        weights=np.ones(len(values)),
        patients=np.arange(len(values)),
        lower=lower,
        upper=upper,
        minimum_patients=minimum_patients,
    )


def test_quantiles_are_those_of_the_data():
    values = np.random.default_rng(0).gamma(2.0, 10.0, 600)
    margin = margin_of(values, 0.0, 100.0)
    for level in np.linspace(0.05, 0.95, 19):
        assert np.mean(values <= margin.quantile(level)) == pytest.approx(level, abs=0.02)


def test_a_value_that_many_share_is_a_step():
    rng = np.random.default_rng(0)
    values = np.where(rng.random(500) < 0.4, 0.0, rng.gamma(2.0, 50.0, 500).clip(0, 300))
    margin = margin_of(values, 0.0, 300.0)
    low, high = margin.interval(np.array([0.0, 60.0]))
    assert high[0] - low[0] == pytest.approx(np.mean(values == 0), abs=0.001)
    assert low[1] == high[1] == pytest.approx(np.mean(values <= 60), abs=0.02)
    drawn = margin.quantile(rng.random(5000))
    assert np.mean(drawn == 0) == pytest.approx(np.mean(values == 0), abs=0.03)


def test_steps_alone_keep_their_shares():
    values = np.repeat([0.0, 1.0, 2.0, 5.0], [40, 30, 20, 10])
    margin = margin_of(values, 0.0, 5.0)
    drawn = margin.quantile(np.linspace(0.0005, 0.9995, 1000))
    assert [round(float(np.mean(drawn == value)), 2) for value in (0, 1, 2, 5)] == [0.4, 0.3, 0.2, 0.1]


def test_one_patient_moves_no_knot_by_more_than_a_rank_or_so():
    values = np.random.default_rng(0).normal(50, 10, 400)
    whole, without = margin_of(values, 20.0, 80.0), margin_of(values[1:], 20.0, 80.0)
    levels = np.linspace(0.05, 0.95, 50)
    assert np.abs(whole.quantile(levels) - without.quantile(levels)).max() < 0.6
    assert not {float(value) for value in values} & set(whole.values)


@pytest.mark.parametrize("count", [0, 1, 3, 7])
def test_few_values_give_the_range(count):
    margin = margin_of(np.arange(count, dtype=float), 0.0, 8.0)
    assert (np.diff(margin.levels) >= 0).all()
    assert (np.diff(margin.values) >= 0).all()
    assert 0 <= margin.quantile(np.array([0.5]))[0] <= 8
    low, high = margin.interval(np.array([4.0]))
    assert (low <= high).all()
