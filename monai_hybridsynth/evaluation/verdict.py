"""Four traffic lights, each with the numbers behind it and the rule that set it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from monai_hybridsynth.evaluation.metric_record import MetricRecord

__all__ = ["Verdict", "family_verdicts", "find_record"]

# Reasons. .7: the published hybrid method kept .73 of the gain over chance.
# .05 and .15: differences in shape between two samples of the same few hundred patients, and three times that.
GOOD_SHARE = 0.7
# Half of it must be certain: a wide interval is not a success.
SURE_SHARE = 0.35
CLOSE, FAR = 0.05, 0.15
# Synthetic records twice as close to training patients as real strangers are: no accident in any cohort tried.
NEAR_RATIO = 0.5


@dataclass(frozen=True)
class Verdict:
    """One family's light.

    Attributes:
        family: fidelity, utility, correspondence or privacy.
        light: ``good``, ``caution``, ``bad`` or ``unknown``.
        headline: what it means, in a few words.
        numbers: the records behind it.
        rule: how the light was set.
    """

    family: str
    light: str
    headline: str
    numbers: tuple[MetricRecord, ...]
    rule: str


def find_record(
    metrics: Sequence[MetricRecord], cohort: str, name: str, *, column: str | None = None, **dimensions: str
) -> MetricRecord | None:
    """Return the first record of that cohort, name, column and dimensions, or None.

    Where a column has several labels, one of them is returned only if it is asked for.
    """
    found = [
        record
        for record in metrics
        if (record.cohort, record.name, record.column) == (cohort, name, column)
        and all(record.dimensions.get(key) == value for key, value in dimensions.items())
    ]
    plain = [record for record in found if "label" in dimensions or "label" not in record.dimensions]
    if plain:
        return plain[0]
    return found[0] if len({record.dimensions["label"] for record in found}) == 1 else None


def family_verdicts(metrics: Sequence[MetricRecord], cohort: str) -> list[Verdict]:
    """Return the four verdicts on one synthetic cohort."""
    return [
        _correspondence(metrics, cohort),
        _utility(metrics, cohort),
        _fidelity(metrics, cohort),
        _privacy(metrics, cohort),
    ]


def _present(*records: MetricRecord | None) -> tuple[MetricRecord, ...]:
    return tuple(record for record in records if record is not None)


def _share_light(records: Sequence[MetricRecord]) -> str:
    """Return the light of shares of the real gain: the weakest of the records decides."""
    lights = []
    for record in records:
        if record.value is None or record.low is None:
            continue
        if record.low <= 0:
            lights.append("bad")
        else:
            lights.append("good" if record.value >= GOOD_SHARE and record.low >= SURE_SHARE else "caution")
    return next((light for light in ("bad", "caution", "good") if light in lights), "unknown")


def _unsure(records: Sequence[MetricRecord], weakened: str) -> str:
    """Return the headline of a yellow light: weakened, or only not certain."""
    good = all(record.value is None or record.value >= GOOD_SHARE for record in records)
    return "Too few patients to be sure" if good else weakened


def _correspondence(metrics: Sequence[MetricRecord], cohort: str) -> Verdict:
    numbers = _present(
        *(
            find_record(metrics, cohort, name, predictor=predictor)
            for name in ("agreement_forward", "agreement_reverse")
            for predictor in ("linear", "kernel")
        )
    )
    light = _share_light(numbers)
    above = any(record.low is not None and record.low > 1 for record in numbers)
    if light == "good" and above:
        light = "caution"
    headline = {
        "good": "Image and row belong together",
        "caution": "The link is exaggerated, or copied" if above else _unsure(numbers, "The link is weakened"),
        "bad": "The link between image and row is lost",
        "unknown": "Real pairs show no measurable link",
    }[light]
    rule = (
        f"Green: forward and reverse agreement of the mean column at least {GOOD_SHARE}, intervals from "
        f"{SURE_SHARE} up and none wholly above 1. Red: an interval includes 0, as it does "
        "when image and row are paired at random."
    )
    return Verdict("correspondence", light, headline, numbers, rule)


def _utility(metrics: Sequence[MetricRecord], cohort: str) -> Verdict:
    mean = find_record(metrics, cohort, "utility_ratio", input="image", predictor="linear")
    single = [
        record
        for record in metrics
        if record.cohort == cohort and record.name == "utility_ratio" and record.dimensions.get("input") == "image"
    ]
    numbers = _present(mean) if mean else tuple(single[:4])
    light = _share_light(numbers)
    headline = {
        "good": "Training on it is nearly as good as on real records",
        "caution": _unsure(numbers, "Training on it keeps part of the gain"),
        "bad": "Training on it does not beat guessing",
        "unknown": "No target could be measured",
    }[light]
    rule = (
        f"Green: training on synthetic records alone keeps at least {GOOD_SHARE} of the gain over chance, the "
        f"interval from {SURE_SHARE} up. "
        "Red: the interval includes 0."
    )
    return Verdict("utility", light, headline, numbers, rule)


def _fidelity(metrics: Sequence[MetricRecord], cohort: str) -> Verdict:
    names = ("column_shape", "pair_trend", "kernel_distance", "constraint_violations")
    numbers = _present(*(find_record(metrics, cohort, name) for name in names))
    gaps = [
        record.floor - record.value
        for record in numbers
        if record.better == "higher" and record.value is not None and record.floor is not None
    ]
    broken = next((record.value for record in numbers if record.name == "constraint_violations"), None) or 0.0
    distance = next((record for record in numbers if record.name == "kernel_distance"), None)
    apart = distance is not None and distance.low is not None and distance.low > max(distance.floor or 0.0, 0.0)
    if not gaps:
        light = "unknown"
    elif max(gaps) > FAR or broken > CLOSE:
        light = "bad"
    else:
        light = "caution" if max(gaps) > CLOSE or apart or broken > 0 else "good"
    headline = {
        "good": "Rows and images are distributed as real ones",
        "caution": "Images differ from real ones" if apart else "Rows differ somewhat from real ones",
        "bad": "Rows are not distributed as real ones",
        "unknown": "Nothing could be compared",
    }[light]
    rule = (
        f"Green: column shapes and pair trends within {CLOSE} of what held-out patients reach, images no farther than "
        f"theirs, no constraint broken. Red: more than {FAR} below, or more than {100 * CLOSE:.0f} % of rows break a "
        "constraint."
    )
    return Verdict("fidelity", light, headline, numbers, rule)


def _privacy(metrics: Sequence[MetricRecord], cohort: str) -> Verdict:
    exact = find_record(metrics, cohort, "exact_rows_share")
    nearest = [find_record(metrics, cohort, "dcr_median", view=view) for view in ("image", "record")]
    numbers = _present(exact, *nearest)
    near = any(
        record.floor is not None and record.high is not None and record.high < NEAR_RATIO * record.floor
        for record in _present(*nearest)
    )
    copied = exact is not None and exact.low is not None and exact.low > (exact.floor or 0.0) + CLOSE
    known = any(record.value is not None for record in numbers)
    light = "unknown" if not known else ("bad" if near else ("caution" if copied else "good"))
    headline = {
        "good": "No alarm from these diagnostics",
        "caution": "More training rows recur than in strangers",
        "bad": "Records lie suspiciously close to patients",
        "unknown": "Nothing could be compared",
    }[light]
    rule = (
        "Green: no alarm, which is no proof of privacy; membership tests are a separate step. Yellow: clinical rows "
        f"recur more often than those of held-out patients, by more than {100 * CLOSE:.0f} points. Red: the median "
        "synthetic record is less than half as far from the nearest training patient as a held-out patient is."
    )
    return Verdict("privacy", light, headline, numbers, rule)
