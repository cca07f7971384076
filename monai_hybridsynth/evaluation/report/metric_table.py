"""Every line of metrics.json for the page: repeated texts are stored once, so that the page stays small."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from monai_hybridsynth.evaluation.metric_record import MetricRecord
from monai_hybridsynth.evaluation.report.figure import compact

__all__ = ["dimension_text", "interval_strip", "metric_rows", "number_text", "span_text"]

STRIP_WIDTH = 120
FIELDS = (
    "cohort",
    "family",
    "name",
    "column",
    "of",
    "value",
    "low",
    "high",
    "floor",
    "ceiling",
    "n",
    "better",
    "reading",
    "note",
    "estimator",
)


def number_text(value: float | None, digits: int = 2) -> str:
    """Return a number for the page; a dash where there is none."""
    if value is None:
        return "–"
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")


def span_text(record: MetricRecord) -> str:
    """Return a record's interval."""
    return "" if record.value is None else f"[{number_text(record.low)}, {number_text(record.high)}]"


def dimension_text(dimensions: Mapping[str, str | float]) -> str:
    """Return what distinguishes a record, as ``key value`` texts."""
    texts = []
    for key, value in dimensions.items():
        shown = f"{value:g}" if isinstance(value, float) else str(value)
        texts.append(f"{key} {shown}")
    return ", ".join(texts)


def metric_rows(metrics: Sequence[MetricRecord]) -> dict[str, Any]:
    """Return ``{"fields": names, "texts": pool, "rows": lists}``: text cells are places in the pool, numbers numbers.

    The whole stands before its columns and columns before their labels, families in their own order.
    """
    pool: dict[str, int] = {}
    rows = []
    for record in sorted(metrics, key=lambda r: (r.column is not None, "label" in r.dimensions)):
        texts: list[Any] = [
            record.cohort,
            record.family,
            record.name,
            record.column or "",
            dimension_text(record.dimensions),
        ]
        numbers = [record.value, record.low, record.high, record.floor, record.ceiling, record.n]
        note = record.note if record.value is not None else ""
        ends = [record.better, record.reading, note, record.estimator]
        placed = [pool.setdefault(text, len(pool)) for text in texts]
        rows.append([*placed, *compact(numbers), *(pool.setdefault(text, len(pool)) for text in ends)])
    return {"fields": list(FIELDS), "texts": list(pool), "rows": rows}


def interval_strip(record: MetricRecord) -> Markup:
    """Return a small drawing of value, interval, floor and ceiling; the text beside it says the same."""
    if record.value is None or record.low is None or record.high is None:
        return Markup("")
    marks = [bound for bound in (record.floor, record.ceiling) if bound is not None]
    low, high = min(record.low, *marks, record.value), max(record.high, *marks, record.value)
    room = (high - low) * 0.06 or 0.5
    low, high = low - room, high + room

    def x(value: float) -> str:
        return f"{STRIP_WIDTH * (value - low) / (high - low):.1f}"

    ticks = "".join(
        f'<line class="{name}" x1="{x(bound)}" x2="{x(bound)}" y1="1" y2="15"/>'
        for name, bound in (("floor", record.floor), ("ceiling", record.ceiling))
        if bound is not None
    )
    return Markup(
        f'<svg class="strip" viewBox="0 0 {STRIP_WIDTH} 16" width="{STRIP_WIDTH}" height="16" aria-hidden="true">'
        f"{ticks}"
        f'<line class="span" x1="{x(record.low)}" x2="{x(record.high)}" y1="8" y2="8"/>'
        f'<circle cx="{x(record.value)}" cy="8" r="4"/></svg>'
    )
