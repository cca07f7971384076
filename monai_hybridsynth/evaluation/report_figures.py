"""The report's plots as plain plotly figures; colours are names that the page fills in for its colour scheme."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from monai_hybridsynth.evaluation.column_views import ColumnView
from monai_hybridsynth.evaluation.judged_cohort import JudgedCohort
from monai_hybridsynth.evaluation.metric_record import MetricRecord

__all__ = ["agreement_figure", "shape_figures", "score_figure", "utility_figure"]

MEAN = "mean of all columns"
NO_LINK = "not estimable: no measurable link in real pairs, or too few patients"
MAXIMUM_SHOWN = 3.0
_COHORT_COLOURS = ("--second", "--third", "--fourth", "--fifth")


def _dots(
    records: Sequence[MetricRecord], places: Sequence[str], *, name: str, colour: str, symbol: str, shift: float
) -> dict[str, Any]:
    """Return one series of values with intervals along horizontal rows."""
    rows = {place: row for row, place in enumerate(places)}
    shown = [record for record in records if record.value is not None]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [record.value for record in shown],
        "y": [rows[_place(record)] + shift for record in shown],
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [(record.high or 0) - (record.value or 0) for record in shown],
            "arrayminus": [(record.value or 0) - (record.low or 0) for record in shown],
            "thickness": 2,
            "width": 0,
            "color": colour,
        },
        "marker": {"color": colour, "symbol": symbol, "size": 9},
        "hovertemplate": "%{text}<extra></extra>",
        "text": [f"{_place(r)}, {name}: {r.value:.2f} [{r.low:.2f}, {r.high:.2f}], n = {r.n}" for r in shown],
    }


def _place(record: MetricRecord) -> str:
    label = record.dimensions.get("label")
    if record.column is None:
        return MEAN
    return f"{record.column} = {label}" if label else record.column


def _rows_layout(
    places: Sequence[str], title: str, span: tuple[float, float], lines: Sequence[float]
) -> dict[str, Any]:
    return {
        "height": 110 + 46 * len(places),
        "margin": {"l": 10, "r": 20, "t": 40, "b": 50},
        "xaxis": {"title": {"text": title}, "range": list(span), "zeroline": False},
        "yaxis": {
            "tickvals": list(range(len(places))),
            "ticktext": list(places),
            "range": [len(places) - 0.5, -0.5],
            "automargin": True,
            "showgrid": False,
            "zeroline": False,
        },
        "legend": {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"},
        "shapes": [
            {
                "type": "line",
                "x0": x,
                "x1": x,
                "y0": 0,
                "y1": 1,
                "yref": "paper",
                "line": {"color": "--muted", "dash": "dot"},
            }
            for x in lines
        ],
    }


def agreement_figure(metrics: Sequence[MetricRecord], cohort: str) -> dict[str, Any]:
    """Return agreement per clinical column: forward and reverse, linear and kernel."""
    chosen = [
        record
        for record in metrics
        if record.cohort == cohort and record.family == "correspondence" and "label" not in record.dimensions
    ]
    places = [MEAN, *dict.fromkeys(_place(record) for record in chosen if record.column is not None)]
    series = []
    shift = -0.27
    for direction, colour in (("forward", "--first"), ("reverse", "--second")):
        for predictor, symbol in (("linear", "circle"), ("kernel", "diamond")):
            rows = [
                record
                for record in chosen
                if record.name == f"agreement_{direction}" and record.dimensions["predictor"] == predictor
            ]
            name = f"{direction}, {predictor}"
            series.append(_dots(rows, places, name=name, colour=colour, symbol=symbol, shift=shift))
            shift += 0.18
    highest = max([1.7, *(record.value for record in chosen if record.value is not None)])
    span = (-0.6, min(highest, MAXIMUM_SHOWN) + 0.2)
    layout = _rows_layout(places, "0: paired at random, 1: as in real patients", span, (0, 1))
    known = {_place(record) for record in chosen if record.value is not None}
    layout["annotations"] = [
        {"x": 0.5, "y": row, "text": NO_LINK, "showarrow": False, "font": {"color": "--muted", "size": 12}}
        for row, place in enumerate(places)
        if place not in known
    ]
    return {"data": series, "layout": layout}


def utility_figure(metrics: Sequence[MetricRecord], cohort: str) -> dict[str, Any] | None:
    """Return the AUROC per target and training arm from the image (linear predictor), or None without any."""
    chosen = [
        record
        for record in metrics
        if record.cohort == cohort
        and record.name == "auroc"
        and record.value is not None
        and record.dimensions.get("input") == "image"
        and record.dimensions.get("predictor") == "linear"
    ]
    if not chosen:
        return None
    places = list(dict.fromkeys(_place(record) for record in chosen))
    series = [
        _dots(
            [record for record in chosen if record.dimensions["arm"] == arm],
            places,
            name=f"trained on {arm}",
            colour=colour,
            symbol=symbol,
            shift=shift,
        )
        for arm, colour, symbol, shift in (
            ("real", "--first", "circle", -0.2),
            ("synthetic", "--second", "diamond", 0.0),
            ("both", "--third", "square", 0.2),
        )
    ]
    return {
        "data": series,
        "layout": _rows_layout(places, "AUROC in held-out patients (0.5: guessing)", (0.2, 1.02), (0.5,)),
    }


def score_figure(metrics: Sequence[MetricRecord], cohorts: Sequence[str], name: str, title: str) -> dict[str, Any]:
    """Return one score per column for all cohorts, with the score of held-out patients as open mark."""
    chosen = [record for record in metrics if record.name == name and record.value is not None]
    places = [MEAN, *dict.fromkeys(_place(record) for record in chosen if record.column is not None)]
    series = []
    for order, cohort in enumerate(cohorts):
        rows = [record for record in chosen if record.cohort == cohort]
        shift = 0.0 if len(cohorts) == 1 else -0.2 + 0.4 * order / (len(cohorts) - 1)
        colour = _COHORT_COLOURS[order % len(_COHORT_COLOURS)]
        series.append(_dots(rows, places, name=cohort, colour=colour, symbol="circle", shift=shift))
    floors = {
        _place(record): record.floor for record in chosen if record.cohort == cohorts[0] and record.floor is not None
    }
    series.append(
        {
            "type": "scatter",
            "mode": "markers",
            "name": "held-out patients",
            "x": list(floors.values()),
            "y": [places.index(place) for place in floors],
            "marker": {
                "color": "--first",
                "symbol": "line-ns-open",
                "size": 16,
                "line": {"width": 3, "color": "--first"},
            },
            "hovertemplate": "held-out patients: %{x:.2f}<extra></extra>",
        }
    )
    lowest = min(
        [record.low or 0 for record in chosen] + [value for value in floors.values() if value is not None] + [1]
    )
    layout = _rows_layout(places, title, (max(0.0, lowest - 0.05), 1.02), (1.0,))
    layout["height"] = 110 + 32 * len(places)
    return {"data": series, "layout": layout}


def shape_figures(views: Sequence[ColumnView], cohorts: Sequence[JudgedCohort]) -> list[dict[str, Any]]:
    """Return one bar chart per column: the share of each category or bin in every cohort, missing values included."""
    figures = []
    for view in views:
        labels = _bin_names(view) + ["missing"]
        series: list[dict[str, Any]] = []
        for order, cohort in enumerate(cohorts):
            weights = cohort.weights / cohort.weights.sum()
            shares = np.append(weights @ view.indicators(cohort.table), weights @ view.missing(cohort.table))
            colour = "--first" if order == 0 else _COHORT_COLOURS[(order - 1) % len(_COHORT_COLOURS)]
            series.append(
                {
                    "type": "bar",
                    "name": "real (train)" if order == 0 else cohort.name,
                    "x": labels,
                    "y": [round(float(share), 4) for share in shares],
                    "marker": {"color": colour},
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
        figures.append({"name": view.name, "unit": view.field.unit or "", "data": series, "layout": layout})
    return figures


def _bin_names(view: ColumnView) -> list[str]:
    """Return what stands under each bar; bins as ranges, open at the ends so that no extreme value is shown."""
    if not view.field.is_numeric:
        return list(view.levels)
    edges = [f"{edge:.4g}" for edge in view.edges]
    if not edges:
        return ["all"]
    return [f"< {edges[0]}", *(f"{a} to {b}" for a, b in zip(edges[:-1], edges[1:], strict=True)), f"≥ {edges[-1]}"]
