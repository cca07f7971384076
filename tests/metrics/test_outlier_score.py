from __future__ import annotations

import numpy as np
import pytest

from monai_hybridsynth.metrics import broken_share, outlier_scores


def test_follows_the_mahalanobis_distance_where_shrinkage_is_small():
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(4, 4))
    reference, candidates = rng.normal(size=(20_000, 4)) @ mixing, rng.normal(size=(50, 4)) @ mixing + 1
    gap = candidates - reference.mean(0)
    expected = (gap @ np.linalg.inv(np.cov(reference, rowvar=False)) * gap).sum(1) / 4
    assert outlier_scores(candidates, reference) == pytest.approx(expected, rel=0.05)


def test_an_image_that_is_too_smooth_is_found_though_it_lies_near_the_mean():
    rng = np.random.default_rng(1)
    detail = 1 + 0.1 * rng.normal(size=(500, 3))
    reference = np.hstack([rng.normal(size=(500, 3)), detail])
    smooth = np.hstack([np.zeros((20, 3)), np.full((20, 3), 0.5)])
    assert outlier_scores(smooth, reference).min() > np.quantile(outlier_scores(reference, reference), 0.99)


def test_real_images_are_called_broken_as_often_as_allowed():
    rng = np.random.default_rng(2)
    scores = [outlier_scores(rng.normal(size=(2000, 5)), rng.normal(size=(2000, 5))) for _ in range(2)]
    assert broken_share(*scores) == pytest.approx(0.05, abs=0.015)
    assert broken_share(scores[0] + 100, scores[1]) == 1


def test_weights_mean_repetition():
    rng = np.random.default_rng(3)
    scores, calibration = rng.normal(size=30), rng.normal(size=40)
    counts = rng.integers(0, 3, 30), rng.integers(0, 3, 40)
    repeated = broken_share(np.repeat(scores, counts[0]), np.repeat(calibration, counts[1]), false_alarm=0.2)
    weighted = broken_share(scores, calibration, counts[0][None], counts[1][None], false_alarm=0.2)
    assert weighted.shape == (1,)
    assert weighted[0] == pytest.approx(repeated)


def test_a_constant_reference_and_other_features():
    assert (outlier_scores(np.ones((3, 2)), np.zeros((5, 2))) == 0).all()
    with pytest.raises(ValueError, match="equal F"):
        outlier_scores(np.ones((3, 2)), np.ones((5, 3)))
