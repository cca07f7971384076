"""The shape that all families share: one figure held against one limit, and the light of several of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

from monai_hybridsynth.evaluation.metric_record import MetricRecord

__all__ = ["OUTCOMES", "Check", "Verdict", "find_record", "joint_bound", "records_of", "worst"]

# From worst to best. "unknown" could not be estimated; "shown" is a diagnostic that decides nothing.
OUTCOMES = ("bad", "caution", "good", "unknown", "shown")


@dataclass(frozen=True)
class Check:
    """One figure held against its limits.

    Attributes:
        title: the figure in words.
        record: the figure.
        outcome: one of :data:`OUTCOMES`.
        rule: the limits in words, with their numbers.
        remark: what to know beside it.
    """

    title: str
    record: MetricRecord
    outcome: str
    rule: str
    remark: str = ""


@dataclass(frozen=True)
class Verdict:
    """One family's light.

    Attributes:
        family: fidelity, utility, correspondence or privacy.
        light: ``good``, ``caution``, ``bad`` or ``unknown``.
        headline: what it means, in a few words.
        checks: everything that was looked at, deciding or shown.
        rule: how the light follows from the checks.
        remarks: sentences that a reader must see with the light.
    """

    family: str
    light: str
    headline: str
    checks: tuple[Check, ...]
    rule: str
    remarks: tuple[str, ...] = ()

    @property
    def numbers(self) -> tuple[MetricRecord, ...]:
        """The records behind the light."""
        return tuple(check.record for check in self.checks)

    def leading(self, count: int = 6) -> tuple[Check, ...]:
        """Return the checks that matter most: the worst first, each family's own order kept among equals."""
        return tuple(sorted(self.checks, key=lambda check: OUTCOMES.index(check.outcome))[:count])

    def capped(self, headline: str, remark: str) -> Verdict:
        """Return the verdict without its green light."""
        light = "caution" if self.light == "good" else self.light
        headline = headline if self.light == "good" else self.headline
        return replace(self, light=light, headline=headline, remarks=(*self.remarks, remark))


def records_of(metrics: Sequence[MetricRecord], cohort: str, name: str, **dimensions: str) -> list[MetricRecord]:
    """Return a cohort's records of that name and those dimensions, in their order."""
    return [
        record
        for record in metrics
        if record.cohort == cohort
        and record.name == name
        and all(record.dimensions.get(key) == value for key, value in dimensions.items())
    ]


def find_record(
    metrics: Sequence[MetricRecord], cohort: str, name: str, *, column: str | None = None, **dimensions: str
) -> MetricRecord | None:
    """Return the first record of that cohort, name, column and dimensions, or None.

    Where a column has several labels, one of them is returned only if it is asked for.
    """
    found = [record for record in records_of(metrics, cohort, name, **dimensions) if record.column == column]
    plain = [record for record in found if "label" in dimensions or "label" not in record.dimensions]
    if plain:
        return plain[0]
    return found[0] if len({record.dimensions["label"] for record in found}) == 1 else None


def worst(checks: Sequence[Check]) -> str:
    """Return the light of several checks: the worst that is known decides, diagnostics decide nothing."""
    return next((light for light in ("bad", "caution", "good") if any(c.outcome == light for c in checks)), "unknown")


def joint_bound(record: MetricRecord, count: int) -> float:
    """Return the lower bound that holds together with those of ``count`` figures read at once (Bonferroni).

    Nine intervals of 95 % each leave one attack on strangers above guessing by accident in every fifth report; the
    lower half of the interval is widened by the ratio of normal quantiles.

    Raises:
        ValueError: if the record has no value.
    """
    if record.value is None or record.low is None:
        raise ValueError(f"{record.name} has no value: {record.note}; only estimated figures have bounds.")
    tail = (1 - record.confidence) / 2
    widened = NormalDist().inv_cdf(1 - tail / max(count, 1)) / NormalDist().inv_cdf(1 - tail)
    return record.value - (record.value - record.low) * widened
