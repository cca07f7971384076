"""Quantities that columns often hold: their units and the limits beyond which a value is a mistake, not a patient.

Limits are declared here, from what is possible, never taken from data.
"""

from __future__ import annotations

from dataclasses import dataclass

from .column_evidence import ColumnEvidence

__all__ = ["KnownQuantity", "known_quantity"]


@dataclass(frozen=True)
class KnownQuantity:
    """A quantity recognised by its name.

    Attributes:
        label: what it is, in words.
        unit: UCUM code, or None where laboratories differ.
        minimum: smallest possible value.
        maximum: largest possible value, or None.
        count: whether it comes in whole numbers.
    """

    label: str
    unit: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    count: bool = False


_CENTURY_DAYS = 36525
_AGE = KnownQuantity("age", "a", 0, 120, count=True)
_DAYS = KnownQuantity("days", "d", -_CENTURY_DAYS, _CENTURY_DAYS, count=True)
# Words that all stand in the name -> the quantity; the first match counts.
_BY_WORDS: tuple[tuple[tuple[str, ...], KnownQuantity], ...] = (
    (("age", "months"), KnownQuantity("age", "mo", 0, 1440)),
    (("age", "weeks"), KnownQuantity("age", "wk", 0, 6262)),
    (("age", "days"), KnownQuantity("age", "d", 0, 43830)),
    (("age",), _AGE),
    (("alter",), _AGE),
    (("offset",), _DAYS),
    (("days",), _DAYS),
    (("day",), _DAYS),
    (("weight",), KnownQuantity("body weight", "kg", 0.2, 650)),
    (("gewicht",), KnownQuantity("body weight", "kg", 0.2, 650)),
    (("bmi",), KnownQuantity("body mass index", "kg/m2", 5, 150)),
    (("temperature",), KnownQuantity("body temperature", "Cel", 20, 46)),
    (("temp",), KnownQuantity("body temperature", "Cel", 20, 46)),
    (("heart", "rate"), KnownQuantity("heart rate", "/min", 0, 400)),
    (("pulse",), KnownQuantity("heart rate", "/min", 0, 400)),
    (("respiratory", "rate"), KnownQuantity("respiratory rate", "/min", 0, 150)),
    (("spo2",), KnownQuantity("oxygen saturation", "%", 0, 100)),
    (("saturation",), KnownQuantity("oxygen saturation", "%", 0, 100)),
    (("systolic",), KnownQuantity("blood pressure", "mm[Hg]", 0, 400)),
    (("diastolic",), KnownQuantity("blood pressure", "mm[Hg]", 0, 300)),
    (("cardiothoracic", "ratio"), KnownQuantity("cardiothoracic ratio", "1", 0, 1)),
    (("ph",), KnownQuantity("blood pH", "[pH]", 6, 8.5)),
)
_LABORATORY = (
    "crp", "dimer", "ldh", "lymphocytes", "neutrophils", "leukocytes", "wbc", "platelets", "thrombocytes", "hemoglobin",
    "haemoglobin", "creatinine", "albumin", "ferritin", "troponin", "lactate", "glucose", "po2", "pco2", "bilirubin",
    "procalcitonin", "urea", "bun", "alt", "ast", "inr", "factor", "il6", "bnp", "hematocrit",
)  # fmt: skip
_HEIGHT = ("height", "size", "stature", "größe", "körpergröße", "groesse")
_BLOOD_VALUE = KnownQuantity("laboratory value, which cannot be negative", None, 0, None)


def known_quantity(column: ColumnEvidence) -> KnownQuantity | None:
    """Return the quantity that a numeric column's name, or the spelling of its values, says it holds, or None."""
    if column.has_age_suffix:
        return _AGE
    for words, quantity in _BY_WORDS:
        if all(column.has_words(word) for word in words):
            return _AGE if quantity is _DAYS and column.has_words("age") else quantity
    if column.has_words(*_HEIGHT) and len(column.finite):
        # The same words name image sizes; a body is measured in tens to hundreds of centimetres, or in metres.
        typical = sorted(column.finite)[len(column.finite) // 2]
        if 30 <= typical <= 250:
            return KnownQuantity("body height", "cm", 20, 280)
        if 0.3 <= typical <= 2.5:
            return KnownQuantity("body height", "m", 0.2, 2.8)
    return _BLOOD_VALUE if column.has_words(*_LABORATORY) else None
