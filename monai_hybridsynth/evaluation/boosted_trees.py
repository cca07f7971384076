"""Boosted trees as a further predictor: what a table and an image are worth together where effects are not linear."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from monai_hybridsynth.evaluation.metric_record import MetricRecord
from monai_hybridsynth.evaluation.probe_scores import ProbeSide, ScoreTable
from monai_hybridsynth.evaluation.ridge_probe import patient_folds
from monai_hybridsynth.evaluation.utility_records import REAL, ArmKey, UtilityOutcome, UtilityWriter
from monai_hybridsynth.metrics import (
    bootstrap_weights,
    supplement_weight,
    weighted_auroc,
    weighted_average_precision,
    weighted_r2,
)

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingRegressor

__all__ = ["boosted_arm_predictions", "boosted_records"]

ROUNDS = 40
FINE_TUNING_ROUNDS = (0, 10, 20, 40)
FOLDS = 2
NUM_BINS = 32


def _grown(
    features: np.ndarray, values: np.ndarray, weights: np.ndarray, *, seed: int
) -> HistGradientBoostingRegressor:
    from sklearn.ensemble import HistGradientBoostingRegressor

    # Least squares for 0 / 1 outcomes too, as the ridge probes do: then a second model can be grown on what the first
    # one leaves over, which is what fine-tuning means for trees.
    trees = HistGradientBoostingRegressor(
        max_iter=ROUNDS,
        learning_rate=0.1,
        max_leaf_nodes=8,
        min_samples_leaf=10,
        l2_regularization=1.0,
        early_stopping=False,
        random_state=seed,
    )
    return trees.fit(features, values, sample_weight=weights)


def _fine_tuned(
    train: ProbeSide, synthetic: ProbeSide, test: ProbeSide, start: HistGradientBoostingRegressor, *, seed: int
) -> np.ndarray:
    """Grow trees on what the synthetic model leaves over in real records, as many as help left-out patients."""
    known = ~np.isnan(train.targets[:, 0])
    rest = train.targets[:, 0] - start.predict(train.features)
    folds = patient_folds(train.groups, FOLDS, seed=seed)

    def grown(rows: np.ndarray) -> HistGradientBoostingRegressor:
        return _grown(train.features[rows], rest[rows], train.weights[rows], seed=seed)

    errors = np.zeros(len(FINE_TUNING_ROUNDS))
    for fold in range(FOLDS):
        tested = known & (folds == fold)
        if not tested.any() or not (known & ~tested).any():
            continue
        stages = list(grown(known & ~tested).staged_predict(train.features[tested]))
        for place, rounds in enumerate(FINE_TUNING_ROUNDS):
            added = stages[rounds - 1] if rounds else np.zeros(tested.sum())
            errors[place] += train.weights[tested] @ (rest[tested] - added) ** 2
    rounds = FINE_TUNING_ROUNDS[int(errors.argmin())]
    predicted = start.predict(test.features)
    if rounds:
        predicted = predicted + list(grown(known).staged_predict(test.features))[rounds - 1]
    return predicted


def _binned(reference: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Return each feature's place among quantiles of the reference, shape of ``features``.

    Trees only ask for order; handing them few distinct values spares them weighted quantiles, which take the longest.
    """
    edges = np.quantile(reference, np.linspace(0, 1, NUM_BINS + 1)[1:-1], axis=0)
    places = [
        np.searchsorted(np.unique(edge), column, side="left") for edge, column in zip(edges.T, features.T, strict=True)
    ]
    return np.stack(places, axis=1).astype(float) if places else np.zeros((len(features), 0))


def boosted_arm_predictions(
    train: ProbeSide, synthetic: ProbeSide, test: ProbeSide, *, seed: int
) -> dict[str, np.ndarray]:
    """Return predictions of the first outcome for the test rows, shape ``(rows,)``, per arm."""
    reference = train.features
    train, synthetic, test = (
        side.with_features(_binned(reference, side.features)) for side in (train, synthetic, test)
    )
    sides = {"real": train, "synthetic": synthetic, "both": train.joined(synthetic)}
    patients, records = train.weights, synthetic.weights
    supplemented = np.concatenate([patients, supplement_weight(patients.sum(), records.sum()) * records])
    weights = {"real": patients, "synthetic": records, "both": supplemented}
    predicted = {}
    for arm, side in sides.items():
        known = ~np.isnan(side.targets[:, 0])
        if not known.any():
            predicted[arm] = np.zeros(len(test.features))
            continue
        model = _grown(side.features[known], side.targets[known, 0], weights[arm][known], seed=seed)
        predicted[arm] = model.predict(test.features)
        if arm == "synthetic":
            predicted["finetuned"] = _fine_tuned(train, synthetic, test, model, seed=seed)
    return predicted


def boosted_records(
    cohort: str,
    outcomes: Sequence[UtilityOutcome],
    sides: Sequence[ProbeSide],
    *,
    volume: float,
    num_replicates: int,
    seed: int,
) -> list[MetricRecord]:
    """Return scores per arm, ratio and gains of boosted trees on image features and clinical columns.

    Args:
        cohort: name of the synthetic cohort.
        outcomes: one per target column of the sides.
        sides: train, holdout and synthetic cohort.
        volume: synthetic records divided by training records.
        num_replicates: bootstrap samples of the holdout patients; trees are not grown again.
        seed: seed of trees, folds and samples.
    """
    train, holdout, synthetic = sides
    drawn = bootstrap_weights(holdout.groups, num_replicates, seed=seed) * holdout.weights
    keys: dict[str, ArmKey] = {arm: (arm, volume) for arm in ("synthetic", "both", "finetuned")} | {"real": REAL}
    points: dict[ArmKey, dict[str, list[np.ndarray]]] = {key: {} for key in keys.values()}
    for place, outcome in enumerate(outcomes):
        parts = (
            ProbeSide(side.features, side.targets[:, [place]], side.groups) for side in (train, synthetic, holdout)
        )
        predicted = boosted_arm_predictions(*parts, seed=seed)
        rows = ~np.isnan(holdout.targets[:, place])
        values = holdout.targets[rows, place]
        for arm, key in keys.items():
            scores = predicted.get(arm, np.zeros(len(holdout.targets)))[rows]
            weights = np.vstack([holdout.weights, drawn])[:, rows]
            for name in ("auroc", "auprc", "r2"):
                statistic = {"auroc": weighted_auroc, "auprc": weighted_average_precision, "r2": weighted_r2}[name]
                found = statistic(scores, values, weights) if name in outcome.names else np.full(len(weights), np.nan)
                points[key].setdefault(name, []).append(found)
    tables = {
        key: {name: ScoreTable(np.array(found)[:, 0], np.array(found)[:, 1:].T) for name, found in scores.items()}
        for key, scores in points.items()
    }
    estimator = (
        f"boosted trees ({ROUNDS} rounds of least squares) on image and clinical columns, tested on holdout patients; "
        f"bootstrap of the test patients, {num_replicates} samples, trees not grown again, so that luck with the "
        "training records is not in the interval; both: all records together weigh as much as the patients; "
        "fine-tuned: further trees on what the synthetic model leaves over"
    )
    dimensions: dict[str, str | float] = {"predictor": "boosted", "input": "both"}
    return UtilityWriter(
        cohort, dimensions, outcomes, len(np.unique(holdout.groups)), estimator, contraction=1.0
    ).records(tables)
