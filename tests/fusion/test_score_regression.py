"""Regression on scores: known slopes found again through categories, and nothing found where there is nothing."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal, truncnorm

from monai_hybridsynth.fusion import score_regression
from monai_hybridsynth.fusion.score_regression import expected_values, regress_on_scores


def regress(expected, scores, *, known=None, shared=None):
    rows = len(expected)
    known = np.ones(expected.shape, dtype=bool) if known is None else known
    even = {"weights": np.ones(rows), "patients": np.arange(rows)}
    return regress_on_scores(expected, known, scores, np.eye(scores.shape[1]), **even, shared=shared)[0]


def draw(rows: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    scores = rng.standard_normal((rows, 5))
    return scores, scores @ [0.6, 0.0, -0.3, 0.0, 0.0] + rng.standard_normal(rows) * np.sqrt(1 - 0.45)


def test_expected_values_are_those_of_scipy():
    lower, upper = np.array([-np.inf, 0.5, -1.0, 6.0, -np.inf]), np.array([0.3, np.inf, 2.0, 7.0, np.inf])
    expected = expected_values(lower, upper)
    assert expected == pytest.approx([truncnorm.mean(a, b) for a, b in zip(lower, upper, strict=True)], abs=1e-6)
    assert expected_values(np.array([0.7]), np.array([0.7])) == pytest.approx([0.7])


def test_slopes_of_a_variable_known_only_as_yes_or_no():
    scores, z = draw()
    yes = z > 0.8
    expected = expected_values(np.where(yes, 0.8, -np.inf), np.where(yes, np.inf, 0.8))
    slopes = regress(np.stack([expected, z], axis=1), scores)
    for found in slopes.T:
        assert found == pytest.approx([0.6, 0.0, -0.3, 0.0, 0.0], abs=0.06)


def test_slopes_of_noise_are_next_to_nothing():
    rng = np.random.default_rng(0)
    slopes = regress(rng.standard_normal((300, 4)), rng.standard_normal((300, 60)))
    assert (slopes**2).sum(axis=0).max() < 0.02, "least squares would have explained a fifth"


def test_patients_left_out_are_those_of_a_regression_of_their_own():
    rng = np.random.default_rng(0)
    patients, weights = rng.permutation(np.arange(60) % 37 // 2), rng.random(60) + 0.5
    inputs = rng.standard_normal((60, 8)) * np.arange(1, 9)
    targets = inputs @ rng.standard_normal((8, 3)) * [0.03, 0.1, 1.0] + rng.standard_normal((60, 3))
    part = score_regression._Part(targets, inputs, weights, patients)
    assert len(np.unique(part.penalties)) > 1
    assert len(np.unique(np.bincount(patients))) > 1
    product, square = np.zeros((2, 3))
    for patient in np.unique(patients):
        left_out = patients == patient
        x, y = inputs[~left_out], targets[~left_out]
        share = weights[~left_out] / weights.sum()
        x_mean, y_mean = np.average(x, axis=0, weights=share), np.average(y, axis=0, weights=share)
        moment = (x - x_mean).T @ np.diag(share) @ (x - x_mean)
        slopes = [
            np.linalg.solve(moment + penalty * np.eye(8), (x - x_mean).T @ (share * (y - y_mean)[:, column]))
            for column, penalty in enumerate(part.penalties)
        ]
        for column, slope in enumerate(slopes):
            fit = (x - x_mean) @ slope
            slope = slope * ((fit * share) @ (y - y_mean)[:, column]) / ((fit * share) @ fit)
            found, truth = (inputs[left_out] - x_mean) @ slope, (targets[left_out] - y_mean)[:, column]
            product[column] += (weights[left_out] / weights.sum()) @ (found * truth)
            square[column] += (weights[left_out] / weights.sum()) @ found**2
    assert np.allclose(part.held_out(), [product, square])


def test_a_patient_of_many_rows_is_left_out_alike():
    """Second way: a patient with more rows than inputs, by the formula for fewer, on inputs with empty directions."""
    rng = np.random.default_rng(0)
    patients, inputs = np.repeat(np.arange(12), 9), rng.standard_normal((108, 6))
    targets = inputs[:, :2] + rng.standard_normal((108, 2))
    few, many = (
        score_regression._Part(targets, np.pad(inputs, ((0, 0), (0, empty))), np.ones(108), patients)
        for empty in (0, 10)
    )
    few.penalties[:] = many.penalties[:] = 0.1
    for part in (few, many):
        part.ridge = part.moment / (part.values[:, None] + part.penalties)
    assert np.allclose(few.held_out(), many.held_out())


def test_rows_in_which_a_variable_is_unknown_do_not_count():
    scores, z = draw()
    known = np.random.default_rng(1).random((len(z), 2)) < [0.4, 1.0]
    expected = np.where(known, z[:, None], 0.0)
    slopes = regress(expected, scores, known=known)
    assert slopes[:, 0] == pytest.approx(slopes[:, 1], abs=0.08)


def test_too_few_patients_give_no_slope():
    scores, z = draw(60)
    known = np.zeros((60, 1), dtype=bool)
    known[:8] = True
    assert not regress(z[:, None], scores, known=known).any()


def test_links_have_the_strength_of_the_truth_not_of_the_fit():
    rng = np.random.default_rng(0)
    rows, size, truth = 400, 60, 0.4
    strength, plain = [], []
    for _ in range(6):
        scores = rng.normal(size=(rows, size))
        slopes = rng.normal(size=size)
        slopes *= np.sqrt(truth / (slopes**2).sum())
        target = (scores @ slopes + np.sqrt(1 - truth) * rng.normal(size=rows))[:, None]
        patients = np.arange(rows)
        known = np.ones((rows, 1), dtype=bool)
        found = regress_on_scores(target, known, scores, np.eye(size), weights=np.ones(rows), patients=patients)[0]
        strength.append(float((found**2).sum()))
        plain.append(float((np.linalg.lstsq(scores, target, rcond=None)[0] ** 2).sum()))
    assert np.mean(plain) > truth + 0.06
    assert np.mean(strength) == pytest.approx(truth, abs=0.05)


def test_links_are_covariances_in_the_rows_that_know_the_variable():
    rng = np.random.default_rng(0)
    side = np.where(rng.random(3000) < 0.3, rng.choice([-1.0, 1.0], 3000), 0.0)
    scores = np.stack([1.6 * side + 0.3 * rng.normal(size=3000), rng.normal(size=3000)], axis=1)
    scores = (scores - scores.mean(0)) / scores.std(0)
    known = side != 0
    slopes, links = regress_on_scores(
        side[:, None], known[:, None], scores, np.eye(2), weights=np.ones(3000), patients=np.arange(3000)
    )
    covariance = np.cov(np.column_stack([scores[known], side[known]]), rowvar=False)[:2, 2]
    assert links[:, 0] == pytest.approx(covariance, rel=0.05, abs=0.02)
    assert links[0, 0] > 1.5 > 1.0 > slopes[0, 0]


def test_the_penalty_is_the_one_under_which_the_rows_are_likeliest():
    rng = np.random.default_rng(0)
    scores, prior = rng.standard_normal((80, 6)), np.diag([3.0, 2.0, 1.0, 1.0, 0.5, 0.2])
    target = scores @ [0.5, 0.3, 0, 0, 0, 0] + rng.standard_normal(80)
    part = score_regression._Part(target[:, None], scores @ prior, np.ones(80), np.arange(80))
    inputs, centred = scores @ prior - (scores @ prior).mean(0), target - target.mean()

    def likelihood(penalty: float) -> float:
        covariance = np.eye(80) + inputs @ inputs.T / penalty
        scale = centred @ np.linalg.solve(covariance, centred) / 80
        return float(multivariate_normal(np.zeros(80), scale * covariance).logpdf(centred))

    best = max(score_regression.PENALTIES, key=likelihood)
    none = float(multivariate_normal(np.zeros(80), (centred @ centred / 80) * np.eye(80)).logpdf(centred))
    assert part.probability == pytest.approx([1 / (1 + np.exp(none - likelihood(best)))])
    assert part.penalties * 80 == pytest.approx([best])
    assert score_regression.PENALTIES[0] < best < score_regression.PENALTIES[-1]


def test_a_strong_link_does_not_choose_the_penalty_of_a_weak_one():
    scores, z = draw(400)
    rng = np.random.default_rng(3)
    weak = 0.15 * scores[:, 1] + rng.standard_normal(400)
    alone, beside = regress(weak[:, None], scores), regress(np.column_stack([weak, z, z, z]), scores)
    alone, beside = (found[:, 0] / np.linalg.norm(found[:, 0]) for found in (alone, beside))
    assert alone == pytest.approx(beside)


def test_slopes_are_expected_where_the_prior_has_them():
    scores, z = draw(60)
    found = []
    for spread in (1.0, 0.05):
        found.append(
            regress_on_scores(
                z[:, None],
                np.ones((60, 1), dtype=bool),
                scores,
                np.diag([1.0, spread, 1.0, spread, spread]),
                weights=np.ones(60),
                patients=np.arange(60),
            )[0][:, 0]
        )
    even, knowing = (np.abs(slopes[[1, 3, 4]]).sum() / np.abs(slopes[[0, 2]]).sum() for slopes in found)
    assert knowing < 0.2 * even


def labels(rows: int, *, own: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return expected values and scores of six labels that show alike, of "none", and of a last that shows otherwise.

    Two score directions: all labels depend on the first, the last one by ``own`` on the second.
    """
    rng = np.random.default_rng(seed)
    scores = rng.standard_normal((rows, 40))
    z = 0.5 * scores[:, [0]] + np.sqrt(0.75) * rng.standard_normal((rows, 8))
    z[:, 6] = -z[:, :6].mean(axis=1) + 0.3 * rng.standard_normal(rows)
    z[:, 7] = own * scores[:, 1] + np.sqrt(1 - own**2) * rng.standard_normal(rows)
    cut = np.quantile(z, 0.9, axis=0)
    return expected_values(np.where(z > cut, cut, -np.inf), np.where(z > cut, np.inf, cut)), scores


