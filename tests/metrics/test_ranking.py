from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score, roc_auc_score

from monai_hybridsynth.metrics import weighted_auroc, weighted_average_precision, weighted_order_score


@pytest.fixture
def sample():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 50)
    scores = np.round(rng.normal(size=50) + labels, 1)  # rounded: ties
    return scores, labels, rng.integers(0, 4, (3, 50)).astype(float)


@pytest.mark.parametrize(
    ("ours", "theirs"), [(weighted_auroc, roc_auc_score), (weighted_average_precision, average_precision_score)]
)
def test_agrees_with_scikit_learn_for_every_weighting(sample, ours, theirs):
    scores, labels, weights = sample
    assert float(ours(scores, labels)) == pytest.approx(theirs(labels, scores))
    expected = [theirs(labels, scores, sample_weight=row) for row in weights]
    assert ours(scores, labels, weights).tolist() == pytest.approx(expected)


def test_a_count_as_weight_is_the_row_repeated(sample):
    scores, labels, weights = sample
    counts = weights[0].astype(int)
    values = scores + np.arange(50) % 3
    repeated = weighted_order_score(np.repeat(scores, counts), np.repeat(values, counts))
    assert float(weighted_order_score(scores, values, weights)[0]) == pytest.approx(float(repeated))


def test_order_score_is_the_rank_correlation_moved_to_chance_one_half(sample):
    scores, _, _ = sample
    values = np.random.default_rng(1).normal(size=50) + scores
    expected = 0.5 + 0.5 * spearmanr(scores, values)[0]
    assert float(weighted_order_score(scores, values)) == pytest.approx(expected)


def test_censored_values_count_by_their_order():
    scores = np.array([1.0, 2, 3, 4])
    assert float(weighted_order_score(scores, np.array([-np.inf, 0, 7, np.inf]))) == pytest.approx(1.0)
    assert float(weighted_order_score(scores, np.array([np.inf, 7, 0, -np.inf]))) == pytest.approx(0.0)


def test_an_inverted_predictor_stays_below_one_half():
    assert float(weighted_auroc(np.array([0.0, 1.0]), np.array([1, 0]))) == 0.0


def test_one_class_or_a_constant_has_no_score():
    assert np.isnan(weighted_auroc(np.array([0.1, 0.2]), np.array([1, 1])))
    assert np.isnan(weighted_average_precision(np.array([0.1, 0.2]), np.array([0, 0])))
    assert np.isnan(weighted_order_score(np.array([1.0, 1.0]), np.array([0.0, 1.0])))
    assert weighted_auroc(np.array([0.1, 0.2]), np.array([1, 0]), np.array([[1, 1], [1, 0]])).tolist() == [
        0.0,
        pytest.approx(float("nan"), nan_ok=True),
    ]


def test_shapes_and_missing_values_are_refused():
    with pytest.raises(ValueError, match="one length"):
        weighted_auroc(np.zeros(3), np.zeros(2))
    with pytest.raises(ValueError, match="leave rows without the column out"):
        weighted_auroc(np.array([0.0, np.nan]), np.array([0, 1]))
