"""Does the cohort contain patients? Exact rows and nearest training records, each beside the held-out patients."""

from __future__ import annotations

import numpy as np
import torch

from monai_hybridsynth.data.row_texts import row_texts
from monai_hybridsynth.evaluation.judged_cohort import JudgedCohort, limited_rows
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
from monai_hybridsynth.metrics.copy_share import share_beside_floor
from monai_hybridsynth.metrics.exact_rows import nearly_exact_rows

__all__ = ["nearness_metrics"]

NUM_REPLICATES = 400
MAXIMUM_RECORDS = 5000


def nearness_metrics(
    train: JudgedCohort, holdout: JudgedCohort, synthetic: JudgedCohort, *, seed: int
) -> list[MetricRecord]:
    """Return exact_rows_share, and dcr_median and nndr_median for image, table and record.

    Diagnostics, not proofs: a cohort can pass them and still tell who was in the training data.
    """
    records = _exact_rows(train, holdout, synthetic)
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


def _exact_rows(train: JudgedCohort, holdout: JudgedCohort, synthetic: JudgedCohort) -> list[MetricRecord]:
    """Return the share of exact rows, of those that one patient alone has, and of rows off in one column at most."""
    schema = train.cohort.schema
    real, other, made = (row_texts(schema, side.table) for side in (train, holdout, synthetic))
    if not len(made) or real.shape[1] == 0:
        reason = Estimate.absent("the schema models no column, or there are no rows")
        return [_row_share(reason, None, synthetic.name, "", "-")]
    floor = float(np.average(exact_rows(other, real), weights=holdout.weights))
    found = exact_rows(made, real)
    hit = len(np.unique(train.groups[exact_rows(real, made)].astype(str)))
    share = float(found.mean())
    reading = (
        f"{100 * share:.1f} % of the synthetic clinical rows equal a training row in every column, rows of {hit} of "
        f"{train.num_groups} training patients; of rows of patients who were never used, {100 * floor:.1f} % do."
    )
    return [
        _row_share(share_estimate(int(found.sum()), len(found)), floor, synthetic.name, "", reading),
        *_further_rows(real, other, made, (train, holdout, synthetic)),
    ]


def _further_rows(
    real: np.ndarray, other: np.ndarray, made: np.ndarray, sides: tuple[JudgedCohort, JudgedCohort, JudgedCohort]
) -> list[MetricRecord]:
    train, holdout, synthetic = sides
    owners: dict[tuple[str, ...], set[str]] = {}
    for row, patient in zip(real.tolist(), train.groups, strict=True):
        owners.setdefault(tuple(row), set()).add(str(patient))
    alone = real[[len(owners[tuple(row)]) == 1 for row in real.tolist()]]
    kinds = {
        "rows of one patient alone": (exact_rows, alone, "equal a training row that one single patient has"),
        "all columns but one": (nearly_exact_rows, real, "equal a training row in all columns but at most one"),
    }
    records = []
    for label, (search, bank, words) in kinds.items():
        shares = [search(rows, bank) if len(bank) else np.zeros(len(rows), dtype=bool) for rows in (other, made)]
        floor, share = float(np.average(shares[0], weights=holdout.weights)), float(shares[1].mean())
        limits = share_estimate(round(floor * holdout.num_groups), holdout.num_groups)
        estimate = share_beside_floor(share, len(made), floor, (float(limits.low or 0), float(limits.high or 0)))
        reading = (
            f"{100 * share:.1f} % of the synthetic clinical rows {words}; of rows of patients who were never used, "
            f"{100 * floor:.1f} % do."
        )
        records.append(_row_share(estimate, floor, synthetic.name, label, reading))
    return records


def _row_share(estimate: Estimate, floor: float | None, cohort: str, label: str, reading: str) -> MetricRecord:
    what = label or "rows equal in all modelled columns"
    how = "Newcombe interval that holds the floor's uncertainty" if label else "exact binomial interval"
    return MetricRecord.of(
        estimate,
        cohort=cohort,
        family="privacy",
        name="exact_rows_share",
        better="lower",
        dimensions={"view": "table", **({"label": label} if label else {})},
        floor=floor,
        ceiling=1.0,
        reading=reading,
        estimator=f"share of {what}, {how}; floor: holdout rows",
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
        rows = limited_rows(len(side), MAXIMUM_RECORDS, seed=seed)
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
        estimator=(
            f"median over synthetic records, bootstrap, {NUM_REPLICATES} replicates; floor: holdout patients; a "
            "diagnostic: no ceiling, since records of no use can lie as far away as one likes"
        ),
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
