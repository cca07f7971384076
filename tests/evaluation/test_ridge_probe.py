from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from monai_hybridsynth.evaluation.ridge_probe import (
    Moments,
    RidgeRefit,
    choose_penalties,
    patient_folds,
    presence_patterns,
)


@pytest.fixture
def sample():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(80, 5))
    targets = features @ rng.normal(size=(5, 3)) + rng.normal(size=(80, 3)) + [0, 5, -3]
    targets[::4, 1] = np.nan
    return features, targets, rng.uniform(0.1, 2, 80)


def reference(features, targets, weights, penalty):
    """Return the predictions of scikit-learn with the same objective: penalties per unit of weight."""
    rows = ~np.isnan(targets)
    model = Ridge(alpha=penalty * weights[rows].sum()).fit(features[rows], targets[rows], weights[rows])
    return model.predict(features)


def test_agrees_with_scikit_learn_per_column(sample):
    features, targets, weights = sample
    penalties = np.array([0.01, 0.3, 3.0])
    predicted = RidgeRefit(features, targets, penalties)(weights).predict(features)
    for column, penalty in enumerate(penalties):
        assert predicted[:, column] == pytest.approx(reference(features, targets[:, column], weights, penalty))


def test_a_fold_is_not_learned_from(sample):
    features, targets, weights = sample
    folds = patient_folds(np.arange(80) // 2, 4, seed=0)
    probes = RidgeRefit(features, targets, np.full(3, 0.1)).folds(weights, folds, 4)
    for fold, probe in enumerate(probes):
        kept = folds != fold
        alone = RidgeRefit(features[kept], targets[kept], np.full(3, 0.1))(weights[kept])
        assert probe.predict(features) == pytest.approx(alone.predict(features))


def test_moments_add_up(sample):
    features, targets, weights = sample
    targets = np.nan_to_num(targets)
    parts = [Moments.of(features[rows], targets[rows], weights[rows]) for rows in (slice(0, 30), slice(30, 80))]
    whole = Moments.of(features, targets, weights)
    assert (parts[0] + parts[1]).gram == pytest.approx(whole.gram)
    assert (whole - parts[0]).cross == pytest.approx(parts[1].cross)


def test_noise_is_penalised_more_than_a_clear_relation():
    rng = np.random.default_rng(1)
    features = rng.normal(size=(60, 20))
    targets = np.column_stack([features @ rng.normal(size=20), rng.normal(size=60)])
    penalties = choose_penalties(features, targets, np.ones(60), np.arange(60), seed=0)
    assert penalties[0] < 0.1 < penalties[1]


def test_a_patient_lies_in_one_fold_and_folds_are_even():
    groups = np.repeat(np.arange(13), [1, 2, 3, 4, 5, 1, 1, 1, 1, 1, 1, 1, 1])
    folds = patient_folds(groups, 5, seed=3)
    assert all(len(set(folds[groups == group])) == 1 for group in range(13))
    sizes = [len(set(groups[folds == fold])) for fold in range(5)]
    assert max(sizes) - min(sizes) <= 1
    assert set(patient_folds(np.array(["a", "a"]), 5, seed=0)) == {0}


def test_columns_missing_in_the_same_rows_are_fitted_together(sample):
    found = {tuple(columns): int(rows.sum()) for columns, rows in presence_patterns(sample[1])}
    assert found == {(0, 2): 80, (1,): 60}


def test_nothing_to_learn_from_predicts_a_constant(sample):
    features, targets, _ = sample
    probe = RidgeRefit(features, targets, np.full(3, 0.1))(np.zeros(80))
    assert (probe.predict(features) == 0).all()
