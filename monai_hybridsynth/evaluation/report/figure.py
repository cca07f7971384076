"""One plot of the report: plotly's data and layout, with the words that stand for it where it is not seen."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["REAL_COLOUR", "Figure", "cohort_colour", "compact", "slug"]

# Names of the style sheet's colours; the page fills in those of its colour scheme.
REAL_COLOUR = "--first"
_COHORT_COLOURS = ("--second", "--third", "--fourth", "--fifth")
DIGITS = 4


@dataclass(frozen=True)
class Figure:
    """A plot with its place on the page.

    Attributes:
        id: of the element that shows it, unique on the page.
        title: heading above it.
        alt: what it shows, for readers who do not see it.
        data: plotly traces; a colour that starts with ``--`` is a name of the style sheet.
        layout: plotly layout.
        hint: how to read it, one or two sentences.
        broad: whether it takes the whole width.
    """

    id: str
    title: str
    alt: str
    data: Sequence[dict[str, Any]]
    layout: dict[str, Any]
    hint: str = ""
    broad: bool = False

    def plain(self) -> dict[str, Any]:
        """Return what the page needs to draw it, numbers rounded to four digits."""
        return compact({"data": list(self.data), "layout": self.layout})


def cohort_colour(order: int) -> str:
    """Return the colour of a synthetic cohort by its place in the comparison."""
    return _COHORT_COLOURS[order % len(_COHORT_COLOURS)]


def slug(*parts: object) -> str:
    """Return parts as one identifier of a page's element."""
    return "-".join(re.sub(r"[^a-z0-9]+", "-", str(part).lower()).strip("-") or "x" for part in parts)


def compact(value: Any) -> Any:
    """Return JSON values with floats of four significant digits; what is not finite becomes a gap."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: compact(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [compact(part) for part in value]
    return value
