"""Four traffic lights: what was checked, against which limit, and what follows."""

from __future__ import annotations

from .check import OUTCOMES, Check, Verdict, find_record
from .family_verdicts import family_verdicts

__all__ = ["OUTCOMES", "Check", "Verdict", "family_verdicts", "find_record"]
