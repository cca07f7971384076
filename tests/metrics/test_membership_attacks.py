from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import gaussian_kde

from monai_hybridsynth.metrics import (
    atypicality,
    closest_ratio_score,
    closest_score,
    density_ratio_score,
    match_score,
    neighbourhood_score,
)


@pytest.fixture
def records():
    rng = np.random.default_rng(0)
    groups = np.array([f"p{row // 2}" for row in range(40)])
    return rng.normal(size=(40, 3)) + 5, rng.normal(size=(70, 3)) + 5, groups


def test_distances_are_those_of_scipy(records):
    real, made, groups = records
    to_made, among = cdist(real, made), cdist(real, real)
    among[groups[:, None] == groups] = np.inf
    assert closest_score(real, made) == pytest.approx(-to_made.min(1))
    assert closest_ratio_score(real, made, groups) == pytest.approx(np.log(among.min(1) / to_made.min(1)))
    person_nearest = [np.sort(row[np.isfinite(row)])[:5].mean() for row in among]
    assert atypicality(real, groups) == pytest.approx(person_nearest)


def test_the_neighbourhood_is_the_sum_written_as_loops(records):
    real, made, _ = records
    gaps = cdist(real, made)
    radius = np.median(gaps.min(1))
    expected = [sum(max(np.log(radius / gap), 0) for gap in row) / len(made) for row in gaps]
    assert neighbourhood_score(real, made) == pytest.approx(expected)


def test_the_density_ratio_is_that_of_scipy_without_the_own_patient(records):
    real, made, groups = records
    spread, directions = np.linalg.eigh(np.cov(real.T))
    white = directions / np.sqrt(spread)
    x, y = (real - real.mean(0)) @ white, (made - real.mean(0)) @ white
    bandwidth = len(y) ** (-1 / 7)

    def density(points, at):
        # scipy scales its bandwidth by the points' own covariance: undo that.
        kernel = gaussian_kde(points.T)
        kernel._compute_covariance = lambda: None
        kernel.covariance, kernel.cho_cov = np.eye(3) * bandwidth**2, np.eye(3) * bandwidth
        kernel.log_det = 2 * np.log(np.diag(kernel.cho_cov * np.sqrt(2 * np.pi))).sum()
        return kernel(at.T)

    expected = [
        np.log(density(y, x[[row]])[0]) - np.log(density(x[groups != groups[row]], x[[row]])[0]) for row in range(40)
    ]
    assert density_ratio_score(real, made, groups) == pytest.approx(expected)


def test_exact_copies_get_the_highest_scores_and_more_copies_higher_ones(records):
    real, made, groups = records
    made = np.vstack([made, real[[0]], *[real[[7]]] * 25])
    for score in (neighbourhood_score(real, made), density_ratio_score(real, made, groups)):
        assert score.argmax() == 7
    ratio = closest_ratio_score(real, made, groups)
    assert set(np.argsort(ratio)[-2:]) == {0, 7}
    assert np.isfinite(ratio).all()
    assert np.isfinite(neighbourhood_score(real, real)).all()


def test_a_rare_value_counts_more_than_common_ones():
    rows = np.array([["m", "a"]] * 6 + [["f", "a"]] * 5 + [["m", "rare"]])
    made = np.array([["f", "rare"]])
    scores = match_score(rows, made, np.arange(12))
    assert scores.argmax() == 11
    assert scores[11] == pytest.approx(-np.log(1 / 12) + np.log(7 / 12))
    # A row that other patients have as well is no evidence.
    assert match_score(rows, rows[[0]], np.arange(12))[0] == 0


def test_no_score_depends_on_the_order_of_records(records):
    real, made, groups = records
    order = np.random.default_rng(1).permutation(len(real))
    for score in (closest_ratio_score, density_ratio_score):
        assert score(real[order], made, groups[order]) == pytest.approx(score(real, made, groups)[order])


def test_what_cannot_be_compared_is_refused(records):
    real, made, groups = records
    with pytest.raises(ValueError, match="same fitted transform"):
        closest_score(real, made[:, :2])
    with pytest.raises(ValueError, match="needs others"):
        closest_ratio_score(real, made, np.zeros(len(real)))
    with pytest.raises(ValueError, match="nothing to compare"):
        neighbourhood_score(real, made[:0])
    with pytest.raises(ValueError, match="impute"):
        density_ratio_score(np.where(real > 6, np.nan, real), made, groups)
    with pytest.raises(ValueError, match="same columns"):
        match_score(real.astype(str), made[:, :2].astype(str), groups)
