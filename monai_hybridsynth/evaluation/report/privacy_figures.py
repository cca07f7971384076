"""Plots of attacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from monai_hybridsynth.evaluation.metric_record import MetricRecord
from monai_hybridsynth.evaluation.report.figure import Figure, cohort_colour
from monai_hybridsynth.evaluation.report.interval_rows import cohort_series, rows_layout

__all__ = ["attack_figure", "privacy_figures", "risk_figure", "roc_figure"]

DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
RISKS = {"singling_out": "singling out", "linkability": "linkability", "attribute_inference": "attribute inference"}
DISTINGUISHING = ("view", "stratum", "attack", "known", "label")


def privacy_figures(
    metrics: Sequence[MetricRecord], cohorts: Sequence[str], drawings: Mapping[str, Mapping[str, Any]]
) -> list[Figure]:
    """Return the family's plots, those left out for which there is nothing."""
    figures = [attack_figure(metrics, cohorts), roc_figure(cohorts, drawings), risk_figure(metrics, cohorts)]
    return [figure for figure in figures if figure is not None]


def _distinct(record: MetricRecord) -> str:
    shown = [str(record.dimensions[key]) for key in DISTINGUISHING if key in record.dimensions]
    return ", ".join([*([record.column] if record.column else []), *shown]) or "all records"


def attack_figure(metrics: Sequence[MetricRecord], cohorts: Sequence[str]) -> Figure | None:
    """Return the AUROC of every membership attack with its interval; 0.5 is guessing."""
    chosen = [record for record in metrics if record.name == "membership_auroc" and record.value is not None]
    chosen = [record for record in chosen if record.dimensions.get("attack") == "strongest"] or chosen
    if not chosen:
        return None

    def place(record: MetricRecord) -> str:
        # The attack differs between cohorts, as the strongest is reported: rows go by what is attacked.
        shown = [str(record.dimensions[key]) for key in ("view", "stratum") if key in record.dimensions]
        return ", ".join(shown) or _distinct(record)

    places = list(dict.fromkeys(place(record) for record in chosen))
    series = cohort_series(chosen, places, cohorts, place=place)
    low = min(record.low or 0 for record in chosen)
    layout = rows_layout(
        places, "AUROC of telling training from held-out patients", (min(low, 0.3) - 0.03, 1.02), (0.5,)
    )
    alt = "Dots with intervals: membership attack AUROC by view and group of patients; one half is guessing."
    hint = "The strongest attack, chosen on one half of the patients and reported on the other. Left is safer."
    return Figure("membership", "Membership attacks", alt, series, layout, hint)


def roc_figure(cohorts: Sequence[str], drawings: Mapping[str, Mapping[str, Any]]) -> Figure | None:
    """Return the ROC of the strongest membership attack on every view."""
    line = {"color": "--muted", "dash": "dot", "width": 1}
    data: list[dict[str, Any]] = [
        {"type": "scatter", "mode": "lines", "name": "guessing", "x": [0, 1], "y": [0, 1], "line": line}
    ]
    for order, cohort in enumerate(cohorts):
        views = drawings.get(cohort, {}).get("membership_roc") or {}
        for dash, (view, curve) in zip(DASHES, views.items(), strict=False):
            name = " ".join(filter(None, [cohort if len(cohorts) > 1 else "", view]))
            words = f"{name}: {curve.get('attack', '')}, AUROC {curve.get('auroc', float('nan')):.2f}"
            colour = cohort_colour(order)
            data.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "name": name,
                    "x": curve["fpr"],
                    "y": curve["tpr"],
                    "line": {"color": colour, "dash": dash, "width": 2.5},
                    "hovertemplate": "%{x:.2f} false alarms, %{y:.2f} found<extra>" + words + "</extra>",
                }
            )
    if len(data) == 1:
        return None
    layout = {
        "height": 400,
        "margin": {"l": 56, "r": 16, "t": 44, "b": 50},
        "xaxis": {"title": {"text": "held-out patients called members"}, "range": [-0.01, 1.01]},
        "yaxis": {"title": {"text": "training patients found"}, "range": [-0.01, 1.01]},
        "legend": {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"},
        "shapes": [
            {"type": "line", "x0": 0.1, "x1": 0.1, "y0": 0, "y1": 1, "line": {"color": "--line", "dash": "dash"}}
        ],
    }
    alt = "ROC curves of the strongest membership attack on image, table and record; the diagonal is guessing."
    hint = "A curve that leaves the diagonal at the lower left finds a few patients with certainty."
    return Figure("membership-roc", "ROC of the strongest attack", alt, data, layout, hint)


def risk_figure(metrics: Sequence[MetricRecord], cohorts: Sequence[str]) -> Figure | None:
    """Return success on training patients beyond control patients for each anonymity risk."""
    chosen = [record for record in metrics if record.name in RISKS and record.value is not None]
    if not chosen:
        return None

    def place(record: MetricRecord) -> str:
        return f"{RISKS[record.name]}: {_distinct(record)}"

    places = list(dict.fromkeys(place(record) for record in chosen))
    series = cohort_series(chosen, places, cohorts, place=place)
    low = min(record.low or 0 for record in chosen)
    high = max(record.high or 0 for record in chosen)
    span = (min(low, -0.05) - 0.02, max(high, 0.1) + 0.02)
    layout = rows_layout(places, "success on training minus control patients", span, (0,))
    alt = "Dots with intervals: singling out, linkability and attribute inference beyond control patients."
    hint = "0: an attacker learns no more about training patients than about patients the generator never saw."
    return Figure("risks", "Anonymity risks", alt, series, layout, hint)
