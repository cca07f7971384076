"""Published statistics: right in the bulk, blind to any one patient."""

from __future__ import annotations

import numpy as np
import pytest

from monai_hybridsynth.transforms.published_statistics import (
    patient_folds,
    patient_weights,
    patients_with,
    published_number,
    published_range,
    published_shares,
    weighted_quantile,
)


def test_every_patient_weighs_the_same():
    patients = ["a"] * 20 + ["b"] + ["c"] * 4
    weights = patient_weights(patients)
    totals = {name: weights[np.array(patients) == name].sum() for name in "abc"}
    assert totals == pytest.approx(dict.fromkeys("abc", 25 / 3))


def test_patients_are_counted_not_rows():
    assert patients_with(np.array([True, True, False, True]), np.array(["a", "a", "b", "c"])) == 2


@pytest.mark.parametrize(("value", "rounded"), [(123456.0, 123000.0), (0.0123456, 0.0123), (-9.876, -9.88), (0.0, 0.0)])
def test_numbers_keep_three_digits(value, rounded):
    assert published_number(value) == pytest.approx(rounded, rel=1e-12)


def test_range_covers_all_but_the_few_most_extreme_patients():
    values = np.random.default_rng(0).normal(50, 15, 1000)
    patients = np.arange(1000)
    lower, upper = published_range(values, patients, minimum_patients=5)
    assert 10 <= (values < lower).sum() + 10 <= 20
    assert lower <= np.quantile(values, 0.01)
    assert upper >= np.quantile(values, 0.99)
    assert upper - lower < 1.2 * np.ptp(values)


@pytest.mark.parametrize("extreme", [1e9, -1e9])
def test_one_extreme_patient_moves_an_end_by_one_step_at_most(extreme):
    """The extreme patient may have a hundred images: patients count, not rows."""
    rng = np.random.default_rng(0)
    values, patients = rng.normal(50, 15, 300), [f"p{i}" for i in range(300)]
    without = published_range(values, patients, minimum_patients=5)
    more = published_range(np.append(values, [extreme] * 100), [*patients, *["x"] * 100], minimum_patients=5)
    assert more == pytest.approx(without, abs=5.0), "a third of the interquartile range is 7, the step is 5"


def test_range_does_not_know_how_extreme_a_patient_is():
    values = np.random.default_rng(1).gamma(2, 10, 200)
    ranges = {published_range(np.append(values, x), np.arange(201), minimum_patients=5) for x in (200, 2e3, 2e9)}
    assert len(ranges) == 1


def test_range_is_rounded():
    for value in published_range(
        np.random.default_rng(0).normal(37.0, 0.6123, 400), np.arange(400), minimum_patients=5
    ):
        assert round(value, 1) == value


def test_range_of_few_patients_is_not_the_range_of_their_values():
    values = np.array([1.2345, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 98.7654])
    lower, upper = published_range(values, np.arange(10), minimum_patients=5)
    assert lower > 1.2345
    assert upper < 98.7654
    with pytest.raises(ValueError, match="values is empty"):
        published_range(values[:0], np.arange(0), minimum_patients=5)


def test_shares_sum_to_one_and_are_rounded():
    shares = published_shares(np.array([700.0, 299.3, 0.7]))
    assert sum(shares) == pytest.approx(1.0)
    assert shares[0] == pytest.approx(0.7, abs=1e-3)
    assert all(round(share, 4) == share for share in shares)
    assert min(shares) > 0


def test_weighted_quantile_is_the_quantile_of_repeated_values():
    values, weights = np.array([3.0, 1.0, 2.0]), np.array([1.0, 2.0, 4.0])
    repeated = np.repeat(values, weights.astype(int))
    for level in (0.1, 0.25, 0.5, 0.75, 0.95):
        assert weighted_quantile(values, weights, level) == np.quantile(repeated, level, method="inverted_cdf")


def test_folds_keep_patients_together_and_are_of_equal_size():
    patients = np.repeat(np.arange(23), np.arange(23) % 3 + 1)
    folds = patient_folds(patients, 5, seed=0)
    assert all(len(set(folds[patients == patient])) == 1 for patient in range(23))
    first = np.unique(patients, return_index=True)[1]
    assert sorted(np.bincount(folds[first])) == [4, 4, 5, 5, 5]
    assert np.array_equal(folds, patient_folds(patients.astype(str), 5, seed=0))
    rng = np.random.default_rng(0)
    deals = [patient_folds(patients, 5, seed=rng) for _ in range(2)]
    assert np.array_equal(deals[0], folds)
    assert not np.array_equal(deals[1], folds), "a generator goes on"
    assert set(patient_folds(["a", "b"], 5, seed=0)) == {0, 1}
