"""One line of metrics.json, and the file itself."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from monai_hybridsynth.metrics import Estimate

__all__ = ["FAMILIES", "MetricRecord", "metrics_schema", "read_metrics", "write_metrics"]

FAMILIES = ("correspondence", "utility", "fidelity", "privacy")
VERSION = 1
# Where predictors separate a few patients without error, resampling them cannot show how lucky that was.
DEGENERATE_WIDTH = 1e-6


@dataclass(frozen=True)
class MetricRecord:
    """A value with everything needed to read it alone.

    Attributes:
        cohort: name of the synthetic cohort that is judged.
        family: fidelity, utility, correspondence or privacy.
        name: the metric.
        column: clinical column, or None for the cohort as a whole.
        dimensions: what further distinguishes the value (predictor, arm, input, view, label, ...).
        value: None when it cannot be estimated; ``note`` then says why.
        low: lower end of the interval.
        high: upper end of the interval.
        confidence: nominal coverage of the interval.
        n: independent units behind the value, patients or synthetic records.
        floor: what knowing nothing gives, or for distances between populations what other real patients give.
        ceiling: what real data give, or the best possible value; None when there is none.
        better: ``higher`` or ``lower``.
        estimator: how the value was obtained.
        reading: one sentence for a person who is no statistician.
        note: why there is no value, or a caution.
    """

    cohort: str
    family: str
    name: str
    column: str | None
    dimensions: Mapping[str, str | float]
    value: float | None
    low: float | None
    high: float | None
    confidence: float
    n: int
    floor: float | None
    ceiling: float | None
    better: str
    estimator: str
    reading: str
    note: str = ""

    def __post_init__(self) -> None:
        """Refuse what a reader could not interpret: unknown words, bare values, NaN."""
        if self.family not in FAMILIES or self.better not in ("higher", "lower"):
            raise ValueError(f"{self.name}: family {self.family!r} or better {self.better!r} is unknown.")
        numbers = (self.value, self.low, self.high, self.floor, self.ceiling)
        if any(number is not None and not math.isfinite(number) for number in numbers):
            raise ValueError(
                f"{self.name} of {self.column}: {numbers} are not all finite; use None and say why in note."
            )
        if (self.value is None) != (self.low is None) or (self.value is None) != (self.high is None):
            raise ValueError(f"{self.name} of {self.column}: a value needs its interval, got {numbers[:3]}.")
        if self.value is None and not self.note:
            raise ValueError(f"{self.name} of {self.column} has no value; say why in note.")
        if not self.estimator or not self.reading:
            raise ValueError(f"{self.name} of {self.column} lacks its estimator or its reading.")

    @classmethod
    def of(
        cls,
        estimate: Estimate,
        *,
        cohort: str,
        family: str,
        name: str,
        reading: str,
        better: str = "higher",
        column: str | None = None,
        dimensions: Mapping[str, str | float] | None = None,
        floor: float | None = None,
        ceiling: float | None = None,
        estimator: str = "",
        note: str = "",
    ) -> MetricRecord:
        """Return the record of an estimate; a reading is replaced by a plain statement when there is no value."""
        value, low, high = estimate.value, estimate.low, estimate.high
        reason = "; ".join(filter(None, [estimate.note, note]))
        if value is not None and not all(part is not None and math.isfinite(part) for part in (value, low, high)):
            value = low = high = None
            reason = "; ".join(filter(None, ["no interval can be formed from so few patients", reason]))
        if low is not None and high is not None and family in ("correspondence", "utility"):
            lucky = f"all bootstrap samples of these {estimate.n} patients agree, so the interval is too narrow"
            reason = "; ".join(filter(None, [reason, lucky if high - low < DEGENERATE_WIDTH else ""]))
        bounds = [None if bound is None or not math.isfinite(bound) else float(bound) for bound in (floor, ceiling)]
        return cls(
            cohort=cohort,
            family=family,
            name=name,
            column=column,
            dimensions=dict(dimensions or {}),
            value=None if value is None else float(value),
            low=None if low is None else float(low),
            high=None if high is None else float(high),
            confidence=estimate.confidence,
            n=int(estimate.n),
            floor=bounds[0],
            ceiling=bounds[1],
            better=better,
            estimator=estimator or estimate.estimator or "not stated",
            reading=reading if value is not None else f"Not estimable here: {reason}.",
            note=reason,
        )


@dataclass(frozen=True)
class MetricsFile:
    """What metrics.json holds."""

    metrics: list[MetricRecord]
    cohorts: dict[str, dict[str, Any]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


def metrics_schema() -> dict[str, Any]:
    """Return the JSON Schema of metrics.json that ships with the package."""
    text = resources.files("monai_hybridsynth.evaluation").joinpath("metrics.schema.json").read_text(encoding="utf-8")
    return json.loads(text)


def write_metrics(
    path: str | Path,
    metrics: Iterable[MetricRecord],
    *,
    cohorts: Mapping[str, Mapping[str, Any]],
    seconds: Mapping[str, float],
) -> dict[str, Any]:
    """Write metrics.json and return its content."""
    document = {
        "version": VERSION,
        "metrics": [asdict(record) for record in metrics],
        "cohorts": {name: dict(content) for name, content in cohorts.items()},
        "seconds": {name: round(float(value), 3) for name, value in seconds.items()},
    }
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    Path(path).write_text(text + "\n", encoding="utf-8")
    return document


def read_metrics(path: str | Path) -> MetricsFile:
    """Read metrics.json.

    Raises:
        ValueError: if the file has another version or a record that cannot be read.
    """
    document = json.loads(Path(path).read_text(encoding="utf-8"))
    if document.get("version") != VERSION:
        raise ValueError(f"{path} has version {document.get('version')!r}; this package reads version {VERSION}.")
    records = [MetricRecord(**entry) for entry in document["metrics"]]
    return MetricsFile(records, document["cohorts"], document["seconds"])
