from __future__ import annotations

import numpy as np
import pytest

from monai_hybridsynth.metrics import centred_distances, distance_correlation


def by_loops(first: np.ndarray, second: np.ndarray) -> float:
    """Return the bias-corrected distance correlation as it is defined, entry by entry."""

    def centred(values: np.ndarray) -> list[list[float]]:
        n = len(values)
        d = [[float(np.sqrt(((values[i] - values[j]) ** 2).sum())) for j in range(n)] for i in range(n)]
        total = sum(map(sum, d))
        return [
            [
                0.0
                if i == j
                else d[i][j]
                - sum(d[i]) / (n - 2)
                - sum(d[k][j] for k in range(n)) / (n - 2)
                + total / ((n - 1) * (n - 2))
                for j in range(n)
            ]
            for i in range(n)
        ]

    one, two = centred(first), centred(second)
    n = len(first)

    def product(x: list[list[float]], y: list[list[float]]) -> float:
        return sum(x[i][j] * y[i][j] for i in range(n) for j in range(n)) / (n * (n - 3))

    return product(one, two) / np.sqrt(product(one, one) * product(two, two))


def test_matches_the_definition_written_as_loops():
    rng = np.random.default_rng(0)
    first = rng.normal(size=(23, 3))
    second = np.column_stack([first[:, 0] ** 2, rng.normal(size=23)])
    found = distance_correlation(first, second, np.arange(23))
    assert found.value == pytest.approx(by_loops(first, second), rel=1e-10)
    assert distance_correlation(first, second, np.arange(23), centred=centred_distances(first)) == found


def test_is_one_for_a_copy_and_sees_links_that_no_line_follows():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(300, 1))
    assert distance_correlation(x, 3 * x, np.arange(300)).value == pytest.approx(1)
    curved = distance_correlation(x, x**2, np.arange(300))
    assert abs(np.corrcoef(x[:, 0], x[:, 0] ** 2)[0, 1]) < 0.2
    assert curved.value > 5 * curved.error


def test_independence_scores_zero_on_average_with_the_stated_error():
    rng = np.random.default_rng(2)
    found = [
        distance_correlation(rng.normal(size=(60, 4)), rng.normal(size=(60, 1)), np.arange(60)) for _ in range(150)
    ]
    values, errors = np.array([f.value for f in found]), np.array([f.error for f in found])
    assert abs(values.mean()) < 4 * values.std() / np.sqrt(150)
    assert errors.mean() == pytest.approx(values.std(), rel=0.5)
    assert (np.abs(values) < 1.96 * errors).mean() > 0.93


def test_the_error_covers_a_real_dependence_and_counts_patients():
    rng = np.random.default_rng(3)

    def draw(patients: int, images: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        x = rng.normal(size=(patients, 2))
        y = x[:, :1] + rng.normal(size=(patients, 1))
        rows = np.repeat(np.arange(patients), images)
        return x[rows] + 1e-3 * rng.normal(size=(len(rows), 2)), y[rows], rows

    found = [distance_correlation(*draw(80, 1)) for _ in range(150)]
    truth = np.mean([f.value for f in found])
    covered = np.mean([abs(f.value - truth) < 1.96 * f.error for f in found])
    assert 0.9 <= covered <= 0.99
    alone = distance_correlation(*draw(80, 1))
    repeated = distance_correlation(*draw(80, 5))
    assert repeated.num_groups == 80
    assert repeated.error > 0.7 * alone.error


def test_what_does_not_vary_is_undefined():
    x = np.random.default_rng(0).normal(size=(30, 2))
    assert np.isnan(distance_correlation(x, np.ones((30, 1)), np.arange(30)).value)
    assert np.isnan(distance_correlation(x[:5], x[:5], np.arange(5)).error)
    with pytest.raises(ValueError, match="at least four"):
        centred_distances(x[:3])
