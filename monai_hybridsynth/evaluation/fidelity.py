"""Do synthetic images and rows look like real ones? Shapes, trends, missing values, constraints, image features."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch

from monai_hybridsynth.data import RecordField, RecordSchema
from monai_hybridsynth.evaluation.column_views import ColumnView, column_views
from monai_hybridsynth.evaluation.judged_cohort import JudgedCohort
from monai_hybridsynth.evaluation.metric_record import MetricRecord
from monai_hybridsynth.metrics import (
    Estimate,
    bootstrap_weights,
    contingency_similarity,
    correlation_similarity,
    interval,
    kernel_distance,
    kolmogorov_smirnov_complement,
    missing_share_gap,
    share_estimate,
    total_variation_complement,
    violates_levels,
    violates_limits,
)

__all__ = ["constraint_violations", "fidelity_metrics"]

NUM_REPLICATES = 200
# The kernel distance compares all pairs in every replicate; this many images a side settle it.
MAXIMUM_DISTANCE_IMAGES = 1500
_BOOTSTRAP = f"patient-level bootstrap of both cohorts, {NUM_REPLICATES} replicates"

Pair = tuple[JudgedCohort, JudgedCohort]


def fidelity_metrics(
    train: JudgedCohort, holdout: JudgedCohort, synthetic: JudgedCohort, *, seed: int
) -> list[MetricRecord]:
    """Return column_shape, pair_trend, missingness, constraint_violations and kernel_distance.

    Every value compares the synthetic cohort with the training cohort; its floor is the holdout compared with it.
    """
    schema = train.cohort.schema
    views = column_views(schema, [train.table, holdout.table, synthetic.table])
    pairs = ((train, synthetic), (train, holdout))
    return [
        *_per_column(views, pairs, "column_shape", _shape, "higher", seed=seed),
        *_pair_trends(views, pairs, seed=seed),
        *_per_column(views, pairs, "missingness", _missing_gap, "lower", seed=seed),
        _violations(schema, holdout, synthetic),
        _kernel_distance(pairs, seed=seed),
    ]


_READINGS = {
    "column_shape": (
        "The distribution of {what} overlaps with the real one by {percent} (other real patients: {floor})."
    ),
    "pair_trend": "Pairs of columns with {what} agree with the real ones by {percent} (other real patients: {floor}).",
    "missingness": (
        "The share of missing values of {what} differs from the real one by {percent} (other real patients: {floor})."
    ),
}


def _record(
    estimate: Estimate, cohort: str, name: str, column: str | None, better: str, floor: float | None, note: str = ""
) -> MetricRecord:
    def percent(value: float | None) -> str:
        return "unknown" if value is None or not np.isfinite(value) else f"{100 * value:.0f} %"

    what = column if column is not None else ("any two columns" if name == "pair_trend" else "the average column")
    return MetricRecord.of(
        estimate,
        cohort=cohort,
        family="fidelity",
        name=name,
        column=column,
        better=better,
        floor=floor,
        ceiling=1.0 if better == "higher" else 0.0,
        estimator=estimate.estimator or _BOOTSTRAP,
        reading=_READINGS[name].format(what=what, percent=percent(estimate.value), floor=percent(floor)),
        note=note,
    )


def _draws(pair: Pair, *, seed: int) -> list[np.ndarray]:
    """Return weights of both cohorts, the first row the sample itself, shape ``(1 + B, rows)`` each."""
    return [
        np.vstack([side.weights, bootstrap_weights(side.groups, NUM_REPLICATES, seed=seed + order) * side.weights])
        for order, side in enumerate(pair)
    ]


def _estimate(scores: np.ndarray, pair: Pair, estimator: str) -> Estimate:
    """Return the estimate from a statistic on the sample (first) and on its replicates."""
    units = min(side.num_groups for side in pair)
    if not np.isfinite(scores[0]):
        return Estimate.absent("a side has no value to compare", n=units, estimator=estimator)
    low, high = interval(float(scores[0]), scores[1:], num_groups=units, bounds=(0.0, 1.0))
    return Estimate(float(scores[0]), low, high, units, 0.95, estimator)


def _per_column(
    views: Sequence[ColumnView],
    pairs: tuple[Pair, Pair],
    name: str,
    statistic: Callable[[ColumnView, Pair, Sequence[np.ndarray]], np.ndarray],
    better: str,
    *,
    seed: int,
) -> list[MetricRecord]:
    """Return a record per column and one for the mean over columns."""
    draws = [_draws(pair, seed=seed) for pair in pairs]
    cohort = pairs[0][1].name
    estimator = {
        "column_shape": "one minus Kolmogorov-Smirnov distance (numbers) or total variation (categories); ",
        "missingness": "absolute difference in the share of missing values; ",
    }[name] + _BOOTSTRAP
    records, judged, floors = [], [], []
    for view in views:
        scores, floor = (statistic(view, pair, drawn) for pair, drawn in zip(pairs, draws, strict=True))
        records.append(
            _record(_estimate(scores, pairs[0], estimator), cohort, name, view.name, better, float(floor[0]))
        )
        if np.isfinite(scores[0]):
            judged.append(scores)
            floors.append(floor[0])
    if judged:
        mean = _estimate(np.nanmean(judged, axis=0), pairs[0], estimator)
        known = [value for value in floors if np.isfinite(value)]
        records.append(_record(mean, cohort, name, None, better, float(np.mean(known)) if known else None))
    return records


def _shape(view: ColumnView, pair: Pair, draws: Sequence[np.ndarray]) -> np.ndarray:
    """Return column shape scores, shape ``(1 + B,)``."""
    present = [~view.missing(side.table) for side in pair]
    if not all(side.any() for side in present):
        return np.full(len(draws[0]), np.nan)
    weights = [drawn[:, rows] for drawn, rows in zip(draws, present, strict=True)]
    if view.field.is_numeric:
        values = [view.numbers(side.table)[rows] for side, rows in zip(pair, present, strict=True)]
        return kolmogorov_smirnov_complement(values[0], values[1], weights[0], weights[1])
    levels = [view.indicators(side.table)[rows] for side, rows in zip(pair, present, strict=True)]
    if view.field.kind != "multilabel":
        return total_variation_complement(levels[0], levels[1], weights[0], weights[1])
    scores = []
    for label in range(len(view.levels)):
        first, second = (np.column_stack([side[:, label], 1 - side[:, label]]) for side in levels)
        scores.append(total_variation_complement(first, second, weights[0], weights[1]))
    return np.mean(scores, axis=0)


def _missing_gap(view: ColumnView, pair: Pair, draws: Sequence[np.ndarray]) -> np.ndarray:
    return missing_share_gap(view.missing(pair[0].table), view.missing(pair[1].table), draws[0], draws[1])


def _pair_trends(views: Sequence[ColumnView], pairs: tuple[Pair, Pair], *, seed: int) -> list[MetricRecord]:
    """Return a record per column (mean over its pairs) and one for all pairs."""
    if len(views) < 2:
        return [
            _record(Estimate.absent("a pair needs two columns"), pairs[0][1].name, "pair_trend", None, "higher", None)
        ]
    matrices = [_trend_matrices(views, pair, _draws(pair, seed=seed)) for pair in pairs]
    estimator = (
        "correlation similarity (two numbers) or contingency similarity (otherwise; numbers in five bins of training "
        "quantiles), rows with both; " + _BOOTSTRAP
    )
    records = []
    for place, view in enumerate(views):
        scores, floor = (_quiet_mean(matrix[:, place, :], axis=1) for matrix in matrices)
        estimate = _estimate(scores, pairs[0], estimator)
        records.append(_record(estimate, pairs[0][1].name, "pair_trend", view.name, "higher", float(floor[0])))
    scores, floor = (_quiet_mean(matrix.reshape(len(matrix), -1), axis=1) for matrix in matrices)
    estimate = _estimate(scores, pairs[0], estimator)
    return [*records, _record(estimate, pairs[0][1].name, "pair_trend", None, "higher", float(floor[0]))]


def _quiet_mean(values: np.ndarray, *, axis: int) -> np.ndarray:
    """Return the mean over finite entries; NaN, without a warning, where there is none."""
    finite = np.isfinite(values)
    count = finite.sum(axis)
    total = np.where(finite, values, 0).sum(axis)
    return np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0)


def _trend_matrices(views: Sequence[ColumnView], pair: Pair, draws: Sequence[np.ndarray]) -> np.ndarray:
    """Return pair scores of the sample and its replicates, shape ``(1 + B, columns, columns)``; NaN on the diagonal."""
    numeric = np.array([view.field.is_numeric for view in views])
    blocks, start = [], 0
    for view in views:
        blocks.append(slice(start, start + max(len(view.levels), 1)))
        start = blocks[-1].stop
    sides = []
    for side in pair:
        parts = [view.indicators(side.table) if view.levels else np.zeros((len(side), 1)) for view in views]
        numbers = [view.numbers(side.table) for view in views if view.field.is_numeric]
        sides.append((np.hstack(parts), np.column_stack(numbers) if numbers else np.zeros((len(side), 0))))
    result = np.empty((len(draws[0]), len(views), len(views)))
    for draw in range(len(result)):
        weights = draws[0][draw], draws[1][draw]
        result[draw] = contingency_similarity(sides[0][0], sides[1][0], blocks, *weights)
        if numeric.sum() > 1:
            result[draw][np.ix_(numeric, numeric)] = correlation_similarity(sides[0][1], sides[1][1], *weights)
    diagonal = np.arange(len(views))
    result[:, diagonal, diagonal] = np.nan
    return result


def constraint_violations(schema: RecordSchema, table: pd.DataFrame) -> np.ndarray:
    """Return which rows break a limit, hold an unknown category, miss a required value or are no whole number."""
    broken = np.zeros(len(table), dtype=bool)
    for name in schema.feature_names:
        broken |= _violations_of(schema[name], table[name])
    return broken


def _violations_of(field: RecordField, column: pd.Series) -> np.ndarray:
    missing = column.isna().to_numpy()
    broken = missing if field.required else np.zeros(len(column), dtype=bool)
    if field.is_numeric:
        return broken | violates_limits(
            column.astype("float64").to_numpy(na_value=np.nan), field.minimum, field.maximum
        )
    if field.enum is None:
        return broken
    values = [None if gone else str(value) for value, gone in zip(column, missing, strict=True)]
    return broken | violates_levels(values, field.enum, separator=field.separator)


def _violations(schema: RecordSchema, holdout: JudgedCohort, synthetic: JudgedCohort) -> MetricRecord:
    found = constraint_violations(schema, synthetic.table)
    floor = float(constraint_violations(schema, holdout.table).mean())
    estimate = share_estimate(int(found.sum()), len(found))
    return MetricRecord.of(
        estimate,
        cohort=synthetic.name,
        family="fidelity",
        name="constraint_violations",
        better="lower",
        floor=floor,
        ceiling=0.0,
        reading=(
            f"{int(found.sum())} of {len(found)} synthetic rows break a limit or hold a category that the schema does "
            "not know."
        ),
    )


def _kernel_distance(pairs: tuple[Pair, Pair], *, seed: int) -> MetricRecord:
    """Return the kernel distance of image features, interval by bootstrap on the kernel matrix."""
    values = [_distance_replicates(pair, seed=seed) for pair in pairs]
    units = min(side.num_groups for side in pairs[0])
    low, high = interval(values[0][0], values[0][1:], num_groups=units)
    return MetricRecord.of(
        Estimate(values[0][0], low, high, units),
        cohort=pairs[0][1].name,
        family="fidelity",
        name="kernel_distance",
        dimensions={"features": "pixel PCA"},
        better="lower",
        floor=values[1][0],
        ceiling=0.0,
        estimator=f"unbiased squared MMD, cubic kernel, on image features; {_BOOTSTRAP}",
        reading=(
            f"In image features the synthetic images lie {values[0][0]:.3f} from the training images; "
            f"other real patients lie {values[1][0]:.3f} away."
        ),
    )


def _distance_replicates(pair: Pair, *, seed: int) -> np.ndarray:
    """Return the distance of the sample and of its replicates, shape ``(1 + B,)``."""
    chosen = [_subset(side, seed=seed) for side in pair]
    features = [side.features[rows] for side, rows in zip(pair, chosen, strict=True)]
    groups = [side.groups[rows] for side, rows in zip(pair, chosen, strict=True)]
    if min(len(side) for side in features) < 2:
        return np.full(2, np.nan)
    point = float(kernel_distance(*(torch.from_numpy(side) for side in features)))
    width = features[0].shape[1]

    def kernel(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return ((first @ second.T / width + 1) ** 3).astype(np.float32)

    inner = [kernel(side, side) for side in features]
    for matrix in inner:
        np.fill_diagonal(matrix, 0.0)
    across = kernel(*features)
    draws = [bootstrap_weights(group, NUM_REPLICATES, seed=seed + order) for order, group in enumerate(groups)]
    result = np.zeros(NUM_REPLICATES)
    for matrix, drawn in zip(inner, draws, strict=True):
        # Drawing a record twice makes no pair of two records: counts of one record with itself do not enter.
        result += ((drawn @ matrix) * drawn).sum(1) / (drawn.sum(1) ** 2 - (drawn**2).sum(1))
    result -= 2 * ((draws[0] @ across) * draws[1]).sum(1) / (draws[0].sum(1) * draws[1].sum(1))
    return np.concatenate([[point], result])


def _subset(side: JudgedCohort, *, seed: int) -> np.ndarray:
    rows = np.arange(len(side))
    if len(rows) <= MAXIMUM_DISTANCE_IMAGES:
        return rows
    return np.sort(np.random.default_rng(seed).permutation(rows)[:MAXIMUM_DISTANCE_IMAGES])
