"""Plots of the link between image and row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from monai_hybridsynth.evaluation.metric_record import MetricRecord
from monai_hybridsynth.evaluation.report.figure import REAL_COLOUR, Figure, cohort_colour
from monai_hybridsynth.evaluation.report.interval_rows import MEAN, interval_series, place_of, rows_layout, shifts

__all__ = ["agreement_figure", "correspondence_figures", "dependence_figure"]

NO_LINK = "not estimable"
MAXIMUM_SHOWN = 3.0
SYMBOLS = ("circle", "diamond", "square", "cross")


def correspondence_figures(
    metrics: Sequence[MetricRecord], cohorts: Sequence[str], drawings: Mapping[str, Mapping[str, Any]]
) -> list[Figure]:
    """Return the family's plots, those left out for which there is nothing."""
    figures = [
        agreement_figure(metrics, cohorts, "forward"),
        agreement_figure(metrics, cohorts, "reverse"),
        dependence_figure(cohorts, drawings),
    ]
    return [figure for figure in figures if figure is not None]


def agreement_figure(metrics: Sequence[MetricRecord], cohorts: Sequence[str], direction: str) -> Figure | None:
    """Return agreement per clinical column in one direction, every cohort and predictor beside each other."""
    chosen = [r for r in metrics if r.name == f"agreement_{direction}" and "label" not in r.dimensions]
    if not chosen:
        return None
    places = [MEAN, *dict.fromkeys(place_of(record) for record in chosen if record.column is not None)]
    predictors = list(dict.fromkeys(str(record.dimensions.get("predictor", "")) for record in chosen))
    offsets = iter(shifts(len(cohorts) * len(predictors)))
    series = []
    for order, cohort in enumerate(cohorts):
        for symbol, predictor in zip(SYMBOLS, predictors, strict=False):
            rows = [r for r in chosen if r.cohort == cohort and str(r.dimensions.get("predictor", "")) == predictor]
            name = " ".join(filter(None, [cohort if len(cohorts) > 1 else "", predictor])) or cohort
            colour = cohort_colour(order)
            series.append(interval_series(rows, places, name=name, colour=colour, symbol=symbol, shift=next(offsets)))
    highest = max([1.7, *(record.value for record in chosen if record.value is not None)])
    lowest = min([-0.2, *(record.low for record in chosen if record.low is not None)])
    span = (max(lowest, -1.0) - 0.05, min(highest, MAXIMUM_SHOWN) + 0.2)
    layout = rows_layout(places, "0: paired at random, 1: as in real patients", span, (0, 1))
    known = {place_of(record) for record in chosen if record.value is not None}
    layout["annotations"] = [
        {"x": 0.5, "y": row, "text": NO_LINK, "showarrow": False, "font": {"color": "--muted", "size": 12}}
        for row, place in enumerate(places)
        if place not in known
    ]
    words = {
        "forward": (
            "learned from synthetic pairs, tested on held-out patients",
            "Passed by caricatures and by copies.",
        ),
        "reverse": ("learned from real pairs, tested on synthetic records", "Passed by blurred images."),
    }[direction]
    return Figure(
        f"agreement-{direction}",
        f"Agreement, {direction}",
        f"Dots with intervals: {direction} agreement of every clinical column, {words[0]}.",
        series,
        layout,
        f"{words[0].capitalize()}. {words[1]}",
    )


def dependence_figure(cohorts: Sequence[str], drawings: Mapping[str, Mapping[str, Any]]) -> Figure | None:
    """Return how strongly each column depends on the image, in real patients and in every cohort."""
    found = {cohort: drawings.get(cohort, {}).get("dependence") for cohort in cohorts}
    known = {cohort: drawn for cohort, drawn in found.items() if drawn and drawn.get("columns")}
    if not known:
        return None
    first = next(iter(known.values()))
    columns = list(first["columns"])
    rows = list(range(len(columns)))

    def series(values: Sequence[float], name: str, colour: str, symbol: str) -> dict[str, Any]:
        return {
            "type": "scatter",
            "mode": "markers",
            "name": name,
            "x": list(values),
            "y": rows,
            "marker": {"color": colour, "symbol": symbol, "size": 10},
            "text": columns,
            "hovertemplate": "%{text}: %{x:.2f}<extra>" + name + "</extra>",
        }

    data = [series(first["real"], "real patients", REAL_COLOUR, "circle")]
    for order, cohort in enumerate(cohorts):
        if cohort in known and list(known[cohort]["columns"]) == columns:
            data.append(series(known[cohort]["synthetic"], cohort, cohort_colour(order), "diamond"))
    values = [value for side in data for value in side["x"] if value is not None]
    span = (min([0.0, *values]) - 0.03, max([0.1, *values]) * 1.08)
    layout = rows_layout(columns, "dependence between image and column", span, (0,))
    hint = "How strongly image features and column hang together, whatever the form of the relation; equal is best."
    alt = "Dots: dependence between the image and every clinical column, real patients beside synthetic records."
    return Figure("dependence", "Dependence of image and column", alt, data, layout, hint)
