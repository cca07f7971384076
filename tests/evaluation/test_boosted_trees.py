from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor

from monai_hybridsynth.evaluation.boosted_trees import boosted_arm_predictions, boosted_records
from monai_hybridsynth.evaluation.prediction_targets import PredictionTarget
from monai_hybridsynth.evaluation.probe_scores import ProbeSide
from monai_hybridsynth.evaluation.utility_records import UtilityOutcome
from monai_hybridsynth.evaluation.verdict import find_record
from monai_hybridsynth.metrics import weighted_auroc


def population(count: int, seed: int) -> ProbeSide:
    """The outcome is an exclusive or: no linear predictor finds it."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, 4))
    outcome = ((features[:, 0] > 0) != (features[:, 1] > 0)).astype(float)
    return ProbeSide(features, outcome[:, None], np.arange(count) + 10000 * seed)


@pytest.fixture(scope="module")
def sides():
    return population(200, 1), population(150, 2), population(300, 3)


def test_trees_find_what_is_not_linear_in_every_arm(sides):
    train, holdout, synthetic = sides
    predicted = boosted_arm_predictions(train, synthetic, holdout, seed=0)
    assert set(predicted) == {"real", "synthetic", "both", "finetuned"}
    for scores in predicted.values():
        assert weighted_auroc(scores, holdout.targets[:, 0]) > 0.9
    again = boosted_arm_predictions(train, synthetic, holdout, seed=0)
    assert all((again[arm] == scores).all() for arm, scores in predicted.items())


def test_records_hold_scores_ratio_and_gains(sides, schema):
    outcome = UtilityOutcome(PredictionTarget("sex", "m", schema["sex"]), 70, 0.5)
    records = boosted_records("c", [outcome], sides, volume=1.5, num_replicates=50, seed=0)
    ratio = find_record(records, "c", "utility_ratio", column="sex", label="m", predictor="boosted")
    assert ratio.low < ratio.value < ratio.high
    assert ratio.value == pytest.approx(1, abs=0.1)
    assert {r.dimensions.get("arm") for r in records if r.name == "auroc_gain"} == {"both", "finetuned"}
    assert "not grown again" in ratio.estimator


def test_an_arm_without_the_outcome_guesses(sides):
    train, holdout, synthetic = sides
    empty = ProbeSide(synthetic.features, np.full((300, 1), np.nan), synthetic.groups)
    assert not boosted_arm_predictions(train, empty, holdout, seed=0)["synthetic"].any()


def test_records_that_supplement_patients_weigh_as_much_as_these_together(sides):
    train, holdout, synthetic = sides
    weights = np.repeat([1.0, 200 / 300], [200, 300])
    edges = [np.quantile(column, np.linspace(0, 1, 33)[1:-1]) for column in train.features.T]
    bins = [
        np.stack([np.searchsorted(edge, column) for edge, column in zip(edges, side.features.T, strict=True)], axis=1)
        for side in (train, synthetic, holdout)
    ]
    trees = HistGradientBoostingRegressor(
        max_iter=40, max_leaf_nodes=8, min_samples_leaf=10, l2_regularization=1.0, early_stopping=False, random_state=0
    )
    targets = np.concatenate([train.targets[:, 0], synthetic.targets[:, 0]])
    trees.fit(np.concatenate(bins[:2]), targets, sample_weight=weights)
    both = boosted_arm_predictions(train, synthetic, holdout, seed=0)["both"]
    assert both == pytest.approx(trees.predict(bins[2]))