SHARED = np.array([1.0, 1, 1, 1, 1, 1, -1, 1])[:, None]


def test_what_labels_have_in_common_is_learned_from_all():
    aligned = {}
    for name, shared in (("shared", SHARED), ("apart", None)):
        found = [regress(*labels(240, own=0.0, seed=seed), shared=shared)[:, :6] for seed in range(4)]
        aligned[name] = np.mean([slopes[0] / np.linalg.norm(slopes, axis=0) for slopes in found])
    assert aligned["shared"] > 0.85
    assert aligned["shared"] > aligned["apart"] + 0.15


def test_a_label_that_stands_alone_shows_the_opposite():
    slopes = regress(*labels(240, own=0.0, seed=0), shared=SHARED)
    assert slopes[0, 6] < -0.2 < 0.2 < slopes[0, :6].min()


def test_a_label_keeps_what_it_shows_by_itself():
    slopes = regress(*labels(1200, own=0.7, seed=0), shared=SHARED)
    assert slopes[1, 7] == pytest.approx(0.7, abs=0.15)
    assert abs(slopes[0, 7]) < 0.2


def test_fewer_directions_are_learned_from_labels_that_show_nothing():
    lengths = {"shared": 0.0, "apart": 0.0}
    for seed in range(4):
        scores, expected = np.random.default_rng(seed).standard_normal((300, 60)), labels(300, own=0.0, seed=9)[0]
        for name, shared in (("shared", SHARED), ("apart", None)):
            lengths[name] += (regress(expected, scores, shared=shared) ** 2).sum()
    assert lengths["shared"] < 0.7 * lengths["apart"]


