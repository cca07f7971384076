from __future__ import annotations

import numpy as np
import pytest

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
