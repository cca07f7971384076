"""What a synthetic cohort is worth for training, from the image and from the row."""

from __future__ import annotations

from collections.abc import Sequence

from monai_hybridsynth.evaluation.metric_record import MetricRecord
from monai_hybridsynth.evaluation.thresholds import Thresholds
from monai_hybridsynth.evaluation.verdict.check import Check, Verdict, records_of, worst
from monai_hybridsynth.evaluation.verdict.correspondence_verdict import share_check

__all__ = ["utility_verdict"]

INPUTS = {"image": "from the image", "table": "from the other columns", "both": "from both"}
MAXIMUM_TARGETS = 6


def utility_verdict(metrics: Sequence[MetricRecord], cohort: str, limits: Thresholds) -> Verdict:
    """Return the light of utility: training on synthetic records alone, from the image, decides."""
    ratios = _plain(records_of(metrics, cohort, "utility_ratio"))
    checks: list[Check] = []
    for source, words in INPUTS.items():
        chosen = [record for record in ratios if record.dimensions.get("input", "image") == source]
        means = [record for record in chosen if record.column is None]
        for record in means or chosen[: MAXIMUM_TARGETS if source == "image" else 0]:
            label = f" = {record.dimensions['label']}" if "label" in record.dimensions else ""
            title = "Utility ratio, " + (f"{record.column}{label} " if record.column else "") + words
            check = share_check(record, title, limits, "utility")
            if source != "image":
                check = Check(title, record, "shown", "shown beside the ratio from the image; decides nothing")
            checks.append(check)
    light = worst(checks)
    unsure = all(check.remark for check in checks if check.outcome == "caution")
    headline = {
        "good": "Training on it is nearly as good as on real records",
        "caution": "Too few patients to be sure" if unsure else "Training on it keeps part of the gain",
        "bad": "Training on it does not surely beat guessing",
        "unknown": "No target could be measured",
    }[light]
    rule = (
        "Green: training on synthetic records alone, from the image, keeps at least "
        f"{limits['utility', 'good_share']:g} of the gain over chance, the interval from "
        f"{limits['utility', 'sure_share']:g} up. Red: the interval includes 0. A red privacy light withholds green."
    )
    return Verdict("utility", light, headline, tuple(checks), rule)


def _plain(ratios: Sequence[MetricRecord]) -> list[MetricRecord]:
    """Return the ratios of the linear predictor trained on synthetic records alone, at the largest volume of each."""
    chosen = [
        record
        for record in ratios
        if record.dimensions.get("predictor", "linear") == "linear"
        and record.dimensions.get("arm", "synthetic") == "synthetic"
        and "subgroup" not in record.dimensions
    ]
    largest: dict[tuple, MetricRecord] = {}
    for record in chosen:
        key = (record.column, record.dimensions.get("label"), record.dimensions.get("input"))
        if key not in largest or _volume(record) > _volume(largest[key]):
            largest[key] = record
    return list(largest.values())


def _volume(record: MetricRecord) -> float:
    volume = record.dimensions.get("volume", 0)
    return float(str(volume).removesuffix("x") or 0)
