from __future__ import annotations

import numpy as np
import pytest

from monai_hybridsynth.evaluation.image_appearance import image_appearance, judging_spaces, standardised


def test_everything_is_in_deviations_of_the_training_side():
    first, second = np.array([[0.0, 5.0], [2.0, 5.0]]), np.array([[3.0, 5.0], [100.0, 6.0]])
    scaled = standardised([first, second], limit=4)
    assert scaled[0].tolist() == [[-1, 0], [1, 0]]
    assert scaled[1].tolist() == [[2, 0], [4, 1]]


def test_the_judge_comes_first_and_as_it_is(pictured):
    sides = [pictured("train", 30, 1), pictured("holdout", 20, 2)]
    spaces = judging_spaces(sides)
    assert list(spaces) == ["judge", "texture"]
    assert spaces["judge"][1] is sides[1].features
    assert np.abs(spaces["texture"][0].mean(0)).max() < 0.2


def test_detectors_see_judge_texture_and_spectrum(pictured, judged):
    sides = [pictured("train", 30, 1), pictured("holdout", 20, 2)]
    appearance = image_appearance(sides)
    assert [side.shape for side in appearance] == [(30, 10 + 128 + 16), (20, 10 + 128 + 16)]
    assert appearance[0].mean(0) == pytest.approx(0, abs=1e-9)
    assert image_appearance([judged("train", 30, 1)])[0].shape == (30, 12)
