from __future__ import annotations

import numpy as np

from monai_hybridsynth.fusion.label_choice import choose_labels

ALONE = np.array([True, False, False])


def test_labels_above_their_threshold_are_taken():
    hits = choose_labels(np.array([[-1.0, 0.2, 0.1], [-1.0, -0.1, 0.3]]), alone=ALONE, always_one=False)
    np.testing.assert_array_equal(hits, [[False, True, True], [False, False, True]])


def test_an_exclusive_label_stands_alone():
    hits = choose_labels(np.array([[0.1, 0.9, 0.9]]), alone=ALONE, always_one=True)
    np.testing.assert_array_equal(hits, [[True, False, False]])
    both = choose_labels(np.array([[0.1, 0.4, 0.9]]), alone=np.array([True, True, False]), always_one=True)
    np.testing.assert_array_equal(both, [[False, True, False]])


def test_a_row_that_must_have_a_label_gets_the_nearest_that_is_not_exclusive():
    margins = np.array([[-0.1, -0.9, -0.5]])
    np.testing.assert_array_equal(choose_labels(margins, alone=ALONE, always_one=True), [[False, False, True]])
    assert not choose_labels(margins, alone=ALONE, always_one=False).any()
    only = choose_labels(margins, alone=np.array([True, True, True]), always_one=True)
    np.testing.assert_array_equal(only, [[True, False, False]])


def test_margins_are_left_as_they_are():
    margins = np.array([[0.1, 0.9, -0.5]])
    choose_labels(margins, alone=ALONE, always_one=True)
    np.testing.assert_array_equal(margins, [[0.1, 0.9, -0.5]])
