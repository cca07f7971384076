"""The 57 further clinical columns of the phantom's wide variant: laboratory, vital signs, history, symptoms, drugs."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from monai_hybridsynth.data.chest_phantom.record_draws import RecordDraws, sigmoid

__all__ = ["WIDE_FLAGS", "WIDE_NUMBERS", "WIDE_SCALES", "draw_wide_columns"]


class WideNumber(NamedTuple):
    """A numeric column: ``typical + spread * (loadings + rest)``, or its exponential form where ``skewed``."""

    unit: str
    typical: float
    spread: float
    by_severity: float
    by_age: float
    minimum: float
    maximum: float
    decimals: int
    missing: float
    skewed: bool = False


# Loadings are correlations with the unseen severity and with age; the rest of the spread is a record's own.
WIDE_NUMBERS = {
    "height_cm": WideNumber("cm", 169, 9.5, 0.0, -0.15, 140, 205, 0, 0.18),
    "heart_rate": WideNumber("/min", 86, 16, 0.45, 0.0, 40, 170, 0, 0.05),
    "respiratory_rate": WideNumber("/min", 20, 5, 0.6, 0.05, 8, 45, 0, 0.09),
    "systolic_pressure": WideNumber("mm[Hg]", 128, 19, -0.2, 0.25, 70, 220, 0, 0.05),
    "diastolic_pressure": WideNumber("mm[Hg]", 74, 11, -0.2, -0.1, 35, 120, 0, 0.05),
    "temperature": WideNumber("Cel", 37.4, 0.8, 0.4, -0.1, 34.5, 41, 1, 0.07),
    "oxygen_saturation": WideNumber("%", 94, 3.6, -0.65, -0.1, 65, 100, 0, 0.04),
    "inspired_oxygen": WideNumber("%", 30, 0.35, 0.6, 0.0, 21, 100, 0, 0.3, True),
    "hemoglobin": WideNumber("g/dL", 12.8, 1.9, -0.2, -0.25, 5, 19, 1, 0.06),
    "hematocrit": WideNumber("%", 38.5, 5.2, -0.2, -0.25, 16, 58, 1, 0.06),
    "leukocytes": WideNumber("10*9/L", 8.2, 0.42, 0.4, 0.0, 0.5, 50, 1, 0.06, True),
    "neutrophils": WideNumber("10*9/L", 6.0, 0.5, 0.5, 0.0, 0.2, 45, 1, 0.16, True),
    "lymphocytes": WideNumber("10*9/L", 1.15, 0.5, -0.45, -0.2, 0.1, 8, 2, 0.16, True),
    "platelets": WideNumber("10*9/L", 225, 0.38, 0.0, -0.1, 10, 900, 0, 0.06, True),
    "creatinine": WideNumber("mg/dL", 1.0, 0.42, 0.3, 0.35, 0.3, 12, 2, 0.07, True),
    "urea": WideNumber("mg/dL", 38, 0.5, 0.35, 0.4, 8, 300, 0, 0.12, True),
    "sodium": WideNumber("mmol/L", 138, 4, -0.1, -0.05, 115, 160, 0, 0.06),
    "potassium": WideNumber("mmol/L", 4.1, 0.5, 0.1, 0.1, 2.2, 7, 1, 0.06),
    "calcium": WideNumber("mmol/L", 2.22, 0.14, -0.25, -0.05, 1.5, 3.2, 2, 0.2),
    "glucose": WideNumber("mg/dL", 122, 0.32, 0.25, 0.15, 40, 600, 0, 0.12, True),
    "albumin": WideNumber("g/L", 36, 5.5, -0.5, -0.25, 14, 52, 0, 0.25),
    "bilirubin": WideNumber("mg/dL", 0.6, 0.5, 0.1, 0.0, 0.1, 20, 1, 0.2, True),
    "alanine_aminotransferase": WideNumber("U/L", 29, 0.6, 0.15, -0.1, 5, 1500, 0, 0.15, True),
    "aspartate_aminotransferase": WideNumber("U/L", 34, 0.55, 0.3, 0.0, 5, 2000, 0, 0.15, True),
    "procalcitonin": WideNumber("ug/L", 0.14, 1.2, 0.55, 0.1, 0.02, 100, 2, 0.38, True),
    "ferritin": WideNumber("ug/L", 420, 0.9, 0.45, 0.0, 8, 20000, 0, 0.42, True),
    "d_dimer": WideNumber("ug/L", 760, 0.9, 0.45, 0.3, 100, 40000, 0, 0.36, True),
    "troponin": WideNumber("ng/L", 14, 1.0, 0.35, 0.45, 2, 10000, 0, 0.33, True),
    "natriuretic_peptide": WideNumber("ng/L", 420, 1.3, 0.3, 0.5, 5, 70000, 0, 0.4, True),
    "lactate": WideNumber("mmol/L", 1.4, 0.4, 0.45, 0.05, 0.3, 20, 1, 0.28, True),
    "arterial_ph": WideNumber("[pH]", 7.41, 0.06, -0.35, 0.0, 6.9, 7.65, 2, 0.45),
    "carbon_dioxide_pressure": WideNumber("mm[Hg]", 39, 7, 0.15, 0.05, 18, 110, 0, 0.45),
    "oxygen_pressure": WideNumber("mm[Hg]", 76, 15, -0.4, -0.15, 35, 250, 0, 0.45),
    "interleukin_6": WideNumber("ng/L", 28, 1.1, 0.6, 0.1, 1.5, 8000, 1, 0.62, True),
    "symptom_days": WideNumber("d", 5, 0.6, 0.1, -0.05, 0, 40, 0, 0.15, True),
    "pack_years": WideNumber("{pack_years}", 9, 1.1, 0.0, 0.1, 0, 120, 0, 0.35, True),
    "frailty_score": WideNumber("{score}", 3.2, 1.5, 0.25, 0.55, 1, 9, 0, 0.22),
}

# Log odds: intercept, severity, years above 58; then the share left blank. Values are "no" and "yes".
WIDE_FLAGS = {
    "fever": (0.0, 0.5, -0.005, 0.04),
    "cough": (0.5, 0.2, 0.0, 0.04),
    "dyspnea": (0.1, 1.0, 0.005, 0.04),
    "chest_pain": (-1.6, 0.0, -0.01, 0.06),
    "fatigue": (-0.2, 0.3, 0.01, 0.1),
    "confusion": (-2.4, 0.6, 0.05, 0.05),
    "nausea": (-1.5, 0.1, 0.0, 0.08),
    "coronary_disease": (-1.9, 0.1, 0.06, 0.03),
    "atrial_fibrillation": (-2.2, 0.1, 0.07, 0.03),
    "kidney_disease": (-2.0, 0.2, 0.04, 0.03),
    "liver_disease": (-3.0, 0.1, 0.0, 0.03),
    "malignancy": (-2.1, 0.2, 0.03, 0.03),
    "stroke_history": (-2.6, 0.1, 0.05, 0.04),
    "anticoagulation": (-1.6, 0.2, 0.05, 0.07),
    "antibiotics": (-0.4, 1.0, 0.0, 0.05),
    "corticosteroids": (-1.0, 0.9, 0.0, 0.05),
}

# Ordered levels cut from severity plus a record's own noise; then the share left blank.
WIDE_SCALES = {
    "triage_level": (("non_urgent", "standard", "urgent", "immediate"), (-0.9, 0.4, 1.6), 0.02),
    "oxygen_support": (("room_air", "nasal", "mask", "high_flow", "ventilated"), (0.0, 0.8, 1.5, 2.1), 0.03),
    "mobility": (("independent", "aided", "bedbound"), (0.4, 1.5), 0.12),
    "urine_protein": (("negative", "trace", "positive"), (0.3, 1.3), 0.4),
}


def draw_wide_columns(columns: dict[str, Any], severity: np.ndarray, draws: RecordDraws) -> dict[str, Any]:
    """Return the further columns; numbers as float64, flags and scales as strings, missing where blank.

    Args:
        columns: complete paper columns, each ``(records,)``.
        severity: unseen severity per record.
        draws: the records' random numbers.
    """
    age = np.asarray(columns["age"], dtype=float)
    wide: dict[str, Any] = {}
    for name, number in WIDE_NUMBERS.items():
        own = np.sqrt(1 - number.by_severity**2 - number.by_age**2)
        score = number.by_severity * severity + number.by_age * (age - 58) / 16 + own * draws.take("visit_normal")
        values = (
            number.typical * np.exp(number.spread * score) if number.skewed else number.typical + number.spread * score
        )
        values = np.clip(np.round(values, number.decimals), number.minimum, number.maximum)
        wide[name] = np.where(draws.take("visit_uniform") < number.missing, np.nan, values)
    for name, (intercept, by_severity, by_age, missing) in WIDE_FLAGS.items():
        answered = draws.take("visit_uniform") < sigmoid(intercept + by_severity * severity + by_age * (age - 58))
        wide[name] = _text(np.where(answered, "yes", "no"), draws.take("visit_uniform") < missing)
    for name, (levels, cuts, missing) in WIDE_SCALES.items():
        level = np.searchsorted(np.asarray(cuts), 0.8 * severity + 0.6 * draws.take("visit_normal"))
        wide[name] = _text(np.asarray(levels, dtype=object)[level], draws.take("visit_uniform") < missing)
    return wide


def _text(values: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Return strings as objects, None where missing."""
    texts = values.astype(object)
    texts[missing] = None
    return texts
