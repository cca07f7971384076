"""Plots of how images and whole records are distributed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from monai_hybridsynth.evaluation.metric_record import MetricRecord
from monai_hybridsynth.evaluation.report.figure import REAL_COLOUR, Figure, cohort_colour
from monai_hybridsynth.evaluation.report.interval_rows import bar_marks, cohort_series, rows_layout

__all__ = ["distance_figure", "image_figures", "scatter_figure", "spectrum_figure", "spread_figure"]

SPREADS = {
    "precision": "precision: looks real",
    "recall": "recall: real ones reached",
    "density": "density",
    "coverage": "coverage",
}
HOLDOUT_COLOUR = "--muted"


def image_figures(
    metrics: Sequence[MetricRecord], cohorts: Sequence[str], drawings: Mapping[str, Mapping[str, Any]]
) -> list[Figure]:
    """Return the plots of images and records, those left out for which there is nothing."""
    figures = [
        spread_figure(metrics, cohorts),
        spectrum_figure(cohorts, drawings),
        distance_figure(cohorts, drawings),
        scatter_figure(cohorts, drawings),
    ]
    return [figure for figure in figures if figure is not None]


def spread_figure(metrics: Sequence[MetricRecord], cohorts: Sequence[str]) -> Figure | None:
    """Return precision, recall, density and coverage with what held-out images reach."""
    chosen = [
        record
        for record in metrics
        if record.name in SPREADS
        and record.value is not None
        and "subgroup" not in record.dimensions
        and not any("encoder" in str(value) for value in record.dimensions.values())
    ]
    # One space, the judge's, which stands first and sets the lights; others are in the table of all numbers.
    first = {(record.cohort, record.name): record for record in reversed(chosen)}
    chosen = [record for record in chosen if record is first[record.cohort, record.name]]
    if not chosen:
        return None

    def place(record: MetricRecord) -> str:
        return SPREADS[record.name]

    places = [text for name, text in SPREADS.items() if any(record.name == name for record in chosen)]
    series = cohort_series(chosen, places, cohorts, place=place)
    floors = {place(r): float(r.floor) for r in chosen if r.cohort == cohorts[0] and r.floor is not None}
    series.append(bar_marks(floors, places, "held-out patients"))
    highest = max([1.0, *(record.high or 0 for record in chosen), *floors.values()])
    layout = rows_layout(places, "share; the bar marks held-out patients", (-0.02, highest + 0.04), (1.0,))
    alt = "Dots with intervals: precision, recall, density and coverage of the images, beside held-out images."
    hint = "Low precision: images that look like no real one. Low recall or coverage: kinds of patients are missing."
    return Figure("spread", "Realism and variety of the images", alt, series, layout, hint)


def _legend_layout(x: str, y: str, *, height: int = 380) -> dict[str, Any]:
    return {
        "height": height,
        "margin": {"l": 60, "r": 16, "t": 44, "b": 50},
        "xaxis": {"title": {"text": x}},
        "yaxis": {"title": {"text": y}},
        "legend": {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"},
    }


def _line(name: str, x: Sequence[float], y: Sequence[float], colour: str, dash: str = "solid") -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": list(x),
        "y": list(y),
        "line": {"color": colour, "dash": dash, "width": 2.5},
    }


def spectrum_figure(cohorts: Sequence[str], drawings: Mapping[str, Mapping[str, Any]]) -> Figure | None:
    """Return the images' power by spatial frequency, on logarithmic axes."""
    data: list[dict[str, Any]] = []
    for order, cohort in enumerate(cohorts):
        drawn = drawings.get(cohort, {}).get("spectrum")
        if not drawn:
            continue
        frequency = drawn["frequency"]
        if not data:
            data.append(_line("real (train)", frequency, drawn["real"], REAL_COLOUR))
            if drawn.get("holdout"):
                data.append(_line("real (held out)", frequency, drawn["holdout"], HOLDOUT_COLOUR, "dot"))
        data.append(_line(cohort, frequency, drawn["synthetic"], cohort_colour(order), "dash"))
    if not data:
        return None
    layout = _legend_layout("spatial frequency", "power")
    layout["yaxis"]["type"] = "log"
    layout["yaxis"]["exponentformat"] = "power"
    hint = "A curve that falls early is blur; one that rises at the right is speckle or a grid."
    alt = "Lines: power of the images at every spatial frequency, real beside synthetic."
    return Figure("spectrum", "Sharpness: energy by spatial frequency", alt, data, layout, hint)