def test_the_price_of_sharing_fades_with_patients():
    """One label has a link and seven rare ones have none: they get a part of it, less where there are more patients."""
    slopes = []
    for rows in (240, 3000):
        rng = np.random.default_rng(0)
        scores = rng.standard_normal((rows, 40))
        z = rng.standard_normal((rows, 8))
        z[:, 0] = 0.8 * scores[:, 0] + 0.6 * z[:, 0]
        cut = np.array([np.quantile(z[:, 0], 0.6), *np.quantile(z[:, 1:], 0.97, axis=0)])
        expected = expected_values(np.where(z > cut, cut, -np.inf), np.where(z > cut, np.inf, cut))
        slopes.append(regress(expected, scores, shared=np.ones((8, 1)))[0])
    assert slopes[1][0] == pytest.approx(0.8, abs=0.06)
    assert 0 < slopes[1][1:].mean() < slopes[0][1:].mean() < 0.25


def test_labels_in_rows_that_do_not_know_them_do_not_count():
    expected, scores = labels(300, own=0.5, seed=0)
    known = np.repeat(np.random.default_rng(1).random((300, 1)) < 0.7, 8, axis=1)
    even = {"weights": np.random.default_rng(2).random(300) + 0.5, "patients": np.arange(300) // 2, "shared": SHARED}
    one, two = (
        regress_on_scores(np.where(known, expected, value), known, scores, np.eye(40), **even) for value in (0.0, 9.0)
    )
    assert np.array_equal(one, two)
    kept = known[:, 0]
    even = {name: part[kept] if name != "shared" else part for name, part in even.items()}
    alone = regress_on_scores(expected[kept], known[kept], scores[kept], np.eye(40), **even)
    assert one[0] == pytest.approx(alone[0], abs=1e-9)


def test_a_row_counts_as_often_as_its_weight():
    expected, scores = labels(200, own=0.5, seed=0)
    once = {"weights": np.ones(200), "patients": np.arange(200) // 2}
    twice = {"weights": np.full(400, 0.5), "patients": np.tile(once["patients"], 2)}
    one = regress_on_scores(expected, np.ones((200, 8), dtype=bool), scores, np.eye(40), shared=SHARED, **once)
    two = regress_on_scores(
        np.tile(expected, (2, 1)),
        np.ones((400, 8), dtype=bool),
        np.tile(scores, (2, 1)),
        np.eye(40),
        shared=SHARED,
        **twice,
    )
    assert np.allclose(one, two, atol=1e-9)
