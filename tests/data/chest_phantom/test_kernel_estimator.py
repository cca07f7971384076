"""Kernel ridge regression against its definition, and the left-out identity against refitting."""

from __future__ import annotations

import numpy as np
import pytest

from monai_hybridsynth.data.chest_phantom.kernel_estimator import KernelEstimator


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(40, 5))
    targets = np.stack([np.sin(inputs[:, 0]), inputs[:, 1] * inputs[:, 2]], axis=1)
    return inputs, targets


def test_predicts_as_the_definition_in_loops(problem):
    inputs, targets = problem
    model = KernelEstimator(num_components=5, width=1.5, ridge=0.1).fit(inputs, targets)
    kernel = np.array([[np.exp(-np.sum((a - b) ** 2) / model.scale_) for b in inputs] for a in inputs])
    weights = np.linalg.solve(kernel + 0.1 * np.eye(40), targets - targets.mean(axis=0))
    query = np.random.default_rng(1).normal(size=(3, 5))
    expected = [
        sum(
            np.exp(-np.sum((point - seat) ** 2) / model.scale_) * weight
            for seat, weight in zip(inputs, weights, strict=True)
        )
        for point in query
    ]
    np.testing.assert_allclose(model.predict(query), expected + targets.mean(axis=0), rtol=1e-6)


def test_left_out_estimates_equal_refitting_without_each_sample(problem):
    inputs, targets = problem
    model = KernelEstimator(num_components=5, ridge=0.1).fit(inputs, targets)
    found = model.predict_left_out(targets)
    kernel = np.exp(-((inputs[:, None] - inputs[None]) ** 2).sum(axis=2) / model.scale_)
    for row in range(40):
        rest = np.arange(40) != row
        weights = np.linalg.solve(kernel[np.ix_(rest, rest)] + 0.1 * np.eye(39), targets[rest] - model.offset_)
        np.testing.assert_allclose(found[row], kernel[row, rest] @ weights + model.offset_, rtol=1e-6)


def test_keeps_the_leading_components_only():
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(60, 4)) * np.array([10.0, 5.0, 0.01, 0.01])
    model = KernelEstimator(num_components=2).fit(inputs, inputs[:, :1])
    moved = inputs + np.array([0, 0, 3.0, -3.0])
    np.testing.assert_allclose(model.predict(moved), model.predict(inputs), atol=0.05)
