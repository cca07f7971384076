"""Whether image and row belong together: the weaker direction and the weaker predictor decide."""

from __future__ import annotations

from collections.abc import Sequence

from monai_hybridsynth.evaluation.metric_record import MetricRecord
from monai_hybridsynth.evaluation.thresholds import Thresholds
from monai_hybridsynth.evaluation.verdict.check import Check, Verdict, find_record, records_of, worst

__all__ = ["correspondence_verdict", "share_check"]

DIRECTIONS = {"agreement_forward": "forward", "agreement_reverse": "reverse"}


def share_check(record: MetricRecord, title: str, limits: Thresholds, family: str) -> Check:
    """Return the check of a share of the real gain: good in value, and certain enough."""
    good, sure = limits[family, "good_share"], limits[family, "sure_share"]
    rule = f"green from {good:g} with an interval from {sure:g} up; red if the interval includes 0"
    if record.value is None or record.low is None:
        return Check(title, record, "unknown", rule, record.note)
    if record.low <= 0:
        return Check(title, record, "bad", rule)
    if record.value >= good and record.low >= sure:
        return Check(title, record, "good", rule)
    return Check(title, record, "caution", rule, "too few patients to be sure" if record.value >= good else "")


def correspondence_verdict(metrics: Sequence[MetricRecord], cohort: str, limits: Thresholds) -> Verdict:
    """Return the light of correspondence."""
    most = limits["correspondence", "exaggerated_share"]
    checks = []
    for name, direction in DIRECTIONS.items():
        predictors = dict.fromkeys(str(r.dimensions.get("predictor", "")) for r in records_of(metrics, cohort, name))
        for predictor in predictors:
            record = find_record(metrics, cohort, name, **({"predictor": predictor} if predictor else {}))
            if record is None:
                continue
            title = f"Agreement, {direction}" + (f", {predictor} predictor" if predictor else "")
            check = share_check(record, title, limits, "correspondence")
            if check.outcome == "good" and record.low is not None and record.low > most:
                rule = f"{check.rule}; yellow if the interval lies above {most:g}"
                check = Check(title, record, "caution", rule, "above what real pairs give: exaggerated, or copied")
            checks.append(check)
    light = worst(checks)
    remarks = _columns(metrics, cohort, limits)
    lost = any(text.startswith("Lost") for text in remarks)
    if light == "good" and remarks:
        light = "caution"
    above = any(check.remark.startswith("above") for check in checks)
    unsure = all(check.remark for check in checks if check.outcome == "caution")
    weak = "Too few patients to be sure" if unsure and not lost else "The link is weakened"
    headline = {
        "good": "Image and row belong together",
        "caution": "The link is exaggerated, or copied" if above else ("Some columns have lost it" if lost else weak),
        "bad": "The link between image and row is lost",
        "unknown": "Real pairs show no measurable link",
    }[light]
    if light == "caution" and not above and not lost and remarks and not any(c.outcome == "caution" for c in checks):
        headline = "Some columns are exaggerated, or copied"
    for name, words in (
        ("retrieval_at_1", "Row found from its image, first guess"),
        ("retrieval_at_10", "Row found from its image, first ten guesses"),
    ):
        record = find_record(metrics, cohort, name)
        if record is not None:
            checks.append(Check(words, record, "shown", "shown beside the agreement; decides nothing"))
    rule = (
        f"Green: the mean column keeps at least {limits['correspondence', 'good_share']:g} of the link in real pairs, "
        f"in both directions and for every predictor, intervals from {limits['correspondence', 'sure_share']:g} up and "
        f"none wholly above {most:g}, and no single column surely lost or exaggerated. Red: an interval includes 0, as "
        "it does when image and row are paired at random. A red privacy light withholds green."
    )
    return Verdict("correspondence", light, headline, tuple(checks), rule, remarks)


def _columns(metrics: Sequence[MetricRecord], cohort: str, limits: Thresholds) -> tuple[str, ...]:
    """Return sentences that name the columns whose link is surely lost or surely exaggerated, by direction."""
    lost, most = limits["correspondence", "lost_share"], limits["correspondence", "exaggerated_share"]
    found: dict[str, dict[str, set[str]]] = {"Lost": {}, "Exaggerated": {}}
    for name, direction in DIRECTIONS.items():
        for record in records_of(metrics, cohort, name):
            if record.column is None or "label" in record.dimensions or record.low is None or record.high is None:
                continue
            if record.high < lost:
                found["Lost"].setdefault(record.column, set()).add(direction)
            # Half again beyond real pairs: sampling alone carries single columns a little above 1.
            elif record.low > 1.5 * most:
                found["Exaggerated"].setdefault(record.column, set()).add(direction)
    sentences = []
    for what, columns in found.items():
        if columns:
            named = "; ".join(f"{column} ({' and '.join(sorted(sides))})" for column, sides in columns.items())
            sentences.append(f"{what}: {named}.")
    return tuple(sentences)
