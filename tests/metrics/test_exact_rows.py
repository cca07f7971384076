from __future__ import annotations

import numpy as np
import pytest

from monai_hybridsynth.metrics.exact_rows import exact_rows, nearly_exact_rows


def test_only_rows_equal_in_every_column_are_found():
    training = np.array([["m", "60", "PA"], ["f", "41", "AP"]])
    candidates = np.array([["m", "60", "PA"], ["m", "60", "AP"], ["f", "41", "AP"], ["f", "41", "AP"]])
    assert exact_rows(candidates, training).tolist() == [True, False, True, True]


def test_joined_text_does_not_collide():
    assert not exact_rows(np.array([["ab", "c"]]), np.array([["a", "bc"]])).any()


def test_no_candidates():
    assert exact_rows(np.zeros((0, 2), dtype=str), np.array([["a", "b"]])).shape == (0,)


def test_other_columns_are_refused():
    with pytest.raises(ValueError, match="clinical columns of both"):
        exact_rows(np.array([["a"]]), np.array([["a", "b"]]))


def test_all_columns_but_one_by_a_loop():
    rng = np.random.default_rng(0)
    candidates, training = rng.integers(0, 4, (60, 5)).astype(str), rng.integers(0, 4, (40, 5)).astype(str)
    expected = [any((row != other).sum() <= 1 for other in training) for row in candidates]
    assert 5 < sum(expected) < 55
    assert nearly_exact_rows(candidates, training).tolist() == expected
