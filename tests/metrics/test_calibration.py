from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from monai_hybridsynth.metrics import LogisticLink, reliability_curve, squared_calibration_error
from monai_hybridsynth.metrics.calibration import calibration_bins


def draw(count: int, seed: int):
    rng = np.random.default_rng(seed)
    probability = rng.beta(1, 2, count)
    return probability, (rng.random(count) < probability).astype(float)


def by_loops(probabilities, labels, weights):
    bins = calibration_bins(probabilities, weights)
    total = gap = 0.0
    for number in set(bins.tolist()):
        rows = [row for row in range(len(labels)) if bins[row] == number]
        mass = sum(weights[row] for row in rows)
        predicted = sum(weights[row] * probabilities[row] for row in rows) / mass
        observed = sum(weights[row] * labels[row] for row in rows) / mass
        gap += mass * ((predicted - observed) ** 2 - observed * (1 - observed) / (mass - 1))
        total += mass
    return gap / total


def test_agrees_with_loops():
    probability, label = draw(200, 0)
    weights = np.random.default_rng(1).uniform(0.3, 1.0, 200)
    found = squared_calibration_error(probability, label, weights)
    assert float(found) == pytest.approx(by_loops(probability, label, weights))
    stacked = squared_calibration_error(probability, label, np.stack([weights, weights]))
    assert stacked == pytest.approx([float(found)] * 2)


def test_perfect_probabilities_score_zero_on_average_and_the_plain_error_does_not():
    found, plain = [], []
    for seed in range(400):
        probability, label = draw(160, seed)
        found.append(float(squared_calibration_error(probability, label)))
        predicted, observed = reliability_curve(probability, label, np.ones(160))
        plain.append(np.mean((predicted - observed) ** 2))
    standard_error = np.std(found) / 20
    assert abs(np.mean(found)) < 4 * standard_error
    assert np.mean(plain) > 8 * standard_error


def test_a_known_shift_is_found():
    probability, label = draw(40000, 3)
    assert np.sqrt(squared_calibration_error(np.clip(probability + 0.1, 0, 1), label)) == pytest.approx(0.1, abs=0.01)


def test_equal_probabilities_stay_together_and_bins_weigh_the_same():
    probability = np.repeat([0.1, 0.5, 0.9], 40)
    assert calibration_bins(probability, np.ones(120)).tolist() == [0] * 40 + [1] * 40 + [2] * 40
    sizes = np.bincount(calibration_bins(np.random.default_rng(0).random(300), np.ones(300)))
    assert len(sizes) == 10
    assert sizes.tolist() == [30] * 10
    assert calibration_bins(np.zeros(0), np.zeros(0)).size == 0


def test_refuses_scores_that_are_no_probabilities():
    with pytest.raises(ValueError, match="LogisticLink"):
        squared_calibration_error(np.array([-0.2, 0.4]), np.array([0.0, 1.0]))
    with pytest.raises(ValueError, match="one length"):
        squared_calibration_error(np.array([0.4]), np.array([0.0, 1.0]))
    with pytest.raises(RuntimeError, match="fit"):
        LogisticLink()(np.zeros((2, 1)))


def test_the_link_is_logistic_regression_with_gaps_and_weights():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(3000, 2))
    labels = (rng.random((3000, 2)) < 1 / (1 + np.exp(-(scores * [2.0, 0.5] - 1)))).astype(float)
    labels[::3, 1] = np.nan
    weights = rng.uniform(0.5, 1, 3000)
    link = LogisticLink().fit(scores, labels, weights)
    found = link(scores)
    for column in range(2):
        rows = ~np.isnan(labels[:, column])
        model = LogisticRegression(C=1e8).fit(scores[rows, column, None], labels[rows, column], weights[rows])
        expected = model.predict_proba(scores[:, column, None])[:, 1]
        assert found[:, column] == pytest.approx(expected, abs=0.005)


def test_the_link_survives_separation_one_class_and_constant_scores():
    scores = np.column_stack([np.arange(20.0), np.zeros(20), np.arange(20.0)])
    labels = np.column_stack([np.arange(20) > 9, np.arange(20) > 9, np.zeros(20)]).astype(float)
    found = LogisticLink().fit(scores, labels, np.ones(20))(scores)
    assert np.isfinite(found).all()
    assert found[0, 0] < 0.2 < 0.8 < found[-1, 0]
    assert found[:, 1] == pytest.approx(np.full(20, 0.5), abs=1e-6)
    assert (found[:, 2] < 0.1).all()
