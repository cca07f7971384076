from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from monai_hybridsynth.data import split_patients
from monai_hybridsynth.data.patient_split import target_classes
from monai_hybridsynth.evaluation.table_draws import table_draws


def test_both_sides_have_one_size(judged):
    draws = table_draws(judged("train", 80, 1), judged("holdout", 30, 2), judged("synthetic", 200, 3), seed=0)
    assert draws.size == 30
    assert (draws.synthetic[: draws.num_draws].sum(1) == 30).all()
    assert (draws.synthetic[draws.num_draws :].sum(1) == 30).all()
    assert set(draws.synthetic[0]) == {0, 1}
    assert draws.synthetic[:6].sum(0).max() == 1, "draws use other records while there are any"
    assert np.allclose(draws.real.sum(1), 40), "every patient of two rows weighs one"


def test_equal_cohorts_need_one_draw_and_give_the_plain_statistic(judged):
    sides = judged("train", 80, 1), judged("holdout", 50, 2), judged("synthetic", 50, 3)
    draws = table_draws(*sides, seed=0)
    assert draws.num_draws == 1

    def gap(first, second, *weights):
        means = [w @ table["age"] / w.sum(1) for w, table in zip(weights, (first, second), strict=True)]
        return means[1] - means[0]

    found = draws.compare(gap)
    assert found.value == pytest.approx(sides[2].table["age"].mean() - sides[0].table["age"].mean())
    assert found.floor == pytest.approx(sides[1].table["age"].mean() - sides[0].table["age"].mean())
    expected = np.sqrt(sides[2].table["age"].var() / 50 + sides[0].table["age"].var() / 80)
    assert found.replicates.std() == pytest.approx(expected, rel=0.25)
    estimate = found.estimate("", bounds=(-np.inf, np.inf))
    assert estimate.low < found.value < estimate.high


def test_an_undefined_statistic_is_absent(judged):
    draws = table_draws(judged("train", 20, 1), judged("holdout", 10, 2), judged("synthetic", 10, 3), seed=0)
    found = draws.compare(lambda first, second, *weights: np.full(len(weights[0]), np.nan))
    assert found.estimate("").value is None


def stratified_sides(judged, seed):
    """Return patients of one row each, split by the targets, and the training patients drawn again as records."""
    whole = judged("train", 160, seed)
    whole = replace(whole, groups=np.arange(160).astype(str).astype(object))
    sides = split_patients(whole.groups, target_classes(whole.table, whole.cohort.schema), seed=seed)
    train, holdout = (whole.subset(np.flatnonzero(sides == name)) for name in ("train", "holdout"))
    again = train.subset(np.tile(np.arange(len(train)), 5))
    return train, holdout, replace(again, role="synthetic", groups=np.arange(len(again)).astype(str).astype(object))


def test_where_the_split_is_stratified_synthetic_records_are_dealt_like_held_out_patients(judged):
    train, holdout, synthetic = stratified_sides(judged, 0)
    draws = table_draws(train, holdout, synthetic, seed=0, stratified=True)
    assert draws.stratified
    assert "dealt by the targets" in draws.describe()
    first = draws.synthetic[: draws.num_draws]
    assert (first.sum(axis=1) == holdout.num_groups).all()
    classes = target_classes(synthetic.table, synthetic.cohort.schema).to_numpy()
    assert np.abs(first @ classes - classes.mean(axis=0) * draws.size).max() <= 1
    plain = draws.synthetic[draws.num_draws :] @ classes
    assert np.abs(plain - classes.mean(axis=0) * draws.size).max() > 5, "bootstrap samples stay plain"
    assert not np.array_equal(first[0], first[1])


@pytest.mark.parametrize("count", [20, 40])
def test_as_many_records_as_are_held_out_or_fewer_are_compared_as_chance_made_them(judged, count):
    train, holdout, _ = stratified_sides(judged, 1)
    few = judged("synthetic", count, 3)
    assert not table_draws(train, holdout, few, seed=0, stratified=True).stratified


def share_gap(first, second, *weights):
    """Return how far the shares of one sex lie apart."""
    shares = [w @ (table["sex"] == "m") / w.sum(1) for w, table in zip(weights, (first, second), strict=True)]
    return np.abs(shares[1] - shares[0])


def test_training_patients_drawn_again_reach_the_floor_of_a_stratified_split(judged):
    def gap(stratified):
        sides = [stratified_sides(judged, seed) for seed in range(10)]
        draws = [table_draws(*side, seed=0, stratified=stratified).compare(share_gap) for side in sides]
        return np.mean([found.value - found.floor for found in draws])

    assert abs(gap(True)) < 0.012
    assert gap(False) > 0.03


def test_a_class_that_became_rare_is_not_dealt_into_every_draw(judged):
    train, holdout, synthetic = stratified_sides(judged, 0)
    table = synthetic.table.assign(sex="f")
    table.loc[:3, "sex"] = "m"
    synthetic = replace(synthetic, cohort=replace(synthetic.cohort, table=table))
    found = table_draws(train, holdout, synthetic, seed=0, stratified=True)
    drawn = found.synthetic[: found.num_draws] @ (table["sex"] == "m").to_numpy()
    assert drawn.mean() < 0.6, "4 of 600 are .27 of 40; one patient on either side would make it 1"


def test_a_large_cohort_is_dealt_in_part(judged, monkeypatch):
    monkeypatch.setattr("monai_hybridsynth.evaluation.table_draws.MOST_DEALT", 30)
    train, holdout, synthetic = stratified_sides(judged, 0)
    draws = table_draws(train, holdout, synthetic, seed=0, stratified=True)
    first = draws.synthetic[: draws.num_draws]
    assert (first.sum(axis=1) == holdout.num_groups).all()
    assert first.any(axis=0).mean() > 0.3, "every draw is dealt from another part"
