from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from monai_hybridsynth.metrics import moment_ratio_score, weighted_auroc


@pytest.fixture
def records():
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(4, 4))
    return rng.normal(size=(30, 4)) @ mixing + 5, rng.normal(size=(70, 4)) @ mixing + 5.5


def log_density(at, sample):
    """Of a normal distribution with the sample's moments and a ridge of a thousandth of its mean variance."""
    covariance = np.cov(sample.T)
    covariance += 1e-3 * np.mean(np.diag(covariance)) * np.eye(len(covariance))
    return multivariate_normal(sample.mean(0), covariance).logpdf(at)


def test_it_is_twice_the_log_ratio_of_two_normal_densities_less_a_constant(records):
    real, made = records
    expected = 2 * (log_density(real, made) - log_density(real, real))
    found = moment_ratio_score(real, made)
    assert found - found[0] == pytest.approx(expected - expected[0])
    assert moment_ratio_score(real, real) == pytest.approx(np.zeros(30), abs=1e-9)


def test_neither_order_nor_lengths_nor_directions_matter(records):
    real, made = records
    rng = np.random.default_rng(1)
    order, rotation = rng.permutation(len(real)), np.linalg.qr(rng.normal(size=(4, 4)))[0]
    found = moment_ratio_score(real, made)
    assert moment_ratio_score(real[order], made[::-1]) == pytest.approx(found[order])
    moved = moment_ratio_score(7 * real @ rotation - 3, 7 * made @ rotation - 3)
    assert moved == pytest.approx(found)


@pytest.mark.parametrize("num_members", [40, 200])
def test_records_drawn_by_the_moments_of_few_patients_give_them_away_and_of_strangers_nobody(num_members):
    rng = np.random.default_rng(0)
    members, others, strangers = (rng.normal(size=(count, 64)) for count in (num_members, 80, num_members))
    truth = np.repeat([1.0, 0.0], [num_members, 80])

    def area(fitted):
        released = rng.multivariate_normal(fitted.mean(0), np.cov(fitted.T), size=2000)
        return float(weighted_auroc(moment_ratio_score(np.vstack([members, others]), released), truth))

    assert area(members) > (0.99 if num_members == 40 else 0.85)  # fewer patients than dimensions: nobody is hidden
    assert area(strangers) == pytest.approx(0.5, abs=0.1)


def test_records_without_spread_rank_by_distance(records):
    real, _ = records
    copies = moment_ratio_score(real, np.tile(real[3], (5, 1)))
    assert np.isfinite(copies).all()
    assert copies.argmax() == 3
    alike = moment_ratio_score(np.ones((4, 2)), real[:, :2])
    assert np.isfinite(alike).all()
    assert np.ptp(alike) == pytest.approx(0.0, abs=1e-9)


def test_what_cannot_be_compared_is_refused(records):
    real, made = records
    with pytest.raises(ValueError, match="same encoder"):
        moment_ratio_score(real, made[:, :2])
    with pytest.raises(ValueError, match=r"\(1, 4\); a covariance needs two"):
        moment_ratio_score(real, made[:1])
    with pytest.raises(ValueError, match="impute"):
        moment_ratio_score(np.where(real > 6, np.nan, real), made)
