"""Arms of the utility comparison: the fine-tuned head, calibrated probabilities, and intervals checked a second way."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from monai_hybridsynth.evaluation.probe_scores import ProbeSide, score_columns, transfer_scores
from monai_hybridsynth.evaluation.ridge_probe import PENALTIES, Moments, RidgeProbe
from monai_hybridsynth.evaluation.training_arms import TrainingArm, arm_scores
from monai_hybridsynth.metrics import (
    REFIT_CONTRACTION,
    bootstrap_estimate,
    interval,
    squared_calibration_error,
    weighted_auroc,
)


def population(count: int, seed: int, *, strength: float = 1.0, width: int = 16) -> ProbeSide:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, width))
    signal = strength * features[:, :4].sum(1) + 2 * rng.normal(size=count)
    return ProbeSide(features, (signal > 0).astype(float)[:, None], np.array([f"{seed} {row}" for row in range(count)]))


def ranking(test: ProbeSide):
    return {"auroc": lambda found, weights: score_columns(found.scores, test.targets, weights, [weighted_auroc])}


def delong(scores: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Return area and standard error after DeLong, DeLong and Clarke-Pearson 1988, from the pairs one by one."""
    positive, negative = scores[labels == 1], scores[labels == 0]
    wins = (positive[:, None] > negative[None, :]) + 0.5 * (positive[:, None] == negative[None, :])
    by_positive, by_negative = wins.mean(1), wins.mean(0)
    variance = by_positive.var(ddof=1) / len(positive) + by_negative.var(ddof=1) / len(negative)
    return float(wins.mean()), float(np.sqrt(variance))


def test_a_start_moves_the_point_that_is_shrunk_towards():
    rng = np.random.default_rng(0)
    features, targets = rng.normal(size=(60, 4)), rng.normal(size=(60, 1))
    start = RidgeProbe(rng.normal(size=(4, 1)), np.array([7.0]))
    moments = Moments.of(features, targets, np.ones(60))
    loose, tight = (moments.solve(np.array([penalty]), start=start) for penalty in (1e-9, 1e9))
    assert loose.coefficients == pytest.approx(moments.solve(np.array([1e-9])).coefficients, abs=1e-6)
    assert tight.coefficients == pytest.approx(start.coefficients, abs=1e-6)
    residual = targets - features @ start.coefficients
    assert np.mean(residual - tight.intercepts) == pytest.approx(
        np.mean(features @ (tight.coefficients - start.coefficients)), abs=1e-6
    )


def test_arms_agree_with_the_transfer_scores_of_correspondence():
    train, test, synthetic = population(80, 1), population(60, 2), population(90, 3)
    tables, _ = arm_scores(
        {"real": TrainingArm((train,)), "synthetic": TrainingArm((synthetic,))},
        test,
        dict.fromkeys(("real", "synthetic"), ranking(test)),
        num_replicates=4,
        seed=2,
    )
    known = transfer_scores(
        {"real": (train,), "synthetic": (synthetic,)}, test, {"auroc": [weighted_auroc]}, num_replicates=4, seed=2
    )
    for arm in ("real", "synthetic"):
        assert tables[arm]["auroc"].point == pytest.approx(known[arm]["auroc"].point)
        assert tables[arm]["auroc"].replicates == pytest.approx(known[arm]["auroc"].replicates)


def test_records_that_supplement_patients_weigh_as_much_as_these_together():
    train, test, synthetic = population(60, 1), population(80, 2), population(240, 3)
    arms = {
        "both": TrainingArm((train, synthetic), supplemented=True),
        "one by one": TrainingArm((train, synthetic)),
        "few": TrainingArm((train, population(20, 4)), supplemented=True),
        "few, one by one": TrainingArm((train, population(20, 4))),
    }
    _, found = arm_scores(arms, test, dict.fromkeys(arms, {}), num_replicates=0, seed=0)
    parts = [(side.features, side.targets) for side in (train, synthetic)]
    features, targets = (np.concatenate(pair) for pair in zip(*parts, strict=True))
    weights = np.repeat([1.0, 0.25], [60, 240])
    fits = [Moments.of(features, targets, weights).solve(np.array([penalty])) for penalty in PENALTIES]
    assert any(found["both"].scores == pytest.approx(fit.predict(test.features)) for fit in fits)
    assert found["both"].scores != pytest.approx(found["one by one"].scores)
    assert found["few"].scores == pytest.approx(found["few, one by one"].scores)


