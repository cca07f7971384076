"""All four verdicts on a synthetic cohort, privacy with a say in the others."""

from __future__ import annotations

from collections.abc import Sequence

from monai_hybridsynth.evaluation.metric_record import MetricRecord
from monai_hybridsynth.evaluation.thresholds import Thresholds
from monai_hybridsynth.evaluation.verdict.check import Verdict
from monai_hybridsynth.evaluation.verdict.correspondence_verdict import correspondence_verdict
from monai_hybridsynth.evaluation.verdict.fidelity_verdict import fidelity_verdict
from monai_hybridsynth.evaluation.verdict.privacy_verdict import privacy_verdict
from monai_hybridsynth.evaluation.verdict.utility_verdict import utility_verdict

__all__ = ["family_verdicts"]

NOT_CREDITED = "Not credited: privacy is red"
MAY_BE_COPIES = (
    "Privacy is red: copies of training patients keep every relation and look real, so this figure may rest on them. "
    "A green light is withheld."
)


def family_verdicts(
    metrics: Sequence[MetricRecord], cohort: str, *, thresholds: Thresholds | None = None
) -> list[Verdict]:
    """Return the verdicts on correspondence, utility, fidelity and privacy, in this order.

    Copies can never buy a green light: where privacy is red, the other three lose theirs and say why.

    Args:
        metrics: of every cohort.
        cohort: the one that is judged.
        thresholds: the house's limits, or the defaults.
    """
    limits = thresholds or Thresholds.defaults()
    others = [rule(metrics, cohort, limits) for rule in (correspondence_verdict, utility_verdict, fidelity_verdict)]
    privacy = privacy_verdict(metrics, cohort, limits)
    if privacy.light == "bad":
        others = [verdict.capped(NOT_CREDITED, MAY_BE_COPIES) for verdict in others]
    return [*others, privacy]
