from __future__ import annotations

import pytest
import torch

from monai_hybridsynth.inferers import sample_record_flow

MEAN, COVARIANCE = torch.tensor([1.0, -2.0]), torch.tensor([[1.0, 0.8], [0.8, 2.0]])


class GaussianVelocity:
    """The exact velocity of the flow from N(0, I) to a known Gaussian; counts how often it was asked."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, x: torch.Tensor, times: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        t = float(times[0])
        if known[0].any():  # the second entry given: the first is a Gaussian on its own
            slope = COVARIANCE[0, 1] / COVARIANCE[1, 1]
            mean = MEAN[0] + slope * (x[:, 1] - MEAN[1])
            variance = COVARIANCE[0, 0] - slope * COVARIANCE[0, 1]
            gain = (t * variance - (1 - t)) / (t**2 * variance + (1 - t) ** 2)
            return torch.stack([mean + gain * (x[:, 0] - t * mean), torch.zeros(len(x))], dim=1)
        spread = t**2 * COVARIANCE + (1 - t) ** 2 * torch.eye(2)
        gain = (t * COVARIANCE - (1 - t) * torch.eye(2)) @ torch.linalg.inv(spread)
        return MEAN + (x - t * MEAN) @ gain.T


def draw(num_steps: int, known: torch.Tensor, values: torch.Tensor) -> tuple[torch.Tensor, int]:
    network = GaussianVelocity()
    noise = torch.randn(len(known), 2, generator=torch.Generator().manual_seed(0))
    return sample_record_flow(network, values, known, noise, num_steps=num_steps), network.calls


def test_a_known_gaussian_is_reached_in_twenty_evaluations():
    free = torch.zeros(40000, 2)
    drawn, calls = draw(10, free, free)
    assert calls == 20
    torch.testing.assert_close(drawn.mean(0), MEAN, atol=0.02, rtol=0)
    torch.testing.assert_close(torch.cov(drawn.T), COVARIANCE, atol=0.04, rtol=0)


def test_given_entries_stay_and_the_rest_follows_them():
    known = torch.tensor([[0.0, 1.0]]).repeat(20000, 1)
    values = torch.tensor([[0.0, 1.0]]).repeat(20000, 1)
    drawn, _ = draw(10, known, values)
    assert (drawn[:, 1] == 1.0).all()
    slope = COVARIANCE[0, 1] / COVARIANCE[1, 1]
    assert drawn[:, 0].mean() == pytest.approx(float(MEAN[0] + slope * (1.0 - MEAN[1])), abs=0.02)
    assert drawn[:, 0].var() == pytest.approx(float(COVARIANCE[0, 0] - slope * COVARIANCE[0, 1]), abs=0.02)


def test_at_least_one_step():
    with pytest.raises(ValueError, match="num_steps is 0"):
        draw(0, torch.zeros(1, 2), torch.zeros(1, 2))
