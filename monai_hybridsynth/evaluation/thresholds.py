"""The limits that set the traffic lights: defaults with their reasons, and one file in which a house sets its own."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

__all__ = ["Threshold", "Thresholds", "default_thresholds_path", "thresholds_schema"]

VERSION = 1
# Of each pair, the first must not exceed the second, or a light would be red before it is yellow.
ORDERED = (
    ("correspondence", "sure_share", "good_share"),
    ("utility", "sure_share", "good_share"),
    ("fidelity", "gap_caution", "gap_red"),
    ("fidelity", "spread_share_red", "spread_share_caution"),
    ("fidelity", "broken_excess_caution", "broken_excess_red"),
    ("privacy", "membership_auroc_caution", "membership_auroc_red"),
    ("privacy", "membership_auroc_red", "membership_auroc_unsure"),
    ("privacy", "membership_tpr_caution", "membership_tpr_red"),
    ("privacy", "exact_rows_excess_caution", "exact_rows_excess_red"),
    ("privacy", "risk_excess_caution", "risk_excess_red"),
)


@dataclass(frozen=True)
class Threshold:
    """One limit and why it is where it is.

    Attributes:
        value: share, AUROC or count, as its name says.
        reason: one sentence.
        changed: whether the house set it.
    """

    value: float
    reason: str
    changed: bool = False


def default_thresholds_path() -> Path:
    """Return where the defaults lie: copy the file, change what shall differ, and give it to the evaluation."""
    return Path(str(resources.files("monai_hybridsynth.evaluation").joinpath("thresholds.json")))


def thresholds_schema() -> dict[str, Any]:
    """Return the JSON Schema of a thresholds file; every family and every limit in it may be left out."""
    limit = {
        "oneOf": [
            {"type": "number", "minimum": 0},
            {
                "type": "object",
                "properties": {"value": {"type": "number", "minimum": 0}, "reason": {"type": "string"}},
                "required": ["value"],
                "additionalProperties": False,
            },
        ]
    }
    families = {
        family: {"type": "object", "properties": dict.fromkeys(limits, limit), "additionalProperties": False}
        for family, limits in _defaults().items()
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Limits of the traffic lights of a synthetic cohort's report",
        "type": "object",
        "properties": {"version": {"const": VERSION}, **families},
        "additionalProperties": False,
    }


@cache
def _defaults() -> dict[str, dict[str, Threshold]]:
    content = json.loads(default_thresholds_path().read_text(encoding="utf-8"))
    return {
        family: {name: Threshold(float(limit["value"]), limit["reason"]) for name, limit in limits.items()}
        for family, limits in content.items()
        if family != "version"
    }


@dataclass(frozen=True)
class Thresholds:
    """All limits by family and name.

    Args:
        limits: every family and every name of the defaults.

    Example:
        >>> Thresholds.defaults()["privacy", "membership_auroc_red"]
        0.6
        >>> Thresholds.of({"privacy": {"membership_auroc_red": 0.55}})["privacy", "membership_auroc_red"]
        0.55
    """

    limits: Mapping[str, Mapping[str, Threshold]]

    def __getitem__(self, key: tuple[str, str]) -> float:
        """Return the value of the limit ``family, name``."""
        family, name = key
        return self.limits[family][name].value

    @classmethod
    def defaults(cls) -> Thresholds:
        """Return the limits that ship with the package."""
        return cls(_defaults())

    @classmethod
    def load(cls, path: str | Path) -> Thresholds:
        """Read a house's file; what it leaves out keeps its default.

        Raises:
            ValueError: if the file is no JSON object, or names what is unknown, or holds no usable value.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
        except json.JSONDecodeError as error:
            raise ValueError(f"{path} is no JSON: {error}; start from {default_thresholds_path()}.") from error
        return cls.of(content, source=str(path))

    @classmethod
    def of(cls, content: Any, *, source: str = "thresholds") -> Thresholds:
        """Return the defaults with what a mapping ``{family: {name: value}}`` changes.

        Args:
            content: a value is a number or ``{"value": number, "reason": text}``.
            source: named in errors.

        Raises:
            ValueError: naming every unknown key and every unusable value.
        """
        if not isinstance(content, Mapping):
            raise ValueError(f"{source} holds {type(content).__name__}; expected an object of families.")
        problems: list[str] = []
        if content.get("version", VERSION) != VERSION:
            problems.append(f"version {content['version']!r} is not {VERSION}")
        merged = {family: dict(limits) for family, limits in _defaults().items()}
        for family, limits in content.items():
            if family == "version":
                continue
            if family not in merged:
                problems.append(_unknown(family, merged, "family"))
                continue
            if not isinstance(limits, Mapping):
                problems.append(f"{family} holds {type(limits).__name__}, not an object of limits")
                continue
            for name, given in limits.items():
                if name not in merged[family]:
                    problems.append(_unknown(name, merged[family], f"limit of {family}"))
                    continue
                limit, problem = _limit(given, merged[family][name])
                merged[family][name] = limit
                problems += [f"{family}.{name}: {problem}"] if problem else []
        problems += [
            f"{family}.{first} ({merged[family][first].value:g}) exceeds {second} ({merged[family][second].value:g})"
            for family, first, second in ORDERED
            if merged[family][first].value > merged[family][second].value
        ]
        if problems:
            raise ValueError(f"{source}: {'; '.join(problems)}. The names and defaults: {default_thresholds_path()}.")
        return cls(merged)

    def to_json(self) -> str:
        """Return a complete file with every value and reason, ready to be edited and given back."""
        content = {
            family: {name: {"value": limit.value, "reason": limit.reason} for name, limit in limits.items()}
            for family, limits in self.limits.items()
        }
        return json.dumps({"version": VERSION, **content}, indent=1, ensure_ascii=False) + "\n"


def _unknown(name: str, known: Mapping[str, Any], what: str) -> str:
    close = difflib.get_close_matches(str(name), list(known), n=1)
    return f"{name!r} is no {what}" + (f", did you mean {close[0]!r}?" if close else f"; known are {sorted(known)}")


def _limit(given: Any, default: Threshold) -> tuple[Threshold, str]:
    """Return the limit that a file states, and what is wrong with it."""
    reason = ""
    if isinstance(given, Mapping):
        extra = sorted(set(given) - {"value", "reason"})
        if extra or "value" not in given:
            return default, f"expected value and reason, got {sorted(given)}"
        given, reason = given["value"], str(given.get("reason", ""))
    if isinstance(given, bool) or not isinstance(given, int | float) or not math.isfinite(given) or given < 0:
        return default, f"{given!r} is no number from 0 up"
    changed = float(given) != default.value
    standing = default.reason if not changed else "Set by the house; no reason given."
    return Threshold(float(given), reason or standing, changed), ""
