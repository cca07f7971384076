"""The fourteen findings of NIH ChestX-ray14 for the phantom's rows, with the relations between them."""

from __future__ import annotations

from typing import Any

import numpy as np

from monai_hybridsynth.data.chest_phantom.record_draws import RecordDraws, sigmoid

__all__ = ["FINDINGS", "NO_FINDING", "draw_findings"]

NO_FINDING = "No Finding"
FINDINGS = (
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "Edema",
    "Effusion",
    "Emphysema",
    "Fibrosis",
    "Hernia",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pleural_Thickening",
    "Pneumonia",
    "Pneumothorax",
)
CARDIOMEGALY_RATIO = 0.55

# Log odds: intercept, severity, chronic lung disease, heart failure, years above 58.
_LOG_ODDS = {
    "Atelectasis": (-2.3, 0.6, 0.2, 0.2, 0.01),
    "Consolidation": (-3.1, 1.0, 0.0, 0.0, 0.0),
    "Edema": (-4.0, 0.9, -0.3, 2.0, 0.01),
    "Emphysema": (-3.6, 0.0, 2.6, 0.0, 0.01),
    "Fibrosis": (-3.6, 0.0, 1.2, 0.0, 0.03),
    "Hernia": (-4.6, 0.0, 0.0, 0.0, 0.05),
    "Infiltration": (-1.7, 0.6, 0.1, 0.2, 0.0),
    "Mass": (-2.9, 0.1, 0.6, 0.0, 0.02),
    "Nodule": (-2.7, 0.0, 0.4, 0.0, 0.01),
    "Pleural_Thickening": (-3.2, 0.1, 0.4, 0.0, 0.02),
    "Pneumonia": (-3.5, 1.1, 0.3, 0.0, 0.0),
    "Pneumothorax": (-3.2, 0.3, 0.8, 0.0, -0.01),
}


def draw_findings(columns: dict[str, Any], severity: np.ndarray, draws: RecordDraws) -> dict[str, Any]:
    """Replace the opacity column by ``findings``, labels in one string: ``Effusion|Mass`` or ``No Finding``.

    ``Cardiomegaly`` means a cardiothoracic ratio above 0.55 and ``Effusion`` a volume above zero, so these two
    columns and the labels never contradict each other.

    Args:
        columns: complete paper columns, each ``(records,)``.
        severity: unseen severity per record.
        draws: the records' random numbers.
    """
    chronic = columns["comorbidity"] == "copd"
    failure = columns["comorbidity"] == "heart_failure"
    age = np.asarray(columns["age"], dtype=float)
    present = {
        "Cardiomegaly": columns["cardiothoracic_ratio"] > CARDIOMEGALY_RATIO,
        "Effusion": columns["effusion_ml"] > 0,
    }
    for name, (intercept, by_severity, by_chronic, by_failure, by_age) in _LOG_ODDS.items():
        odds = intercept + by_severity * severity + by_chronic * chronic + by_failure * failure + by_age * (age - 58)
        present[name] = draws.take("visit_uniform") < sigmoid(odds)
    labels = ["|".join(name for name in FINDINGS if present[name][row]) or NO_FINDING for row in range(len(age))]
    findings = np.array(labels, dtype=object)
    return {
        "findings" if name == "opacity_side" else name: findings if name == "opacity_side" else values
        for name, values in columns.items()
    }
