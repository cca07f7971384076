"""Plots of how clinical columns are distributed: scores, shares of every column, missing values, co-occurrence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from monai_hybridsynth.evaluation.column_views import ColumnView
from monai_hybridsynth.evaluation.judged_cohort import JudgedCohort
from monai_hybridsynth.evaluation.metric_record import MetricRecord
from monai_hybridsynth.evaluation.report.figure import REAL_COLOUR, Figure, cohort_colour, slug
from monai_hybridsynth.evaluation.report.interval_rows import bar_marks, cohort_series, place_of, rows_layout

__all__ = ["cooccurrence_figures", "score_figure", "shape_figures", "table_figures"]

SCORES = {
    "column_shape": ("Column shapes", "1: the same distribution as in training patients"),
    "pair_trend": ("Pair trends", "1: the same relations to other columns"),
    "missingness": ("Missing values", "difference in the share of missing values"),
}
MANY_LEVELS = 8


def table_figures(
    metrics: Sequence[MetricRecord], cohorts: Sequence[str], drawings: Mapping[str, Mapping[str, Any]]
) -> list[Figure]:
    """Return scores per column and co-occurrence, those left out for which there is nothing."""
    scores = [score_figure(metrics, cohorts, name) for name in SCORES]
    # Maps that are compared stand side by side, so an odd plot comes after them.
    figures = [*scores[:2], *cooccurrence_figures(cohorts, drawings), *scores[2:]]
    return [figure for figure in figures if figure is not None]


def score_figure(metrics: Sequence[MetricRecord], cohorts: Sequence[str], name: str) -> Figure | None:
    """Return one score per column for all cohorts, with the score of held-out patients as a bar."""
    title, axis = SCORES[name]
    chosen = [r for r in metrics if r.name == name and r.value is not None and "label" not in r.dimensions]
    if not chosen:
        return None
    better = chosen[0].better
    places = list(dict.fromkeys(place_of(record) for record in sorted(chosen, key=lambda r: r.column is not None)))
    series = cohort_series(chosen, places, cohorts)
    floors = {place_of(r): float(r.floor) for r in chosen if r.cohort == cohorts[0] and r.floor is not None}
    series.append(bar_marks(floors, places, "held-out patients"))
    lows = [*(record.low or 0 for record in chosen), *floors.values()]
    highs = [*(record.high or 0 for record in chosen), *floors.values()]
    if better == "higher":
        span, lines = (max(-0.02, min(*lows, 0.9) - 0.05), 1.03), (1.0,)
    else:
        span, lines = (min(*lows, 0.0) - 0.02, max(*highs, 0.1) + 0.03), (0.0,)
    alt = f"Dots with intervals: {title.lower()} of every clinical column, beside what held-out patients reach."
    return Figure(slug(name), title, alt, series, rows_layout(places, axis, span, lines))


def shape_figures(views: Sequence[ColumnView], cohorts: Sequence[JudgedCohort]) -> list[Figure]:
    """Return one bar chart per column: the share of each category or bin in every cohort, missing values included.

    Args:
        views: columns, cut the same way for all cohorts.
        cohorts: the training cohort first.
    """
    figures = []
    for place, view in enumerate(views):
        labels = _bin_names(view) + ["missing"]
        series: list[dict[str, Any]] = []
        for order, cohort in enumerate(cohorts):
            weights = cohort.weights / cohort.weights.sum()
            shares = np.append(weights @ view.indicators(cohort.table), weights @ view.missing(cohort.table))
            series.append(
                {
                    "type": "bar",
                    "name": "real (train)" if order == 0 else cohort.name,
                    "x": labels,
                    "y": [round(float(share), 4) for share in shares],
                    "marker": {"color": REAL_COLOUR if order == 0 else cohort_colour(order - 1)},
                    "hovertemplate": "%{x}: %{y:.1%}<extra>%{fullData.name}</extra>",
                }
            )
        if not any(side["y"][-1] for side in series):
            for side in series:
                side["x"], side["y"] = side["x"][:-1], side["y"][:-1]
        layout = {
            "height": 250,
            "barmode": "group",
            "bargap": 0.25,
            "bargroupgap": 0.08,
            "showlegend": False,
            "margin": {"l": 44, "r": 8, "t": 8, "b": 40},
            "xaxis": {"type": "category", "automargin": True, "showgrid": False},
            "yaxis": {"tickformat": ".0%", "rangemode": "tozero", "nticks": 5},
        }
        title = f"{view.name} [{view.field.unit}]" if view.field.unit not in (None, "", "1") else view.name
        alt = f"Bars: share of each category or range of {view.name}, real beside synthetic."
        broad = len(series[0]["x"]) > MANY_LEVELS
        figures.append(Figure(f"shape-{place}", title, alt, series, layout, broad=broad))
    return figures


def _bin_names(view: ColumnView) -> list[str]:
    """Return what stands under each bar; bins as ranges, open at the ends so that no extreme value is shown."""
    if not view.field.is_numeric:
        return list(view.levels)
    edges = [f"{edge:.4g}" for edge in view.edges]
    if not edges:
        return ["all"]
    return [f"< {edges[0]}", *(f"{a} to {b}" for a, b in zip(edges[:-1], edges[1:], strict=True)), f"≥ {edges[-1]}"]


def cooccurrence_figures(cohorts: Sequence[str], drawings: Mapping[str, Mapping[str, Any]]) -> list[Figure]:
    """Return P(column | row) of labels, once for real patients and once per cohort, on one colour scale."""
    found = [(cohort, drawings.get(cohort, {}).get("cooccurrence")) for cohort in cohorts]
    known = [(cohort, drawn) for cohort, drawn in found if drawn and drawn.get("labels")]
    if not known:
        return []
    sides = [("real patients", known[0][1], "real"), *((cohort, drawn, "synthetic") for cohort, drawn in known)]
    figures = []
    for place, (name, drawn, key) in enumerate(sides):
        labels = list(drawn["labels"])
        data = [
            {
                "type": "heatmap",
                "x": labels,
                "y": labels,
                "z": drawn[key],
                "zmin": 0,
                "zmax": 1,
                "colorscale": [[0, "--card"], [1, "--first" if key == "real" else cohort_colour(place - 1)]],
                "hovertemplate": "of those with %{y}, %{z:.0%} have %{x}<extra></extra>",
                "xgap": 1,
                "ygap": 1,
                "colorbar": {"thickness": 10, "tickformat": ".0%", "outlinewidth": 0},
            }
        ]
        layout = {
            "height": 150 + 26 * max(len(labels), 6),
            "margin": {"l": 10, "r": 10, "t": 10, "b": 10},
            "xaxis": {"automargin": True, "tickangle": -45, "showgrid": False},
            "yaxis": {"automargin": True, "autorange": "reversed", "showgrid": False},
        }
        alt = f"Heat map: share of records with the column's label among those with the row's label, {name}."
        title = f"Labels that occur together: {name}"
        figures.append(Figure(f"cooccurrence-{place}", title, alt, data, layout, "P(column | row)."))
    return figures
