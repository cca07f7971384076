"""Plots of what a synthetic cohort is worth for training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from monai_hybridsynth.evaluation.metric_record import MetricRecord
from monai_hybridsynth.evaluation.report.figure import REAL_COLOUR, Figure, cohort_colour, slug
from monai_hybridsynth.evaluation.report.interval_rows import interval_series, place_of, rows_layout, shifts

__all__ = ["arm_figure", "calibration_figures", "subgroup_figure", "utility_figures", "volume_figure"]

ARM_SYMBOLS = {"real": "circle", "synthetic": "diamond", "both": "square", "finetuned": "triangle-up"}
MAXIMUM_CALIBRATIONS = 6
CALIBRATION_HINT = "On the diagonal, what is predicted comes true as often as predicted. Rare targets are left out."
ARM_WORDS = {
    "real": "trained on real",
    "synthetic": "trained on synthetic",
    "both": "trained on both",
    "finetuned": "synthetic first, then real",
}
DASHES = {"real": "solid", "synthetic": "dash", "both": "dot", "finetuned": "dashdot"}


def utility_figures(
    metrics: Sequence[MetricRecord], cohorts: Sequence[str], drawings: Mapping[str, Mapping[str, Any]]
) -> list[Figure]:
    """Return the family's plots, those left out for which there is nothing."""
    figures = [
        arm_figure(metrics, cohorts, "auroc", "AUROC in held-out patients (0.5: guessing)", (0.5,)),
        arm_figure(metrics, cohorts, "r2", "R² in held-out patients (0: the mean)", (0.0,)),
        volume_figure(metrics, cohorts),
        subgroup_figure(metrics, cohorts),
        *calibration_figures(cohorts, drawings),
    ]
    return [figure for figure in figures if figure is not None]


def _chosen(metrics: Sequence[MetricRecord], name: str) -> list[MetricRecord]:
    """Return estimated records of the linear predictor from the image."""
    return [
        record
        for record in metrics
        if record.name == name
        and record.value is not None
        and record.dimensions.get("input", "image") == "image"
        and record.dimensions.get("predictor", "linear") == "linear"
    ]


def _largest_volume(records: Sequence[MetricRecord]) -> list[MetricRecord]:
    """Return for each target and arm the record at the largest volume."""
    found: dict[tuple, MetricRecord] = {}
    for record in records:
        key = (record.cohort, place_of(record), record.dimensions.get("arm"))
        if key not in found or volume_of(record) >= volume_of(found[key]):
            found[key] = record
    return list(found.values())


def volume_of(record: MetricRecord) -> float:
    """Return how many times the training cohort's size the predictor learned from; 0 where it is not stated."""
    return float(str(record.dimensions.get("volume", 0)).removesuffix("x") or 0)


def arm_figure(
    metrics: Sequence[MetricRecord], cohorts: Sequence[str], name: str, title: str, lines: Sequence[float]
) -> Figure | None:
    """Return a score per target and training arm; the real arm is drawn once."""
    plain = [r for r in _chosen(metrics, name) if "subgroup" not in r.dimensions and "arm" in r.dimensions]
    chosen = _largest_volume(plain)
    if not chosen:
        return None
    places = list(dict.fromkeys(place_of(record) for record in chosen))
    arms = [arm for arm in ARM_SYMBOLS if any(record.dimensions["arm"] == arm for record in chosen)]
    plan = [(cohorts[0], "real")] if "real" in arms else []
    plan += [(cohort, arm) for cohort in cohorts for arm in arms if arm != "real"]
    series = []
    for shift, (cohort, arm) in zip(shifts(len(plan)), plan, strict=True):
        rows = [record for record in chosen if record.cohort == cohort and record.dimensions["arm"] == arm]
        who = f" ({cohort})" if len(cohorts) > 1 and arm != "real" else ""
        colour = REAL_COLOUR if arm == "real" else cohort_colour(_colour_place(cohorts, cohort, arm))
        series.append(
            interval_series(
                rows, places, name=f"{ARM_WORDS[arm]}{who}", colour=colour, symbol=ARM_SYMBOLS[arm], shift=shift
            )
        )
    low = min(record.low or 0 for record in chosen)
    span = (max(min(low, *lines), -1.0) - 0.04, 1.02)
    alt = f"Dots with intervals: {name} of every target after training on real, synthetic and both kinds of records."
    hint = "Always tested on the same held-out patients; from the image, linear predictor. Others are in the table."
    heading = {"auroc": "Yes/no targets", "r2": "Numeric targets"}.get(name, name)
    return Figure(f"utility-{name}", heading, alt, series, rows_layout(places, title, span, lines), hint)


def _colour_place(cohorts: Sequence[str], cohort: str, arm: str) -> int:
    """Return a colour's place: one per cohort, or with a single cohort one per arm."""
    return list(cohorts).index(cohort) if len(cohorts) > 1 else list(ARM_SYMBOLS).index(arm) - 1


