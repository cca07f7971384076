from __future__ import annotations

import itertools

import numpy as np
import pytest

from monai_hybridsynth.metrics import hit_chances, permutation_p_value


def by_enumeration(scores: np.ndarray, own: int, *, num_candidates: int, k: int) -> float:
    """Return the chance of a hit over every candidate set, equal scores in every order."""
    others = [j for j in range(len(scores)) if j != own and not np.isnan(scores[j])]
    hits = []
    for drawn in itertools.combinations(others, num_candidates - 1):
        better = sum(scores[j] > scores[own] for j in drawn)
        equal = sum(scores[j] == scores[own] for j in drawn)
        hits.append(np.mean([better + place < k for place in range(equal + 1)]))
    return float(np.mean(hits))


@pytest.mark.parametrize(("num_candidates", "k"), [(4, 1), (5, 2), (8, 3)])
def test_matches_the_enumeration_of_candidate_sets(num_candidates, k):
    rng = np.random.default_rng(k)
    scores = rng.integers(0, 5, size=(8, 8)).astype(float)  # many equal scores
    chances = hit_chances(scores, num_candidates=num_candidates, k=k)
    for image, row in itertools.product(range(8), range(8)):
        expected = by_enumeration(scores[image], row, num_candidates=num_candidates, k=k)
        assert chances[image, row] == pytest.approx(expected)


def test_rows_that_are_no_candidates_are_left_out():
    scores = np.random.default_rng(0).normal(size=(7, 7))
    scores[0, 3] = np.nan
    chances = hit_chances(scores, num_candidates=4, k=1)
    assert np.isnan(chances[0, 3])
    assert chances[0, 0] == pytest.approx(by_enumeration(scores[0], 0, num_candidates=4, k=1))


def test_random_scores_hit_by_chance_whatever_the_size_of_the_cohort():
    rng = np.random.default_rng(1)
    for size in (40, 120):
        chances = hit_chances(rng.normal(size=(size, size)), num_candidates=20, k=5)
        assert chances.mean() == pytest.approx(5 / 20)  # every row of an image once: exactly chance


def test_the_p_value_is_small_for_a_link_and_even_without():
    rng = np.random.default_rng(2)
    linked = hit_chances(rng.normal(size=(60, 60)) + 2 * np.eye(60), num_candidates=20, k=5)
    assert permutation_p_value(linked, num_permutations=199, seed=0) == (1 / 200, 0)
    values = [
        permutation_p_value(hit_chances(rng.normal(size=(30, 30)), num_candidates=10, k=2), num_permutations=99, seed=s)
        for s in range(60)
    ]
    assert 0.35 < np.mean([value for value, _ in values]) < 0.65
    assert permutation_p_value(linked, num_permutations=50, seed=3) == permutation_p_value(
        linked, num_permutations=50, seed=3
    )


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="between 1 and num_candidates = 5"):
        hit_chances(np.zeros((9, 9)), num_candidates=5, k=6)
    with pytest.raises(ValueError, match="one image and one row"):
        permutation_p_value(np.zeros((3, 4)), seed=0)
