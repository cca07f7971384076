"""Values with intervals along labelled rows: the plot that most families share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from monai_hybridsynth.evaluation.metric_record import MetricRecord
from monai_hybridsynth.evaluation.report.figure import REAL_COLOUR, cohort_colour

__all__ = [
    "MEAN",
    "bar_marks",
    "cohort_series",
    "interval_series",
    "place_of",
    "rows_layout",
    "shifts",
    "vertical_lines",
]

MEAN = "mean of all columns"
ROW_HEIGHT, DENSE_ROW_HEIGHT, MANY_ROWS = 46, 26, 24


def place_of(record: MetricRecord) -> str:
    """Return the row in which a record stands: its column, with its label if it has one."""
    label = record.dimensions.get("label")
    if record.column is None:
        return MEAN
    return f"{record.column} = {label}" if label else record.column


def shifts(count: int) -> list[float]:
    """Return how far several series of one row lie from its middle, so that none hides another."""
    return [0.0] if count < 2 else [-0.3 + 0.6 * place / (count - 1) for place in range(count)]


def interval_series(
    records: Sequence[MetricRecord],
    places: Sequence[str],
    *,
    name: str,
    colour: str,
    symbol: str = "circle",
    shift: float = 0.0,
    place: Callable[[MetricRecord], str] = place_of,
) -> dict[str, Any]:
    """Return one series of values with intervals; records without a value are left out."""
    rows = {text: row for row, text in enumerate(places)}
    shown = [record for record in records if record.value is not None and place(record) in rows]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [record.value for record in shown],
        "y": [rows[place(record)] + shift for record in shown],
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
        "text": [f"{place(r)}, {name}: {r.value:.2f} [{r.low:.2f}, {r.high:.2f}], n = {r.n}" for r in shown],
    }


def cohort_series(
    records: Sequence[MetricRecord],
    places: Sequence[str],
    cohorts: Sequence[str],
    *,
    place: Callable[[MetricRecord], str] = place_of,
) -> list[dict[str, Any]]:
    """Return one series of values with intervals per cohort, side by side in its own colour."""
    return [
        interval_series(
            [record for record in records if record.cohort == cohort],
            places,
            name=cohort,
            colour=cohort_colour(order),
            shift=shift,
            place=place,
        )
        for shift, (order, cohort) in zip(shifts(len(cohorts)), enumerate(cohorts), strict=True)
    ]


def bar_marks(values: dict[str, float], places: Sequence[str], name: str) -> dict[str, Any]:
    """Return what held-out patients reach, as a bar in each row."""
    known = {place: value for place, value in values.items() if place in places}
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": list(known.values()),
        "y": [list(places).index(place) for place in known],
        "marker": {
            "color": REAL_COLOUR,
            "symbol": "line-ns-open",
            "size": 16,
            "line": {"width": 3, "color": REAL_COLOUR},
        },
        "text": list(known),
        "hovertemplate": "%{text}, " + name + ": %{x:.2f}<extra></extra>",
    }


def vertical_lines(positions: Sequence[float]) -> list[dict[str, Any]]:
    """Return dotted reference lines over the whole height."""
    line = {"color": "--muted", "dash": "dot"}
    return [{"type": "line", "x0": x, "x1": x, "y0": 0, "y1": 1, "yref": "paper", "line": line} for x in positions]


def rows_layout(places: Sequence[str], title: str, span: tuple[float, float], lines: Sequence[float]) -> dict[str, Any]:
    """Return a layout of labelled rows, the first on top; many rows stand closer together."""
    each = ROW_HEIGHT if len(places) <= MANY_ROWS else DENSE_ROW_HEIGHT
    return {
        "height": 120 + each * len(places),
        "margin": {"l": 10, "r": 16, "t": 44, "b": 50},
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
        "shapes": vertical_lines(lines),
    }