def volume_figure(metrics: Sequence[MetricRecord], cohorts: Sequence[str]) -> Figure | None:
    """Return the utility ratio against the volume of synthetic records, or None with a single volume."""
    ratios = [
        record
        for record in _chosen(metrics, "utility_ratio")
        if "subgroup" not in record.dimensions and record.dimensions.get("arm", "synthetic") == "synthetic"
    ]
    means = [record for record in ratios if record.column is None] or ratios
    if len({volume_of(record) for record in means}) < 2:
        return None
    series = []
    for order, cohort in enumerate(cohorts):
        for place in dict.fromkeys(place_of(record) for record in means):
            rows = sorted((r for r in means if r.cohort == cohort and place_of(r) == place), key=volume_of)
            who = " ".join(filter(None, [cohort if len(cohorts) > 1 else "", place]))
            series.append(
                {
                    "type": "scatter",
                    "mode": "lines+markers",
                    "name": who,
                    "x": [volume_of(record) for record in rows],
                    "y": [record.value for record in rows],
                    "error_y": {
                        "type": "data",
                        "symmetric": False,
                        "array": [(r.high or 0) - (r.value or 0) for r in rows],
                        "arrayminus": [(r.value or 0) - (r.low or 0) for r in rows],
                        "width": 4,
                    },
                    "marker": {"color": cohort_colour(order), "size": 9},
                    "line": {"color": cohort_colour(order)},
                    "hovertemplate": "%{x:.3g} ×: %{y:.2f}<extra>" + who + "</extra>",
                }
            )
    layout = {
        "height": 340,
        "margin": {"l": 56, "r": 16, "t": 44, "b": 50},
        "xaxis": {"title": {"text": "synthetic records per training record"}, "rangemode": "tozero"},
        "yaxis": {"title": {"text": "utility ratio (1: as real)"}},
        "legend": {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"},
    }
    alt = "Lines: utility ratio against the volume of synthetic records."
    return Figure(
        "utility-volume", "Utility by volume", alt, series, layout, "More records help until they say no more."
    )


def subgroup_figure(metrics: Sequence[MetricRecord], cohorts: Sequence[str]) -> Figure | None:
    """Return AUROC per subgroup after training on real and on synthetic records, or None without subgroups."""
    chosen = [r for r in _chosen(metrics, "auroc") if "subgroup" in r.dimensions and "arm" in r.dimensions]
    chosen = [record for record in chosen if record.dimensions["arm"] in ("real", "synthetic")]
    if not chosen:
        return None

    def place(record: MetricRecord) -> str:
        return f"{place_of(record)} | {record.dimensions['subgroup']}"

    places = list(dict.fromkeys(place(record) for record in chosen))
    plan = [(cohorts[0], "real"), *((cohort, "synthetic") for cohort in cohorts)]
    series = []
    for shift, (cohort, arm) in zip(shifts(len(plan)), plan, strict=True):
        rows = [record for record in chosen if record.cohort == cohort and record.dimensions["arm"] == arm]
        who = f" ({cohort})" if len(cohorts) > 1 and arm != "real" else ""
        colour = REAL_COLOUR if arm == "real" else cohort_colour(list(cohorts).index(cohort))
        symbol = ARM_SYMBOLS[arm]
        series.append(
            interval_series(
                rows, places, name=f"{ARM_WORDS[arm]}{who}", colour=colour, symbol=symbol, shift=shift, place=place
            )
        )
    layout = rows_layout(places, "AUROC in held-out patients (0.5: guessing)", (0.2, 1.02), (0.5,))
    alt = "Dots with intervals: AUROC of every target within each subgroup."
    hint = "A subgroup that loses more than the others is served worse by the synthetic records."
    return Figure("utility-subgroup", "Subgroups", alt, series, layout, hint)


def calibration_figures(cohorts: Sequence[str], drawings: Mapping[str, Mapping[str, Any]]) -> list[Figure]:
    """Return one reliability diagram per target: predicted against observed share."""
    figures: list[Figure] = []
    for target in _calibrated_targets(cohorts, drawings)[:MAXIMUM_CALIBRATIONS]:
        diagonal = {"color": "--muted", "dash": "dot", "width": 1}
        data: list[dict[str, Any]] = [
            {"type": "scatter", "mode": "lines", "name": "calibrated", "x": [0, 1], "y": [0, 1], "line": diagonal}
        ]
        for order, cohort in enumerate(cohorts):
            arms = (drawings.get(cohort, {}).get("calibration") or {}).get(target) or {}
            for arm, curve in arms.items():
                if arm == "real" and order:
                    continue
                who = f" ({cohort})" if len(cohorts) > 1 and arm != "real" else ""
                colour = REAL_COLOUR if arm == "real" else cohort_colour(_colour_place(cohorts, cohort, arm))
                data.append(
                    {
                        "type": "scatter",
                        "mode": "lines+markers",
                        "name": f"{ARM_WORDS.get(arm, arm)}{who}",
                        "x": curve["predicted"],
                        "y": curve["observed"],
                        "line": {"color": colour, "dash": DASHES.get(arm, "solid")},
                        "marker": {"symbol": ARM_SYMBOLS.get(arm, "circle"), "size": 7},
                    }
                )
        shown = [part for side in data[1:] for axis in "xy" for part in side[axis] if part is not None]
        most = min(1.02, max([0.2, *shown]) * 1.1)
        layout = {
            "height": 340,
            "margin": {"l": 52, "r": 12, "t": 40, "b": 50},
            "xaxis": {"title": {"text": "predicted"}, "range": [-0.02, most]},
            "yaxis": {"title": {"text": "observed in held-out patients"}, "range": [-0.02, most]},
            "legend": {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"},
        }
        alt = f"Curves: share observed against share predicted for {target}, by training arm."
        figures.append(
            Figure(slug("calibration", len(figures)), f"Calibration: {target}", alt, data, layout, CALIBRATION_HINT)
        )
    return figures


def _calibrated_targets(cohorts: Sequence[str], drawings: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the targets that have curves, those nearest to half of the patients first: their curves say most."""
    shares: dict[str, float] = {}
    for cohort in cohorts:
        for target, arms in (drawings.get(cohort, {}).get("calibration") or {}).items():
            observed = [part for curve in arms.values() for part in curve["observed"] if part is not None]
            shares.setdefault(target, sum(observed) / len(observed) if observed else 0.0)
    return sorted(shares, key=lambda target: abs(shares[target] - 0.5))
