"""The random numbers of the rows."""

from __future__ import annotations

import numpy as np

from monai_hybridsynth.data.chest_phantom.record_draws import RecordDraws, sigmoid


def test_visits_share_their_patients_numbers_and_have_their_own():
    draws = RecordDraws(400, seed=2)
    shared, own = draws.take("patient_normal"), draws.take("visit_normal")
    patients = np.asarray(draws.patient)
    for patient in np.unique(patients):
        assert len(set(shared[patients == patient])) == 1
        assert len(set(own[patients == patient])) == (patients == patient).sum()


def test_columns_are_handed_out_once():
    draws = RecordDraws(50, seed=2)
    assert not np.array_equal(draws.take("visit_uniform"), draws.take("visit_uniform"))


def test_choices_follow_their_log_probabilities():
    draws = RecordDraws(6000, seed=3)
    chosen = draws.choose("visit_uniform", {"rare": np.log(0.1), "often": np.log(0.6), "some": np.log(0.3)})
    shares = [(chosen == name).mean() for name in ("rare", "often", "some")]
    np.testing.assert_allclose(shares, [0.1, 0.6, 0.3], atol=0.025)


def test_choices_may_differ_by_record():
    draws = RecordDraws(200, seed=3)
    first_half = np.arange(200) < 100
    chosen = draws.choose("visit_uniform", {"a": np.where(first_half, 50.0, 0.0), "b": np.where(first_half, 0.0, 50.0)})
    assert set(chosen[:100]) == {"a"}
    assert set(chosen[100:]) == {"b"}


def test_the_global_state_is_untouched():
    before = np.random.get_state(legacy=False)  # noqa: NPY002
    RecordDraws(10, seed=0)
    after = np.random.get_state(legacy=False)  # noqa: NPY002
    assert np.array_equal(before["state"]["key"], after["state"]["key"])
    assert before["state"]["pos"] == after["state"]["pos"]


def test_sigmoid_is_the_logistic_function():
    np.testing.assert_allclose(sigmoid([0.0, np.log(3.0)]), [0.5, 0.75])