def distance_figure(cohorts: Sequence[str], drawings: Mapping[str, Mapping[str, Any]]) -> Figure | None:
    """Return the distribution of distances between records: real, synthetic, and synthetic with broken pairing."""
    data: list[dict[str, Any]] = []
    for order, cohort in enumerate(cohorts):
        drawn = drawings.get(cohort, {}).get("record_distances")
        if not drawn:
            continue
        edges = drawn["edges"]
        middles = [(a + b) / 2 for a, b in zip(edges[:-1], edges[1:], strict=True)]
        x = middles if len(middles) == len(drawn["synthetic"]) else edges
        if not data:
            data.append(_line("real", x, drawn["real"], REAL_COLOUR))
        data.append(_line(cohort, x, drawn["synthetic"], cohort_colour(order)))
        if drawn.get("unmatched"):
            data.append(_line(f"{cohort}, pairing broken", x, drawn["unmatched"], cohort_colour(order), "dot"))
    if not data:
        return None
    hint = "Image and row as one record. The dotted line has the same images and rows, paired at random."
    alt = "Lines: density of distances between records, real, synthetic and unmatched."
    layout = _legend_layout("distance between two records", "density")
    return Figure("record-distances", "Distances between records", alt, data, layout, hint)


def scatter_figure(cohorts: Sequence[str], drawings: Mapping[str, Mapping[str, Any]]) -> Figure | None:
    """Return the t-SNE overlay of real and synthetic records; each cohort has a map of its own, shown side by side."""
    known = [
        (order, cohort, drawings[cohort]["tsne"]) for order, cohort in enumerate(cohorts) if _mapped(drawings, cohort)
    ]
    if not known:
        return None
    data: list[dict[str, Any]] = []
    layout = _legend_layout("", "", height=460)
    layout["margin"]["l"] = 16
    for column, (order, cohort, drawn) in enumerate(known):
        suffix = "" if column == 0 else str(column + 1)
        for name, points, colour, symbol in (
            ("real", drawn["real"], REAL_COLOUR, "circle-open"),
            (cohort, drawn["synthetic"], cohort_colour(order), "diamond"),
        ):
            data.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": name,
                    "x": [point[0] for point in points],
                    "y": [point[1] for point in points],
                    "xaxis": f"x{suffix}",
                    "yaxis": f"y{suffix}",
                    "showlegend": name != "real" or column == 0,
                    "marker": {"color": colour, "symbol": symbol, "size": 5, "opacity": 0.75},
                    "hoverinfo": "name",
                }
            )
        width = 1 / len(known)
        bare = {"showticklabels": False, "showgrid": False, "zeroline": False, "title": {"text": ""}}
        layout[f"xaxis{suffix}"] = {
            **bare,
            "domain": [column * width + 0.01, (column + 1) * width - 0.01],
            "anchor": f"y{suffix}",
        }
        layout[f"yaxis{suffix}"] = {**bare, "anchor": f"x{suffix}"}
    hint = "Mixed points: alike. An island of one colour: only one side has such records. Distances mean nothing."
    alt = "Scatter plots: t-SNE maps of real and synthetic records together."
    return Figure("tsne", "Map of all records (t-SNE)", alt, data, layout, hint, broad=len(known) > 1)


def _mapped(drawings: Mapping[str, Mapping[str, Any]], cohort: str) -> bool:
    return bool(drawings.get(cohort, {}).get("tsne"))