def test_fine_tuning_takes_from_both_and_ignores_a_useless_start():
    train, test = population(60, 1, width=40), population(2000, 2, width=40)
    strangers = population(1500, 3, width=40)
    useless = ProbeSide(strangers.features, np.random.default_rng(4).permutation(strangers.targets), strangers.groups)
    arms = {
        "real": TrainingArm((train,)),
        "helped": TrainingArm((train,), (strangers,)),
        "misled": TrainingArm((train,), (useless,)),
    }
    tables, _ = arm_scores(arms, test, dict.fromkeys(arms, ranking(test)), num_replicates=0, seed=0)
    area = {arm: float(tables[arm]["auroc"].point[0]) for arm in arms}
    assert area["helped"] > area["real"] + 0.02
    assert area["misled"] == pytest.approx(area["real"], abs=0.05)


def test_probabilities_are_calibrated_for_patients_not_seen():
    train, test = population(400, 1), population(3000, 2)
    _, found = arm_scores({"a": TrainingArm((train,), calibrated=True)}, test, {"a": {}}, num_replicates=0, seed=0)
    error = squared_calibration_error(found["a"].probabilities[:, 0], test.targets[:, 0])
    assert np.sqrt(max(float(error), 0)) < 0.06
    assert 0 < found["a"].probabilities.min() < found["a"].probabilities.max() < 1
    _, plain = arm_scores({"a": TrainingArm((train,))}, test, {"a": {}}, num_replicates=0, seed=0)
    with pytest.raises(RuntimeError, match="calibrated=True"):
        _ = plain["a"].probabilities


def test_the_bootstrap_of_test_patients_agrees_with_delong():
    rng = np.random.default_rng(0)
    labels = (rng.random(300) < 0.3).astype(float)
    scores = labels + rng.normal(size=300)
    area, error = delong(scores, labels)
    found = bootstrap_estimate(
        lambda weights: weighted_auroc(scores, labels, weights), np.arange(300), seed=0, num_replicates=1000
    )
    assert found.value == pytest.approx(area)
    half = stats.norm.ppf(0.975) * error
    assert (found.low, found.high) == pytest.approx((area - half, area + half), abs=0.15 * half)


@pytest.mark.slow
def test_intervals_of_the_area_cover_the_truth():
    truth = stats.norm.cdf(1 / np.sqrt(2))
    covered = {"bootstrap": [], "delong": []}
    for draw in range(400):
        rng = np.random.default_rng(draw)
        labels = (np.arange(160) < 48).astype(float)
        scores = labels + rng.normal(size=160)
        found = bootstrap_estimate(
            lambda weights, s=scores, y=labels: weighted_auroc(s, y, weights),
            np.arange(160),
            seed=draw,
            num_replicates=300,
        )
        area, error = delong(scores, labels)
        covered["bootstrap"].append(found.low <= truth <= found.high)
        covered["delong"].append(abs(area - truth) <= stats.norm.ppf(0.975) * error)
    # 93 to 97 % around the nominal 95, widened by what 400 draws leave uncertain.
    for name, hits in covered.items():
        assert 0.93 - 0.012 <= np.mean(hits) <= 0.97 + 0.012, name


@pytest.mark.slow
def test_the_gain_of_more_real_patients_is_covered():
    test_size, hits = 120, []
    large = population(20000, 9999)
    for draw in range(24):
        train, more, test = (population(n, 3 * draw + k) for k, n in enumerate((60, 120, test_size)))
        arms = {"real": TrainingArm((train,)), "both": TrainingArm((train, more))}
        tables, _ = arm_scores(arms, test, dict.fromkeys(arms, ranking(test)), num_replicates=60, seed=draw)
        truth, _ = arm_scores(arms, large, dict.fromkeys(arms, ranking(large)), num_replicates=0, seed=draw)
        gain, exact = (t["both"]["auroc"].point[0] - t["real"]["auroc"].point[0] for t in (tables, truth))
        drawn = tables["both"]["auroc"].replicates - tables["real"]["auroc"].replicates
        low, high = interval(gain, drawn[:, 0], num_groups=test_size, contraction=REFIT_CONTRACTION)
        hits.append(low <= exact <= high)
    assert np.mean(hits) >= 0.85
