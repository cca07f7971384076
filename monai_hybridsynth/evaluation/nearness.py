"""Does the cohort contain patients? Exact rows and nearest training records, each beside the held-out patients."""

from __future__ import annotations

import numpy as np
import torch

from monai_hybridsynth.evaluation.column_views import row_texts
from monai_hybridsynth.evaluation.judged_cohort import JudgedCohort
from monai_hybridsynth.evaluation.metric_record import MetricRecord
from monai_hybridsynth.evaluation.train_on_synthetic import encoded_rows
from monai_hybridsynth.metrics import (
    Estimate,
    bootstrap_weights,
    exact_rows,
    interval,
    nearest_records,
    record_weights,
    share_estimate,
)

__all__ = ["closest_training_rows", "nearness_metrics"]

NUM_REPLICATES = 400
MAXIMUM_RECORDS = 5000


def nearness_metrics(
    train: JudgedCohort, holdout: JudgedCohort, synthetic: JudgedCohort, *, seed: int
) -> list[MetricRecord]:
    """Return exact_rows_share, and dcr_median and nndr_median for image, table and record.

    Diagnostics, not proofs: a cohort can pass them and still tell who was in the training data.
    """
    records = [_exact_rows(train, holdout, synthetic)]
    rows = encoded_rows(train.cohort.schema, (train, holdout, synthetic))
    images = [side.features for side in (train, holdout, synthetic)]
    views = {
        "image": images,
        "table": rows,
        "record": [np.hstack(pair) for pair in zip(_unit(images), _unit(rows), strict=True)],
    }
    for view, (real, other, made) in views.items():
        records += _distances(view, real, (other, made), (holdout, synthetic), seed=seed)
    return records


def _unit(sides: list[np.ndarray]) -> list[np.ndarray]:
    """Scale both halves of a record to the same mean squared length in the training cohort."""
    length = float(np.sqrt((sides[0] ** 2).sum(1).mean())) if sides[0].shape[1] else 1.0
    return [side / max(length, 1e-12) for side in sides]


def _exact_rows(train: JudgedCohort, holdout: JudgedCohort, synthetic: JudgedCohort) -> MetricRecord:
    schema = train.cohort.schema
    texts = [row_texts(schema, side.table) for side in (train, holdout, synthetic)]
    floor = float(np.average(exact_rows(texts[1], texts[0]), weights=holdout.weights))
    found = exact_rows(texts[2], texts[0])
    estimate = share_estimate(int(found.sum()), len(found))
    return MetricRecord.of(
        estimate,
        cohort=synthetic.name,
        family="privacy",
        name="exact_rows_share",
        better="lower",
        dimensions={"view": "table"},
        floor=floor,
        ceiling=1.0,
        reading=(
            f"{100 * float(found.mean()):.1f} % of the synthetic clinical rows equal a training row in every column; "
            f"of rows of patients who were never used, {100 * floor:.1f} % do."
        ),
        estimator="share of rows equal in all modelled columns, exact binomial interval; floor: holdout rows",
    )


def _distances(
    view: str,
    train: np.ndarray,
    features: tuple[np.ndarray, np.ndarray],
    cohorts: tuple[JudgedCohort, JudgedCohort],
    *,
    seed: int,
) -> list[MetricRecord]:
    """Return both medians for one view; ``features`` and ``cohorts`` are holdout and synthetic."""
    name = cohorts[1].name
    if train.shape[1] == 0 or len(train) < 2:
        reason = (
            "there is nothing to measure a distance in" if train.shape[1] == 0 else "train has fewer than two records"
        )
        return [_absent(reason, name, metric, view) for metric in ("dcr_median", "nndr_median")]
    records = []
    found = []
    for side, cohort in zip(features, cohorts, strict=True):
        rows = _subset(len(side), seed=seed)
        distances = nearest_records(torch.from_numpy(side[rows]), torch.from_numpy(train), num_neighbours=2)[0].numpy()
        second = np.maximum(distances[:, 1], np.finfo(float).tiny)
        ratio = np.where(distances[:, 1] > 0, distances[:, 0] / second, 1.0)
        found.append((distances[:, 0], ratio, cohort.groups[rows]))
    for metric, place in (("dcr_median", 0), ("nndr_median", 1)):
        floor = float(_median(found[0][place], record_weights(found[0][2])[None])[0])
        highest = np.inf if metric == "dcr_median" else 1.0
        estimate = _median_estimate(found[1][place], found[1][2], highest=highest, seed=seed)
        records.append(_distance_record(estimate, floor, name, metric, view))
    return records


def _distance_record(estimate: Estimate, floor: float, cohort: str, metric: str, view: str) -> MetricRecord:
    what = {
        "dcr_median": "distance to the closest training record",
        "nndr_median": "ratio of closest to second closest distance",
    }[metric]
    return MetricRecord.of(
        estimate,
        cohort=cohort,
        family="privacy",
        name=metric,
        dimensions={"view": view},
        better="higher",
        floor=floor,
        ceiling=None,
        reading=(
            f"The median {what} ({view}) is {estimate.value:.2f} for synthetic records and {floor:.2f} for real "
            "patients who were never used; clearly below would point to copies. A diagnostic, not a proof."
        ),
        estimator=f"median over synthetic records, bootstrap, {NUM_REPLICATES} replicates; floor: holdout patients",
    )


def _absent(reason: str, cohort: str, metric: str, view: str) -> MetricRecord:
    return MetricRecord.of(
        Estimate.absent(reason),
        cohort=cohort,
        family="privacy",
        name=metric,
        dimensions={"view": view},
        estimator="median over synthetic records",
        reading="-",
    )


def _subset(count: int, *, seed: int) -> np.ndarray:
    rows = np.arange(count)
    return (
        rows if count <= MAXIMUM_RECORDS else np.sort(np.random.default_rng(seed).permutation(rows)[:MAXIMUM_RECORDS])
    )


def _median(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return weighted medians, shape ``(B,)``, for weights ``(B, rows)``."""
    order = np.argsort(values)
    share = np.cumsum(weights[:, order], axis=1)
    place = (share >= 0.5 * share[:, -1:]).argmax(1)
    return values[order][place]


def _median_estimate(values: np.ndarray, groups: np.ndarray, *, highest: float, seed: int) -> Estimate:
    units = len(np.unique(groups))
    value = float(np.median(values))
    replicates = _median(values, bootstrap_weights(groups, NUM_REPLICATES, seed=seed))
    low, high = interval(value, replicates, num_groups=units, bounds=(0.0, highest))
    return Estimate(value, low, high, units)


def closest_training_rows(candidates: np.ndarray, train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each candidate's distance to and index of its closest training record, for galleries."""
    distances, indices = nearest_records(torch.from_numpy(candidates), torch.from_numpy(train))
    return distances[:, 0].numpy(), indices[:, 0].numpy()
