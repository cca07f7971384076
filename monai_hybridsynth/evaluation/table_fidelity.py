"""Do synthetic rows look like real ones: shapes, trends, gaps, findings that come together, constraints."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from monai_hybridsynth.evaluation.column_views import ColumnView, column_views
from monai_hybridsynth.evaluation.constraint_fidelity import constraint_fidelity
from monai_hybridsynth.evaluation.findings import Findings
from monai_hybridsynth.evaluation.judged_cohort import JudgedCohort
from monai_hybridsynth.evaluation.kept_categories import kept_categories
from monai_hybridsynth.evaluation.label_cooccurrence import label_cooccurrence
from monai_hybridsynth.evaluation.metric_record import MetricRecord
from monai_hybridsynth.evaluation.missing_values import missing_values
from monai_hybridsynth.evaluation.table_draws import TableComparison, TableDraws, table_draws
from monai_hybridsynth.metrics import (
    Estimate,
    contingency_similarity,
    correlation_similarity,
    kolmogorov_smirnov_complement,
    total_variation_complement,
)

__all__ = ["table_fidelity"]


def table_fidelity(
    train: JudgedCohort, holdout: JudgedCohort, synthetic: JudgedCohort, *, seed: int, stratified: bool = False
) -> Findings:
    """Return every figure of table fidelity, synthetic against train, with holdout against train as its floor.

    ``stratified`` says that the holdout was dealt by the targets, see `table_draws`.

    Metrics: column_shape, pair_trend, missingness, missingness_pattern, censoring, label_cooccurrence,
    categories_kept, constraint_violations. Drawing: ``cooccurrence``.
    """
    schema = train.cohort.schema
    views = column_views(schema, [train.table, holdout.table, synthetic.table])
    draws = table_draws(train, holdout, synthetic, seed=seed, stratified=stratified)
    together = label_cooccurrence(draws)
    return Findings(
        [
            *_column_shapes(views, draws),
            *_pair_trends(views, draws),
            *missing_values(views, draws),
            *together.metrics,
            *kept_categories(train, holdout, synthetic),
            *constraint_fidelity(schema, holdout, synthetic),
        ],
        together.drawings,
    )


def _column_shapes(views: Sequence[ColumnView], draws: TableDraws) -> list[MetricRecord]:
    """Return a record per column and one for the mean over columns."""
    how = "one minus Kolmogorov-Smirnov distance (numbers) or total variation (categories); " + draws.describe()
    found = {view.name: draws.compare(_Shape(view)) for view in views}
    known = [comparison for comparison in found.values() if np.isfinite(comparison.value)]
    records = [_record(comparison, draws, "column_shape", name, how) for name, comparison in found.items()]
    if known:
        floors = [comparison.floor for comparison in known if np.isfinite(comparison.floor)]
        mean = TableComparison(
            float(np.mean([comparison.value for comparison in known])),
            _quiet_mean(np.array([comparison.replicates for comparison in known]), axis=0),
            float(np.mean(floors)) if floors else float("nan"),
            draws.count,
        )
        records.append(_record(mean, draws, "column_shape", None, how))
    return records


class _Shape:
    """The shape score of one column; a multi-label column scores the mean over its labels."""

    def __init__(self, view: ColumnView) -> None:
        self.view = view

    def __call__(self, first: pd.DataFrame, second: pd.DataFrame, *given: np.ndarray) -> np.ndarray:
        """Return scores, shape ``(D,)``."""
        view, tables = self.view, (first, second)
        present = [~view.missing(table) for table in tables]
        weights = [drawn[:, rows] for drawn, rows in zip(given, present, strict=True)]
        if not all(rows.any() for rows in present):
            return np.full(len(given[0]), np.nan)
        if view.field.is_numeric:
            values = [view.numbers(table)[rows] for table, rows in zip(tables, present, strict=True)]
            return kolmogorov_smirnov_complement(values[0], values[1], weights[0], weights[1])
        levels = [view.indicators(table)[rows] for table, rows in zip(tables, present, strict=True)]
        if view.field.kind != "multilabel":
            return total_variation_complement(levels[0], levels[1], weights[0], weights[1])
        scores = []
        for label in range(len(view.levels)):
            sides = [np.column_stack([side[:, label], 1 - side[:, label]]) for side in levels]
            scores.append(total_variation_complement(sides[0], sides[1], weights[0], weights[1]))
        return np.mean(scores, axis=0)


def _record(
    found: TableComparison | Estimate, draws: TableDraws, name: str, column: str | None, how: str
) -> MetricRecord:
    estimate = found if isinstance(found, Estimate) else found.estimate(how)
    floor = None if isinstance(found, Estimate) or not np.isfinite(found.floor) else found.floor
    what = column if column is not None else ("any two columns" if name == "pair_trend" else "the average column")
    percent = "" if estimate.value is None else f"{100 * estimate.value:.0f} %"
    other = "unknown" if floor is None else f"{100 * floor:.0f} %"
    reading = {
        "column_shape": f"The distribution of {what} overlaps with the real one by {percent} (other real patients: "
        f"{other}).",
        "pair_trend": f"Pairs of columns with {what} agree with the real ones by {percent} (other real patients: "
        f"{other}).",
    }[name]
    return MetricRecord.of(
        estimate,
        cohort=draws.sides[2].name,
        family="fidelity",
        name=name,
        column=column,
        floor=floor,
        ceiling=1.0,
        estimator=how,
        reading=reading,
    )


def _pair_trends(views: Sequence[ColumnView], draws: TableDraws) -> list[MetricRecord]:
    """Return a record per column (mean over its pairs) and one for all pairs."""
    how = (
        "correlation similarity (two numbers) or contingency similarity (otherwise; numbers in five bins of training "
        "quantiles), rows with both; " + draws.describe()
    )
    if len(views) < 2:
        return [_record(Estimate.absent("a pair needs two columns"), draws, "pair_trend", None, how)]
    train, holdout, synthetic = (_Columns(views, side.table) for side in draws.sides)
    matrices = (
        _trend_matrices(train, synthetic, draws.real, draws.synthetic),
        _trend_matrices(train, holdout, draws.real[: draws.num_draws], draws.holdout),
    )
    records = []
    for place, view in enumerate(views):
        scores, floors = (_quiet_mean(matrix[:, place, :], axis=1) for matrix in matrices)
        records.append(_record(draws.comparison(scores, floors), draws, "pair_trend", view.name, how))
    scores, floors = (_quiet_mean(matrix.reshape(len(matrix), -1), axis=1) for matrix in matrices)
    return [*records, _record(draws.comparison(scores, floors), draws, "pair_trend", None, how)]


class _Columns:
    """A table as level indicators of all columns, where each column's lie, and the numbers of numeric ones."""

    def __init__(self, views: Sequence[ColumnView], table: pd.DataFrame) -> None:
        parts = [view.indicators(table) if view.levels else np.zeros((len(table), 1)) for view in views]
        numbers = [view.numbers(table) for view in views if view.field.is_numeric]
        self.levels = np.hstack(parts)
        self.numbers = np.column_stack(numbers) if numbers else np.zeros((len(table), 0))
        self.numeric = np.array([view.field.is_numeric for view in views])
        ends = np.cumsum([part.shape[1] for part in parts])
        self.blocks = [slice(int(end) - part.shape[1], int(end)) for end, part in zip(ends, parts, strict=True)]


def _trend_matrices(first: _Columns, second: _Columns, *weights: np.ndarray) -> np.ndarray:
    """Return pair scores for each row of weights, shape ``(D, columns, columns)``; NaN on the diagonal."""
    result = np.empty((len(weights[0]), len(first.blocks), len(first.blocks)))
    for draw in range(len(result)):
        used = [np.flatnonzero(side[draw]) for side in weights]
        drawn = [side[draw, rows] for side, rows in zip(weights, used, strict=True)]
        result[draw] = contingency_similarity(first.levels[used[0]], second.levels[used[1]], first.blocks, *drawn)
        if first.numeric.sum() > 1:
            numbers = correlation_similarity(first.numbers[used[0]], second.numbers[used[1]], *drawn)
            result[draw][np.ix_(first.numeric, first.numeric)] = numbers
    diagonal = np.arange(len(first.blocks))
    result[:, diagonal, diagonal] = np.nan
    return result


def _quiet_mean(values: np.ndarray, *, axis: int) -> np.ndarray:
    """Return the mean over finite entries; NaN, without a warning, where there is none."""
    finite = np.isfinite(values)
    count = finite.sum(axis)
    total = np.where(finite, values, 0).sum(axis)
    return np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0)
