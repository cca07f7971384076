"""Whether rows and images are distributed as real ones, held against what other real patients reach."""

from __future__ import annotations

from collections.abc import Sequence

from monai_hybridsynth.evaluation.metric_record import MetricRecord
from monai_hybridsynth.evaluation.thresholds import Thresholds
from monai_hybridsynth.evaluation.verdict.check import Check, Verdict, find_record, records_of, worst

__all__ = ["fidelity_verdict"]

# Recall is passed by images scattered far and wide; coverage is not, and texture shows what components of pixels miss.
SPREADS = {
    ("precision", "judge"): "Images that look real (precision)",
    ("recall", "judge"): "Real images reached (recall)",
    ("coverage", "judge"): "Real images covered",
    ("coverage", "texture"): "Real images covered, texture",
}
OWN_SPACE = "encoder"
BLIND_TO_BLUR = "it does not see moderate blur: read it with the gap in fine detail"


def fidelity_verdict(metrics: Sequence[MetricRecord], cohort: str, limits: Thresholds) -> Verdict:
    """Return the light of fidelity."""
    checks = [*_table(metrics, cohort, limits), *_images(metrics, cohort, limits)]
    light = worst(checks)
    remarks = _columns(metrics, cohort, limits)
    if light == "good" and remarks:
        light = "caution"
    deciding = [check for check in checks if check.outcome == light]
    rows = any(check.remark == "rows" for check in deciding) or (bool(remarks) and not deciding)
    images = any(check.remark == "images" for check in deciding)
    what = "Rows and images" if rows and images else ("Images" if images else "Rows")
    headline = {
        "good": "Rows and images are distributed as real ones",
        "caution": f"{what} differ somewhat from real ones",
        "bad": f"{what} are not distributed as real ones",
        "unknown": "Nothing could be compared",
    }[light]
    rule = (
        f"Green: column shapes and pair trends within {limits['fidelity', 'gap_caution']:g} of what held-out patients "
        "reach, images no farther and as varied as theirs, no constraint broken, no column astray. Red: more than "
        f"{limits['fidelity', 'gap_red']:g} below, more than {100 * limits['fidelity', 'violations_red']:.0f} % of "
        "rows break a constraint, most kinds of images missing, or a quarter of the images broken."
    )
    checks = [Check(c.title, c.record, c.outcome, c.rule, c.remark if c.outcome == "unknown" else "") for c in checks]
    return Verdict("fidelity", light, headline, tuple(checks), rule, remarks)


def _table(metrics: Sequence[MetricRecord], cohort: str, limits: Thresholds) -> list[Check]:
    caution, red = limits["fidelity", "gap_caution"], limits["fidelity", "gap_red"]
    checks = []
    for name, title in (("column_shape", "Column shapes, mean"), ("pair_trend", "Pair trends, mean")):
        record = find_record(metrics, cohort, name)
        if record is None:
            continue
        rule = f"yellow more than {caution:g} below held-out patients, red more than {red:g}"
        if record.value is None or record.floor is None:
            checks.append(Check(title, record, "unknown", rule, record.note))
            continue
        gap = record.floor - record.value
        checks.append(
            Check(title, record, "bad" if gap > red else ("caution" if gap > caution else "good"), rule, "rows")
        )
    record = find_record(metrics, cohort, "constraint_violations")
    if record is not None:
        most = limits["fidelity", "violations_red"]
        rule = f"green only at 0, red above {100 * most:.0f} % of the rows"
        outcome = "unknown" if record.value is None else ("bad" if record.value > most else "caution")
        outcome = "good" if record.value == 0 else outcome
        checks.append(Check("Rows that break a constraint", record, outcome, rule, "rows"))
    return checks


def _images(metrics: Sequence[MetricRecord], cohort: str, limits: Thresholds) -> list[Check]:
    checks = []
    record = _first(metrics, cohort, "kernel_distance")
    if record is not None:
        apart = record.low is not None and record.low > max(record.floor or 0.0, 0.0)
        outcome = "unknown" if record.value is None else ("caution" if apart else "good")
        rule = "yellow if surely farther from the training images than held-out images are"
        checks.append(Check("Image distance (kernel)", record, outcome, rule, "images"))
    few, least = limits["fidelity", "spread_share_caution"], limits["fidelity", "spread_share_red"]
    for (name, space), words in SPREADS.items():
        record = _first(metrics, cohort, name, space)
        if record is not None:
            rule = f"yellow below {few:g} of what held-out patients reach, red if surely below {least:g} of it"
            checks.append(Check(words, record, _spread(record, few, least), rule, "images"))
    broken = [r for r in metrics if r.cohort == cohort and "broken" in r.name and r.column is None]
    for record in [r for r in broken if "subgroup" not in r.dimensions][:1]:
        caution, red = limits["fidelity", "broken_excess_caution"], limits["fidelity", "broken_excess_red"]
        excess = None if record.low is None else record.low - (record.floor or 0.0)
        outcome = (
            "unknown" if excess is None else ("bad" if excess > red else "caution" if excess > caution else "good")
        )
        rule = f"yellow if surely {caution:g} above held-out images, red if surely {red:g} above; {BLIND_TO_BLUR}"
        checks.append(Check("Images scored as broken", record, outcome, rule, "images"))
    detail = _first(metrics, cohort, "high_band_gap")
    if detail is not None:
        rule = "shown beside the share of broken images; decides nothing"
        checks.append(Check("Fine detail against real images (gap)", detail, "shown", rule))
    told = [r for r in records_of(metrics, cohort, "real_or_synthetic_auroc") if "subgroup" not in r.dimensions]
    if told:
        rule = "shown: a classifier tells most generators' images at once; decides nothing"
        checks.append(Check("Told from real ones by a classifier", told[0], "shown", rule))
    return checks


def _first(metrics: Sequence[MetricRecord], cohort: str, name: str, space: str | None = None) -> MetricRecord | None:
    """Return the cohort's figure of a space, else the first; not in a generator's own space and not of a subgroup.

    A figure that names no space counts as the judge's.
    """
    found = [
        record
        for record in records_of(metrics, cohort, name)
        if record.column is None
        and "subgroup" not in record.dimensions
        and not any(OWN_SPACE in str(value) for value in record.dimensions.values())
        and (space is None or record.dimensions.get("features", "judge") == space)
    ]
    return found[0] if found else None


def _spread(record: MetricRecord, few: float, least: float) -> str:
    if record.value is None or record.high is None or not record.floor:
        return "unknown"
    if record.high < least * record.floor:
        return "bad"
    return "caution" if record.value < few * record.floor else "good"


def _columns(metrics: Sequence[MetricRecord], cohort: str, limits: Thresholds) -> tuple[str, ...]:
    """Return a sentence that names the columns whose values are surely distributed otherwise."""
    gap = limits["fidelity", "column_gap"]
    astray = [
        record.column
        for record in records_of(metrics, cohort, "column_shape")
        if record.column and record.high is not None and record.floor is not None and record.floor - record.high > gap
    ]
    named = ", ".join(dict.fromkeys(astray))
    return (f"Distributed otherwise: {named}.",) if astray else ()
