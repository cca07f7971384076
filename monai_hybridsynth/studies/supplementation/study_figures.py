"""Plots of a supplementation study: curves over the share of synthetic records, gains per finding, labels together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from monai_hybridsynth.evaluation.report.figure import REAL_COLOUR, Figure, cohort_colour, slug
from monai_hybridsynth.evaluation.report.interval_rows import rows_layout, shifts
from monai_hybridsynth.evaluation.report.table_figures import cooccurrence_figures
from monai_hybridsynth.studies.supplementation.study_cells import REAL_ARM

__all__ = ["curve_figures", "finding_figures", "study_figures"]

SYMBOLS = ("diamond", "square", "triangle-up", "cross", "star", "hexagon")
DASHES = ("solid", "dash", "dot", "dashdot")
DODGE = 0.015

Results = Mapping[str, Any]
Rows = Sequence[Mapping[str, Any]]


def study_figures(results: Results) -> dict[str, list[Figure]]:
    """Return all plots by section of the page."""
    together = results["cooccurrence"]
    drawings = {
        name: {"cooccurrence": {"labels": together["labels"], "real": together["real"], "synthetic": matrix}}
        for name, matrix in together["sources"].items()
    }
    return {
        "curves": curve_figures(results),
        "findings": finding_figures(results),
        "labels": cooccurrence_figures(list(drawings), drawings) if len(together["labels"]) > 1 else [],
    }


def curve_figures(results: Results) -> list[Figure]:
    """Return macro AUROC over the share of synthetic records, one plot per test and share of real patients."""
    macro = [score for score in results["scores"] if score["finding"] is None]
    arms = _arms(results)
    figures = []
    for test in dict.fromkeys(score["test"] for score in macro):
        for size in sorted({score["real_percent"] for score in macro}, reverse=True):
            chosen = [score for score in macro if score["test"] == test and score["real_percent"] == size]
            data = _real_band(chosen)
            # Side by side, or the intervals of arms with the same share hide one another.
            step = DODGE * max([100, *(score["percent"] for score in chosen)])
            for place, arm in enumerate(arms):
                rows = sorted((score for score in chosen if score["arm"] == arm), key=lambda score: score["percent"])
                data += [_curve(rows, arm, place, step * (place - (len(arms) - 1) / 2))] if rows else []
            layout = {
                "height": 360,
                "margin": {"l": 56, "r": 16, "t": 44, "b": 50},
                "xaxis": {"title": {"text": "synthetic records per 100 real ones"}, "rangemode": "tozero"},
                "yaxis": {"title": {"text": "macro AUROC"}},
                "legend": {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"},
            }
            title = f"Test {test}, {size} % of the real patients"
            alt = f"Lines: macro AUROC of every arm in {test} over the share of synthetic records."
            hint = "Dotted lines: 95 % interval of real records alone. All arms were tested on the same patients."
            figures.append(Figure(slug("curve", test, size), title, alt, data, layout, hint))
    return figures


def finding_figures(results: Results) -> list[Figure]:
    """Return gains over real records alone per finding, at all real patients and the largest share of each arm."""
    gains = [gain for gain in results["gains"] if gain["low"] is not None]
    if not gains:
        return []
    size = max(gain["real_percent"] for gain in gains)
    arms = [arm for arm in _arms(results) if any(gain["arm"] == arm for gain in gains)]
    figures = []
    for test in dict.fromkeys(gain["test"] for gain in gains):
        chosen = [gain for gain in gains if gain["test"] == test and gain["real_percent"] == size]
        most = {arm: max((gain["percent"] for gain in chosen if gain["arm"] == arm), default=0) for arm in arms}
        chosen = [gain for gain in chosen if gain["percent"] == most[gain["arm"]]]
        places = list(dict.fromkeys(gain["finding"] or "mean of findings" for gain in chosen))
        data = [
            _gain_rows([gain for gain in chosen if gain["arm"] == arm], places, f"{arm}, {most[arm]} %", place, shift)
            for shift, (place, arm) in zip(shifts(len(arms)), enumerate(arms), strict=True)
        ]
        reach = max([0.02, *(abs(gain[end]) for gain in chosen for end in ("low", "high"))])
        layout = rows_layout(places, "AUROC gained over real records alone", (-1.05 * reach, 1.05 * reach), (0.0,))
        alt = f"Dots with intervals: gain of every arm in {test}, per finding."
        hint = f"With {size} % of the real patients. Left of the line synthetic records do harm."
        figures.append(Figure(slug("gains", test), f"Gains in {test}", alt, data, layout, hint, broad=True))
    return figures


def _arms(results: Results) -> list[str]:
    return [arm["name"] for arm in results["study"]["arms"] if arm["name"] != REAL_ARM]


def _real_band(scores: Rows) -> list[dict[str, Any]]:
    real = [score for score in scores if score["arm"] == REAL_ARM]
    if not real or real[0]["low"] is None:
        return []
    ends = [0, max([100, *(score["percent"] for score in scores)])]
    line = {
        "type": "scatter",
        "mode": "lines",
        "name": "real records alone",
        "x": ends,
        "y": [real[0]["value"]] * 2,
        "line": {"color": REAL_COLOUR, "width": 3},
        "hovertemplate": "%{y:.3f}<extra>real records alone</extra>",
    }
    edge = {"type": "scatter", "mode": "lines", "x": ends, "showlegend": False, "hoverinfo": "skip"}
    dotted = {"color": REAL_COLOUR, "width": 1, "dash": "dot"}
    return [line, *({**edge, "y": [real[0][end]] * 2, "line": dotted} for end in ("low", "high"))]


def _errors(rows: Rows, colour: str) -> dict[str, Any]:
    above = [(row["high"] if row["high"] is not None else row["value"]) - row["value"] for row in rows]
    below = [row["value"] - (row["low"] if row["low"] is not None else row["value"]) for row in rows]
    return {"type": "data", "symmetric": False, "array": above, "arrayminus": below, "width": 3, "color": colour}


def _curve(rows: Rows, arm: str, place: int, offset: float) -> dict[str, Any]:
    colour = cohort_colour(place)
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": arm,
        "x": [row["percent"] + offset for row in rows],
        "y": [row["value"] for row in rows],
        "customdata": [row["percent"] for row in rows],
        "error_y": _errors(rows, colour),
        "marker": {"color": colour, "size": 9, "symbol": SYMBOLS[place % len(SYMBOLS)]},
        "line": {"color": colour, "dash": DASHES[place // 4 % len(DASHES)]},
        "hovertemplate": "%{customdata} %: %{y:.3f}<extra>" + arm + "</extra>",
    }


def _gain_rows(rows: Rows, places: Sequence[str], name: str, place: int, shift: float) -> dict[str, Any]:
    colour = cohort_colour(place)
    names = [row["finding"] or places[0] for row in rows]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [row["value"] for row in rows],
        "y": [places.index(one) + shift for one in names],
        "error_x": _errors(rows, colour),
        "marker": {"color": colour, "size": 8, "symbol": SYMBOLS[place % len(SYMBOLS)]},
        "text": [
            f"{one}: {row['value']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]"
            for one, row in zip(names, rows, strict=True)
        ],
        "hovertemplate": "%{text}<extra>" + name + "</extra>",
    }
