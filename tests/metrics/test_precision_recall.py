from __future__ import annotations

import numpy as np
import pytest

from monai_hybridsynth.metrics import precision_recall


def by_loops(fake, real, k):
    def gap(a, b):
        return float(np.sqrt(((a - b) ** 2).sum()))

    def radius(side, i):
        return sorted(gap(side[i], side[j]) for j in range(len(side)) if j != i)[k - 1]

    ball_real = [radius(real, i) for i in range(len(real))]
    ball_fake = [radius(fake, j) for j in range(len(fake))]
    held = [[gap(f, r) <= ball_real[i] for i, r in enumerate(real)] for f in fake]
    return {
        "precision": np.mean([any(row) for row in held]),
        "recall": np.mean([any(gap(f, r) <= ball_fake[j] for j, f in enumerate(fake)) for r in real]),
        "density": np.mean([sum(row) / k for row in held]),
        "coverage": np.mean([any(row[i] for row in held) for i in range(len(real))]),
    }


@pytest.mark.parametrize("block", [7, 2048])
def test_matches_the_definitions_written_as_loops(block):
    rng = np.random.default_rng(0)
    fake, real = rng.normal(size=(23, 3)) * 0.7 + 0.3, rng.normal(size=(31, 3))
    found = precision_recall(fake, real, num_neighbours=3, block=block)
    assert found == pytest.approx(by_loops(fake, real, 3))


def test_mode_collapse_costs_recall_and_noise_costs_precision():
    rng = np.random.default_rng(1)
    real, other = rng.normal(size=(300, 4)), rng.normal(size=(300, 4))
    same = precision_recall(other, real)
    collapsed = precision_recall(0.15 * other, real)
    scattered = precision_recall(6 * other, real)
    assert collapsed["precision"] >= same["precision"]
    assert collapsed["recall"] < 0.3 < 0.8 < same["recall"]
    assert collapsed["coverage"] < 0.4 < 0.9 < same["coverage"]
    assert scattered["precision"] < 0.2
    # A wide fake cohort holds all real images in its huge balls: the known weakness of recall, not of coverage.
    assert scattered["recall"] > 0.9
    assert scattered["coverage"] < 0.3


def test_too_few_rows_and_other_features_are_refused():
    with pytest.raises(ValueError, match="give more rows"):
        precision_recall(np.zeros((5, 2)), np.zeros((9, 2)))
    with pytest.raises(ValueError, match="equal F"):
        precision_recall(np.zeros((9, 2)), np.zeros((9, 3)))
