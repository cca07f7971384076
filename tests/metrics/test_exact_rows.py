from __future__ import annotations

import numpy as np
import pytest

from monai_hybridsynth.metrics import exact_rows


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
