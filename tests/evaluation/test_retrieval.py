from __future__ import annotations

import numpy as np
import pytest

from monai_hybridsynth.evaluation.retrieval import retrieval_findings


@pytest.fixture(scope="module")
def sides(judged):
    return judged("train", 240, 1), judged("holdout", 140, 2)


def records(sides, synthetic, seed=0):
    return {record.name: record for record in retrieval_findings(*sides, synthetic, seed=seed).metrics}


def test_strangers_are_retrieved_like_real_patients_and_shuffled_records_by_chance(sides, judged):
    honest = records(sides, judged("synthetic", 300, 3))
    broken = records(sides, judged("synthetic", 300, 3, shuffled=True))
    assert set(honest) == {"retrieval_at_1", "retrieval_at_10", "retrieval_p_value"}
    for name, chance in (("retrieval_at_1", 0.01), ("retrieval_at_10", 0.1)):
        one, zero = honest[name], broken[name]
        assert one.floor == zero.floor == chance
        assert one.ceiling == zero.ceiling
        assert one.low - 0.02 < one.ceiling < one.high + 0.02
        assert one.low > chance
        assert zero.low <= chance <= zero.high
        assert one.dimensions["candidates"] == 100
    assert honest["retrieval_p_value"].value < 0.01
    assert broken["retrieval_p_value"].value > 0.01
    assert honest["retrieval_p_value"].better == "lower"
    assert honest["retrieval_at_10"].n == 300


def test_the_ceiling_does_not_know_the_synthetic_cohort(sides, judged):
    first = records(sides, judged("synthetic", 120, 5))["retrieval_at_10"]
    second = records(sides, judged("synthetic", 400, 6, shuffled=True))["retrieval_at_10"]
    assert first.ceiling == pytest.approx(second.ceiling)


def test_matches_a_plain_ranking_of_predicted_rows(judged):
    """Retrieval drawn candidate set by candidate set, with scikit-learn's ridge in place of ours."""
    from sklearn.linear_model import RidgeCV

    sides = judged("train", 240, 1), judged("holdout", 140, 2)
    synthetic = judged("synthetic", 200, 3)
    age = [side.table["age"].to_numpy(dtype=float) for side in (*sides, synthetic)]
    model = RidgeCV(np.logspace(-2, 3, 12)).fit(
        np.concatenate([side.features for side in sides]), np.concatenate(age[:2])
    )
    for side in (*sides, synthetic):
        for column in side.cohort.schema.feature_names:
            if column != "age":
                side.table[column] = (
                    np.nan if column == "crp" else {"sex": "f", "labels": "dry", "smoker": "no"}[column]
                )
    predicted, known = model.predict(synthetic.features), np.concatenate(age[:2])
    variance = np.mean((known - model.predict(np.concatenate([side.features for side in sides]))) ** 2)
    # As in Gaussian likelihoods: closeness to the prediction, against how common the value is anyway.
    score = (age[2] - known.mean()) ** 2 / known.var() - (age[2][None] - predicted[:, None]) ** 2 / variance
    rng, hits = np.random.default_rng(0), []
    for row in np.repeat(np.arange(200), 5):
        others = rng.permutation(np.delete(np.arange(200), row))[:99]
        hits.append((score[row, others] > score[row, row]).sum() < 10)
    assert records(sides, synthetic)["retrieval_at_10"].value == pytest.approx(np.mean(hits), abs=0.04)


def test_one_seed_gives_the_same_values(sides, judged):
    synthetic = judged("synthetic", 60, 3)
    assert records(sides, synthetic) == records(sides, synthetic)


def test_tiny_and_constant_cohorts_are_answered_with_reasons(sides, judged):
    tiny = records((judged("train", 12, 1), judged("holdout", 5, 2)), judged("synthetic", 50, 3))
    assert all(record.value is None and "not estimable because" in record.note for record in tiny.values())
    small = records((judged("train", 40, 1), judged("holdout", 10, 2)), judged("synthetic", 30, 3))
    assert small["retrieval_at_10"].dimensions["candidates"] <= 30
    assert small["retrieval_at_10"].value is not None
