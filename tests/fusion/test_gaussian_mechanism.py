"""Noise on sums over patients: bounds by brute force, the accountant by simulation and by Opacus."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest

from monai_hybridsynth.fusion.gaussian_mechanism import (
    GaussianMechanism,
    gaussian_delta,
    gaussian_epsilon,
    gaussian_loss,
    patient_means,
    secret_normal,
)


def test_delta_is_the_mass_that_exceeds_epsilon():
    """Definition of (epsilon, delta) for N(mu, 1) against N(0, 1), by numerical integration."""
    for mu, epsilon in ((0.3, 1.0), (1.0, 0.5), (2.0, 3.0)):
        x = np.linspace(-12, 14, 400_001)
        far, near = (np.exp(-0.5 * (x - centre) ** 2) / np.sqrt(2 * np.pi) for centre in (mu, 0.0))
        mass = np.trapezoid(np.maximum(far - np.exp(epsilon) * near, 0.0), x)
        assert gaussian_delta(mu, epsilon) == pytest.approx(mass, rel=1e-4)


def test_loss_and_epsilon_are_inverse_and_monotone():
    losses = [gaussian_loss(epsilon, 1e-5) for epsilon in (0.1, 1, 3, 10, 100)]
    assert losses == sorted(losses)
    assert [gaussian_epsilon(mu, 1e-5) for mu in losses] == pytest.approx([0.1, 1, 3, 10, 100], rel=1e-5)
    assert gaussian_loss(1.0, 1e-6) < gaussian_loss(1.0, 1e-3)
    assert np.isinf(gaussian_loss(float("inf"), 1e-5))


def test_the_accountant_of_opacus_agrees():
    """Renyi accounting is an upper bound of the closed form, by little."""
    accountants = pytest.importorskip("opacus.accountants")
    for mu in (0.3, 1.0, 2.0):
        accountant = accountants.RDPAccountant()
        accountant.history = [(1 / mu, 1.0, 1)]
        exact = gaussian_epsilon(mu, 1e-5)
        assert exact <= accountant.get_epsilon(1e-5) <= 1.2 * exact


def test_shares_compose_to_the_whole():
    """Noise-to-norm ratios of all releases together have the loss that was asked for."""
    mechanism, rows = GaussianMechanism(0.7, noise_seed=0), np.zeros((3, 2))
    ratios = [norm / mechanism.release(rows, norm=norm, share=s)[1] for norm, s in ((1.0, 0.2), (5.0, 0.5), (2.0, 0.3))]
    assert np.sqrt(np.sum(np.square(ratios))) == pytest.approx(0.7)
    with pytest.raises(RuntimeError, match="0 of the privacy budget is left"):
        mechanism.release(rows, norm=1.0, share=0.01)


def test_one_patient_moves_the_sum_by_the_norm_at_most():
    rng = np.random.default_rng(0)
    rows, patients = 10 * rng.standard_normal((60, 5)), rng.integers(0, 12, 60)

    def total(keep):
        means = patient_means(rows[keep], patients[keep])
        return GaussianMechanism(np.inf, noise_seed=0).release(means, norm=2.0, share=1.0)[0]

    whole = total(patients >= 0)
    moved = [np.linalg.norm(whole - total(patients != patient)) for patient in range(12)]
    assert max(moved) <= 2.0 + 1e-12
    assert max(moved) > 1.9, "the bound is reached"


def test_patients_count_once_however_many_rows_they_have():
    rows, patients = np.array([[1.0], [3.0], [10.0]]), np.array(["a", "a", "b"])
    assert patient_means(rows, patients).ravel().tolist() == [2.0, 10.0]


def test_noise_has_the_stated_size_and_is_not_repeated():
    first, second = (GaussianMechanism(0.5).release(np.zeros((1, 20_000)), norm=3.0, share=0.25) for _ in range(2))
    assert first[1] == pytest.approx(3.0 / 0.5 / 0.5)
    assert first[0].std() == pytest.approx(first[1], rel=0.03)
    assert not np.array_equal(first[0], second[0])
    assert kstest(secret_normal((4, 5000)).ravel(), "norm").pvalue > 1e-4


@pytest.mark.parametrize(("epsilon", "delta", "name"), [(0, 1e-5, "epsilon"), (-1, 1e-5, "epsilon"), (1, 0, "delta")])
def test_impossible_budgets_are_refused(epsilon, delta, name):
    with pytest.raises(ValueError, match=f"{name} is"):
        gaussian_loss(epsilon, delta)
    with pytest.raises(ValueError, match="mu is 0"):
        GaussianMechanism(0.0)
