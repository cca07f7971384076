from __future__ import annotations

import numpy as np
import pytest

from monai_hybridsynth.evaluation.probe_scores import (
    PatientCrossfit,
    ProbeSide,
    average_tables,
    shuffled_rows,
    shuffled_transfer_scores,
    transfer_scores,
)
from monai_hybridsynth.metrics import REFIT_CONTRACTION, agreement_estimate, weighted_auroc, weighted_order_score

STATISTICS = [weighted_auroc, weighted_auroc, weighted_order_score]


def population(count: int, rng: np.random.Generator, *, offset: int = 0) -> ProbeSide:
    """Draw a strong, a weak and a continuous relation on 16 features."""
    features = rng.normal(size=(count, 16))
    signal = features @ np.eye(16)[:, :3] * [1.5, 0.7, 1.0] + rng.normal(size=(count, 3))
    targets = np.column_stack([signal[:, 0] > 0, signal[:, 1] > 0.5, signal[:, 2]]).astype(float)
    return ProbeSide(features, targets, np.arange(count) + offset)


def agreements(train, holdout, synthetic, *, seed, num_replicates=60):
    tables = transfer_scores(
        {"real": (train,), "synthetic": (synthetic,)},
        holdout,
        {"s": STATISTICS},
        num_replicates=num_replicates,
        seed=seed,
    )
    floor = shuffled_transfer_scores(
        train, holdout, STATISTICS, num_shuffles=5, num_replicates=num_replicates, seed=seed
    )
    crossfit = PatientCrossfit(
        train.joined(holdout), {"synthetic": synthetic}, STATISTICS, num_replicates=num_replicates, seed=seed
    )
    matched, floors = crossfit.matched(), crossfit.shuffled(5)
    both = average_tables([floors["real"], floors["synthetic"]])
    sides = {
        "forward": (tables["synthetic"]["s"], floor, tables["real"]["s"]),
        "reverse": (matched["synthetic"], both, matched["real"]),
    }
    return {
        name: agreement_estimate(
            tuple(table.point for table in parts),
            tuple(table.replicates for table in parts),
            num_groups=len(holdout.groups),
            contraction=REFIT_CONTRACTION,
        )
        for name, parts in sides.items()
    }


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_truth_is_found(direction):
    rng = np.random.default_rng(0)
    train, holdout, strangers = (population(n, rng, offset=o) for n, o in ((300, 0), (200, 1000), (300, 2000)))
    broken = ProbeSide(strangers.features, strangers.targets[rng.permutation(300)], strangers.groups)
    copies = rng.integers(0, 300, 600)
    copied = ProbeSide(train.features[copies], train.targets[copies], np.arange(600))
    found = {
        name: agreements(train, holdout, side, seed=1)[direction]
        for name, side in {"strangers": strangers, "broken": broken, "copied": copied}.items()
    }
    assert found["strangers"].value == pytest.approx(1, abs=0.2)
    assert found["strangers"].low < 1 < found["strangers"].high
    assert found["strangers"].low > 0.5
    assert found["broken"].low < 0 < found["broken"].high
    assert found["broken"].high < 0.7
    if direction == "reverse":
        assert found["copied"].value > found["strangers"].value
    else:
        assert found["copied"].value == pytest.approx(1, abs=0.15)


@pytest.mark.slow
@pytest.mark.parametrize("truth", [0.0, 1.0])
def test_intervals_of_agreement_cover_the_truth(truth):
    covered = []
    for draw in range(24):
        rng = np.random.default_rng(100 + draw)
        train, holdout, synthetic = (population(n, rng, offset=o) for n, o in ((150, 0), (80, 1000), (150, 2000)))
        if truth == 0:
            synthetic = ProbeSide(synthetic.features, synthetic.targets[rng.permutation(150)], synthetic.groups)
        found = agreements(train, holdout, synthetic, seed=draw, num_replicates=60)
        covered += [estimate.low <= truth <= estimate.high for estimate in found.values()]
    assert np.mean(covered) >= 0.88


def test_shuffling_gives_nobody_an_own_row_and_keeps_patients_together():
    groups = np.repeat(np.arange(30), np.random.default_rng(0).integers(1, 5, 30))
    rows = shuffled_rows(groups, seed=0)
    assert sorted(rows) == list(range(len(groups)))
    assert (groups[rows] != groups).all()
    assert (shuffled_rows(groups, seed=0) == rows).all()
    changes = (np.diff(groups[rows]) != 0).sum()
    assert changes < 2 * 30 + 2


def test_arms_share_their_patients_and_the_point_is_reproducible():
    rng = np.random.default_rng(0)
    train, holdout = population(80, rng), population(40, rng, offset=500)
    arms = {"real": (train,), "again": (train,), "both": (train, population(60, rng, offset=900))}
    first, second = (transfer_scores(arms, holdout, {"s": STATISTICS}, num_replicates=5, seed=2) for _ in range(2))
    assert (first["real"]["s"].replicates == first["again"]["s"].replicates).all()
    assert (first["real"]["s"].replicates != first["both"]["s"].replicates).any()
    assert (first["both"]["s"].replicates == second["both"]["s"].replicates).all()


def test_an_outcome_that_the_test_lacks_is_undefined_not_an_error():
    rng = np.random.default_rng(0)
    train, holdout = population(60, rng), population(30, rng, offset=500)
    holdout.targets[:, 0] = 1
    holdout.targets[:, 2] = np.nan
    table = transfer_scores({"real": (train,)}, holdout, {"s": STATISTICS}, num_replicates=3, seed=0)["real"]["s"]
    assert np.isnan(table.point[[0, 2]]).all()
    assert np.isfinite(table.point[1])
