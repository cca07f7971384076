from __future__ import annotations

import pytest
import torch
from ignite.engine import Engine
from monai.handlers import IgniteMetricHandler

from monai_hybridsynth.metrics import KernelDistanceMetric, kernel_distance


def brute_force(fake: torch.Tensor, real: torch.Tensor) -> float:
    def kernel(a, b):
        return (float(a @ b) / len(a) + 1) ** 3

    def mean_within(side):
        pairs = [kernel(side[i], side[j]) for i in range(len(side)) for j in range(len(side)) if i != j]
        return sum(pairs) / len(pairs)

    across = [kernel(a, b) for a in fake for b in real]
    return mean_within(fake) + mean_within(real) - 2 * sum(across) / len(across)


@pytest.fixture
def features():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(7, 4, generator=generator), torch.randn(5, 4, generator=generator)


def test_matches_the_definition_written_as_loops(features):
    fake, real = features
    metric = KernelDistanceMetric()
    metric(fake[:3], real[:2])
    metric(fake[3:], real[2:])
    expected = brute_force(fake.double(), real.double())
    assert metric.aggregate().item() == pytest.approx(expected, rel=1e-9)
    assert kernel_distance(fake, real, block=2).item() == pytest.approx(expected, rel=1e-9)


def test_order_does_not_matter_and_reset_forgets(features):
    fake, real = features
    metric = KernelDistanceMetric()
    metric(fake.flip(0), real.flip(0))
    assert metric.aggregate().item() == pytest.approx(kernel_distance(fake, real).item())
    metric.reset()
    with pytest.raises(ValueError, match="call the metric on a batch"):
        metric.aggregate()


def test_lists_are_not_paired(features):
    fake, real = features
    metric = KernelDistanceMetric()
    metric(list(fake), list(real))
    assert metric.aggregate().item() == pytest.approx(kernel_distance(fake, real).item())


def test_zero_for_one_population_and_above_for_two():
    generator = torch.Generator().manual_seed(1)
    draws = torch.randn(4, 400, 8, generator=generator)
    assert abs(kernel_distance(draws[0], draws[1]).item()) < 0.05
    assert kernel_distance(draws[0], draws[1] + 1).item() > 0.5


def test_runs_in_an_ignite_engine(features):
    fake, real = features
    engine = Engine(lambda _, batch: batch)
    IgniteMetricHandler(metric_fn=KernelDistanceMetric(), output_transform=lambda batch: batch).attach(
        engine, "distance"
    )
    engine.run([(fake[:4], real[:3]), (fake[4:], real[3:])])
    assert engine.state.metrics["distance"] == pytest.approx(kernel_distance(fake, real).item(), rel=1e-6)


def test_likely_mistakes_are_refused(features):
    fake, real = features
    with pytest.raises(ValueError, match="feature extractor"):
        KernelDistanceMetric()(torch.zeros(2, 1, 8, 8), torch.zeros(2, 1, 8, 8))
    with pytest.raises(ValueError, match="equal F"):
        kernel_distance(fake, real[:, :2])
    with pytest.raises(ValueError, match="at least two images"):
        kernel_distance(fake[:1], real)
