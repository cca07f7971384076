from __future__ import annotations

import numpy as np
import pytest

from monai_hybridsynth.metrics.singling_out import (
    Condition,
    fits,
    multivariate_predicates,
    singled_out,
    univariate_predicates,
)

COLUMNS = {
    "age": np.array([30.0, 40.0, 40.0, np.nan, 70.0]),
    "sex": np.array(["f", "m", "m", "m", ""]),
}


def drawn_columns(count: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "age": np.round(rng.normal(60, 10, count)),
        "weight": rng.normal(70, 10, count),
        "site": rng.choice(np.array(["a", "b", "c"]), count),
    }


def test_conditions_hold_where_they_should():
    assert Condition("age", "missing").holds(COLUMNS).tolist() == [False, False, False, True, False]
    assert Condition("sex", "missing").holds(COLUMNS).tolist() == [False, False, False, False, True]
    assert Condition("age", "<=", 40.0).holds(COLUMNS).tolist() == [True, True, True, False, False]
    assert fits((Condition("age", ">=", 40.0), Condition("sex", "==", "m")), COLUMNS).tolist() == [
        False,
        True,
        True,
        False,
        False,
    ]


def test_rare_values_and_extremes_are_univariate_descriptions():
    found = {(c.column, c.comparison, c.value) for (c,) in univariate_predicates(COLUMNS)}
    assert found == {
        ("age", "missing", 0.0),
        ("sex", "missing", 0.0),
        ("age", "<=", 30.0),
        ("age", ">=", 70.0),
        ("age", "==", 30.0),
        ("age", "==", 70.0),
        ("sex", "==", "f"),
    }


def test_multivariate_descriptions_fit_one_synthetic_row_each():
    made = drawn_columns(80, 0)
    found = multivariate_predicates(made, count=200, seed=1)
    assert len(found) > 50
    assert all(fits(predicate, made).sum() == 1 and len(predicate) >= 2 for predicate in found)
    assert found == multivariate_predicates(made, count=200, seed=1)
    assert multivariate_predicates({"age": made["age"]}, count=10, seed=0) == []


def test_the_expected_share_is_that_of_random_draws():
    made, real = drawn_columns(60, 0), drawn_columns(40, 1)
    predicates = multivariate_predicates(made, count=150, seed=2)
    groups = np.arange(40) // 2
    hits = singled_out(predicates, real, groups, num_patients=8)
    masks = np.array([[fits(p, real)[groups == patient].any() for patient in range(20)] for p in predicates])
    rng = np.random.default_rng(3)
    drawn = [np.mean(masks[:, rng.permutation(20)[:8]].sum(axis=1) == 1) for _ in range(3000)]
    assert hits.shape == (20,)
    assert hits.mean() == pytest.approx(np.mean(drawn), abs=4 * np.std(drawn) / np.sqrt(3000))


def test_size_alone_gives_no_advantage():
    """Three times as many patients of the same population are singled out as often, compared at one size."""
    made = drawn_columns(200, 0)
    predicates = multivariate_predicates(made, count=400, seed=1)
    means = [
        [singled_out(predicates, drawn_columns(n, seed), np.arange(n), num_patients=80).mean() for seed in range(2, 12)]
        for n in (80, 240)
    ]
    assert np.mean(means[0]) == pytest.approx(np.mean(means[1]), abs=0.02)


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="at least one predicate"):
        singled_out([], COLUMNS, np.arange(5), num_patients=3)
    with pytest.raises(ValueError, match=r"1 \.\.\. 5 patients"):
        singled_out([(Condition("age", "missing"),)], COLUMNS, np.arange(5), num_patients=6)
