from __future__ import annotations

import numpy as np
import pytest

from monai_hybridsynth.evaluation.kernel_map import LandmarkKernel
from monai_hybridsynth.evaluation.ridge_probe import RidgeRefit
from monai_hybridsynth.metrics import weighted_auroc


def test_dot_products_are_the_kernel_at_the_landmarks():
    features = np.random.default_rng(0).normal(size=(30, 4))
    kernel = LandmarkKernel(30).fit(features, seed=0)
    mapped = kernel(features) / np.sqrt(30)
    gaps = ((features[:, None] - features[None]) ** 2).sum(-1)
    median = np.median(gaps[np.triu_indices(30, 1)])
    assert mapped @ mapped.T == pytest.approx(np.exp(-gaps / median), abs=1e-3)


def test_sees_a_relation_that_no_line_can():
    rng = np.random.default_rng(1)
    train, test = rng.normal(size=(2, 300, 2))
    outcome = [(side[:, 0] * side[:, 1] > 0).astype(float) for side in (train, test)]
    scores = {}
    for name, mapping in (("linear", lambda x: x), ("kernel", LandmarkKernel().fit(train, seed=0))):
        probe = RidgeRefit(mapping(train), outcome[0][:, None], np.array([0.01]))(np.ones(300))
        scores[name] = float(weighted_auroc(probe.predict(mapping(test))[:, 0], outcome[1]))
    assert scores["linear"] < 0.65
    assert scores["kernel"] > 0.95


def test_few_or_equal_rows_do_not_break_it():
    kernel = LandmarkKernel().fit(np.ones((5, 3)), seed=0)
    assert np.isfinite(kernel(np.random.default_rng(0).normal(size=(4, 3)))).all()
    with pytest.raises(RuntimeError, match="call fit"):
        LandmarkKernel()(np.zeros((1, 2)))
