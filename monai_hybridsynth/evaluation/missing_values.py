"""Gaps in the table: how many, which together, and how many results lie beyond a detection limit."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from monai_hybridsynth.evaluation.column_views import ColumnView
from monai_hybridsynth.evaluation.metric_record import MetricRecord
from monai_hybridsynth.evaluation.table_draws import TableComparison, TableDraws
from monai_hybridsynth.metrics import Estimate, missing_pattern_gap, missing_share_gap, total_variation_complement

__all__ = ["missing_values"]

_HOW = {
    "missingness": "absolute difference in the share of missing values",
    "missingness_pattern": "mean absolute difference of the correlations between the gaps of two columns",
    "censoring": "total variation between the shares below, within and above the detection limits, missing left out",
}


def missing_values(views: Sequence[ColumnView], draws: TableDraws) -> list[MetricRecord]:
    """Return missingness and censoring per column with their means, and missingness_pattern for the table."""
    records = _per_column("missingness", views, _missing, draws)
    gappy = [view for view in views if any(view.missing(side.table).any() for side in (draws.sides[0], draws.sides[2]))]
    if len(gappy) >= 2:

        def pattern(first: pd.DataFrame, second: pd.DataFrame, *weights: np.ndarray) -> np.ndarray:
            sides = [np.column_stack([view.missing(table) for view in gappy]) for table in (first, second)]
            return missing_pattern_gap(sides[0], sides[1], weights[0], weights[1])

        records.append(_record(draws.compare(pattern), draws, "missingness_pattern", None))
    else:
        reason = f"{len(gappy)} columns have missing values, and a pattern needs two"
        records.append(_record(Estimate.absent(reason), draws, "missingness_pattern", None))
    return records + _per_column("censoring", [view for view in views if view.field.censored], _censored, draws)


def _missing(view: ColumnView, first: pd.DataFrame, second: pd.DataFrame, *weights: np.ndarray) -> np.ndarray:
    return missing_share_gap(view.missing(first), view.missing(second), weights[0], weights[1])


def _censored(view: ColumnView, first: pd.DataFrame, second: pd.DataFrame, *weights: np.ndarray) -> np.ndarray:
    sides = []
    for table in (first, second):
        numbers = view.numbers(table)
        sides.append(np.column_stack([np.isneginf(numbers), np.isfinite(numbers), np.isposinf(numbers)]).astype(float))
    return 1 - total_variation_complement(sides[0], sides[1], weights[0], weights[1])


def _per_column(
    name: str, views: Sequence[ColumnView], gap: Callable[..., np.ndarray], draws: TableDraws
) -> list[MetricRecord]:
    """Return a record per column, and one for their mean where there are columns."""
    found = {}
    for view in views:

        def statistic(
            first: pd.DataFrame, second: pd.DataFrame, *weights: np.ndarray, view: ColumnView = view
        ) -> np.ndarray:
            return gap(view, first, second, *weights)

        found[view.name] = draws.compare(statistic)
    records = [_record(comparison, draws, name, column) for column, comparison in found.items()]
    known = [item for item in found.values() if np.isfinite(item.value) and np.isfinite(item.floor)]
    if known:
        mean = TableComparison(
            float(np.mean([item.value for item in known])),
            np.mean([item.replicates for item in known], axis=0),
            float(np.mean([item.floor for item in known])),
            draws.count,
        )
        records.append(_record(mean, draws, name, None))
    return records


def _record(found: TableComparison | Estimate, draws: TableDraws, name: str, column: str | None) -> MetricRecord:
    how = f"{_HOW[name]}; {draws.describe()}"
    estimate = found if isinstance(found, Estimate) else found.estimate(how)
    floor = None if isinstance(found, Estimate) or not np.isfinite(found.floor) else found.floor
    what = column if column is not None else "the average column"
    percent = "" if estimate.value is None else f"{100 * estimate.value:.1f}"
    other = "unknown" if floor is None else f"{100 * floor:.1f}"
    number = "" if estimate.value is None else f"{estimate.value:.3f}"
    readings = {
        "missingness": f"The share of missing values of {what} differs from the real one by {percent} points (other "
        f"real patients: {other}).",
        "missingness_pattern": f"Which values are missing together differs by {number} in correlation from the real "
        f"table (other real patients: {0.0 if floor is None else floor:.3f}).",
        "censoring": f"The share of results beyond a detection limit of {what} differs from the real one by {percent} "
        f"points (other real patients: {other}).",
    }
    return MetricRecord.of(
        estimate,
        cohort=draws.sides[2].name,
        family="fidelity",
        name=name,
        column=column,
        better="lower",
        floor=floor,
        ceiling=0.0,
        estimator=how,
        reading=readings[name],
    )
