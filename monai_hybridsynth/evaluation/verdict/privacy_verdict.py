"""Whether the cohort contains patients: the strongest alarm decides, and silence without attacks is not green."""

from __future__ import annotations

from collections.abc import Sequence

from monai_hybridsynth.evaluation.metric_record import MetricRecord
from monai_hybridsynth.evaluation.thresholds import Thresholds
from monai_hybridsynth.evaluation.verdict.check import Check, Verdict, joint_bound, records_of, worst

__all__ = ["privacy_verdict"]

MEMBERSHIP = {
    "membership_auroc": "Membership",
    "membership_tpr_at_fpr10": "Training patients found at 10 % false alarms",
}
RISKS = {"singling_out": "Singling out", "linkability": "Linkability", "attribute_inference": "Attribute inference"}
SHARES = {
    "copies_share": "Copies of training images",
    "memorised_share": "Training patients whose image comes back",
    "exact_rows_share": "Rows equal to a training row",
}
DIAGNOSTICS = {"dcr_median": "Distance to closest record", "nndr_median": "Nearest-neighbour ratio"}
# Without these two, an absent alarm says nothing.
NEEDED = ("membership_auroc", "copies_share")
# The attack that is reported, chosen on other patients; where a stage names none, every attack decides.
STRONGEST = "strongest"
DISTINGUISHING = ("view", "measure", "stratum", "label", "known")
EVERYONE = ("all", "everyone", "")
UNSURE = "too few patients to exclude a strong attack"


def privacy_verdict(metrics: Sequence[MetricRecord], cohort: str, limits: Thresholds) -> Verdict:
    """Return the light of privacy."""
    checks = [
        *(check for name in MEMBERSHIP for check in _membership(records_of(metrics, cohort, name), limits)),
        *(check for name in SHARES for check in _shares(records_of(metrics, cohort, name), limits)),
        *(check for name in RISKS for check in _risks(records_of(metrics, cohort, name), limits)),
    ]
    light = worst(checks)
    missing = [
        name
        for name in NEEDED
        if not any(check.record.name == name and check.record.value is not None for check in checks)
    ]
    if light == "good" and missing:
        light = "caution"
    unsure = all(check.remark == UNSURE for check in checks if check.outcome == "caution")
    alarm = next((check.title for check in checks if check.outcome == "bad"), "")
    headline = {
        "good": "No alarm: no attack is surely better than guessing",
        "caution": "Too few patients to be sure" if unsure else "Some figures lie above those of strangers",
        "bad": f"It contains training patients: {alarm[:1].lower()}{alarm[1:]}",
        "unknown": "Nothing could be attacked",
    }[light]
    remarks = [f"Not measured: {', '.join(missing)}; without it no light can be green."] if missing and checks else []
    if light == "caution" and missing and unsure:
        headline = "Not fully measured"
    for name, title in DIAGNOSTICS.items():
        checks += [_shown(_title(title, record), record) for record in records_of(metrics, cohort, name)]
    rule = (
        "Green: no attack, no copy and no inference exceeds what strangers give, and membership and copies were "
        "measured. Intervals of one kind of attack are read together (Bonferroni; those on all patients, those on "
        "strata), so that many attacks on strangers raise no alarm by accident. Yellow: surely above strangers, or "
        "too few patients to exclude much. "
        f"Red: surely above the limits, for membership an AUROC of {limits['privacy', 'membership_auroc_red']:g}. "
        "Distances to the closest record are diagnostics and decide nothing. Green is absence of evidence, not a proof."
    )
    return Verdict("privacy", light, headline, tuple(checks), rule, tuple(remarks))


def _title(title: str, record: MetricRecord) -> str:
    shown = [str(v) for k, v in record.dimensions.items() if k in DISTINGUISHING]
    return ", ".join([title, *([record.column] if record.column else []), *(text for text in shown if text != "all")])


def _shown(title: str, record: MetricRecord) -> Check:
    return Check(title, record, "shown", "diagnostic; decides nothing")


def _membership(records: Sequence[MetricRecord], limits: Thresholds) -> list[Check]:
    """Return the checks of the strongest attacks, those on all patients first and the strongest of them first.

    Those on all patients are read together, and those on strata among themselves: three attacks on everyone must not
    hide behind six on a handful of outliers.
    """
    records = [record for record in records if record.dimensions.get("attack") == STRONGEST] or list(records)
    records.sort(key=lambda record: (not _on_everyone(record), record.value is None, -(record.value or 0.0)))
    known = [_on_everyone(record) for record in records if record.value is not None]
    checks = []
    for record in records:
        kind = "membership_auroc" if record.name == "membership_auroc" else "membership_tpr"
        caution, red = limits["privacy", f"{kind}_caution"], limits["privacy", f"{kind}_red"]
        unsure = limits["privacy", "membership_auroc_unsure"]
        title = _title(MEMBERSHIP[record.name], record)
        rule = f"yellow if the lower bound exceeds {caution:g}, red if it exceeds {red:g}"
        if record.value is None or record.high is None:
            checks.append(Check(title, record, "unknown", rule, record.note))
            continue
        everyone = _on_everyone(record)
        low = joint_bound(record, known.count(everyone))
        outcome = "bad" if low > red else ("caution" if low > caution else "good")
        wide = kind == "membership_auroc" and everyone and record.high > unsure
        if outcome == "good" and wide:
            checks.append(Check(title, record, "caution", f"{rule}; yellow if {unsure:g} is not excluded", UNSURE))
        else:
            checks.append(Check(title, record, outcome, rule, f"joint lower bound {low:.2f}"))
    return checks


def _on_everyone(record: MetricRecord) -> bool:
    return str(record.dimensions.get("stratum", "")) in EVERYONE


def _shares(records: Sequence[MetricRecord], limits: Thresholds) -> list[Check]:
    """Return the checks of shares that strangers have too: only what surely exceeds theirs counts."""
    known = [record for record in records if record.value is not None]
    checks = []
    for record in records:
        key = record.name.removesuffix("_share")
        red = limits["privacy", f"{key}_excess_red"]
        caution = limits["privacy", "exact_rows_excess_caution"] if key == "exact_rows" else 0.0
        rule = f"yellow if surely more than {caution:g} above held-out patients, red if surely more than {red:g} above"
        title = _title(SHARES[record.name], record)
        if record.value is None:
            checks.append(Check(title, record, "unknown", rule, record.note))
            continue
        excess = joint_bound(record, len(known)) - (record.floor or 0.0)
        checks.append(Check(title, record, "bad" if excess > red else "caution" if excess > caution else "good", rule))
    return checks


def _risks(records: Sequence[MetricRecord], limits: Thresholds) -> list[Check]:
    """Return the checks of success on training patients beyond that on control patients."""
    known = [record for record in records if record.value is not None]
    caution, red = limits["privacy", "risk_excess_caution"], limits["privacy", "risk_excess_red"]
    rule = f"success beyond control patients: yellow if surely above {caution:g}, red if surely above {red:g}"
    checks = []
    for record in records:
        title = _title(RISKS[record.name], record)
        if record.value is None:
            checks.append(Check(title, record, "unknown", rule, record.note))
            continue
        low = joint_bound(record, len(known))
        checks.append(Check(title, record, "bad" if low > red else "caution" if low > caution else "good", rule))
    return checks
