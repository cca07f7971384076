"""Clinical rows of the chest phantom: patients drawn one by one, columns tied by an unseen severity."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from monai_hybridsynth.data.chest_phantom.finding_rows import draw_findings
from monai_hybridsynth.data.chest_phantom.record_draws import RecordDraws, sigmoid
from monai_hybridsynth.data.chest_phantom.wide_columns import draw_wide_columns

__all__ = ["VARIANTS", "draw_rows"]

VARIANTS = ("paper", "wide", "two_site", "findings")

_CRP_DETECTION_LIMIT = 3.0
# With this intercept 13 % of the rows belong to patients who die; found by bisection on 40,000 records.
_OUTCOME_INTERCEPT = -3.2
_MISSING_SHARES = {
    "smoker": 0.11,
    "comorbidity": 0.03,
    "age": 0.01,
    "cardiothoracic_ratio": 0.03,
    "effusion_ml": 0.05,
    "bmi": 0.14,
    "crp": 0.06,
    "ldh": 0.22,
}


def draw_rows(num_records: int, *, seed: int, variant: str = "paper") -> pd.DataFrame:
    """Draw the table of a phantom cohort.

    An unseen severity, which differs between patients and between the visits of one patient, drives opacities,
    effusion, laboratory values, view and devices; age, habitus and comorbidity act beside it. The outcome (death in
    hospital, about 13 % of the records) is one per patient. Values are typed as ``RecordSchema.parse`` returns them:
    float64 or ``Int64`` numbers, strings, missing where blank, ``-inf`` for C-reactive protein below 3 mg/L.

    Args:
        num_records: rows, one per image; the first rows of a longer cohort with equal seed are the same.
        seed: not negative; another seed gives other patients.
        variant: ``paper`` (7 categorical and 6 numeric columns), ``wide`` (70 clinical columns), ``two_site``
            (paper and ``site``, with its own prevalence and, in the images, its own contrast) or ``findings``
            (the 14 findings of NIH ChestX-ray14 in one ``A|B`` column, and devices).

    Returns:
        Columns ``image``, ``patient_id`` and the clinical columns of the variant.

    Raises:
        ValueError: if ``num_records`` is not positive, ``seed`` is negative or ``variant`` is unknown.
    """
    if num_records < 1:
        raise ValueError(f"num_records must be at least 1, got {num_records}.")
    if seed < 0:
        raise ValueError(f"seed must not be negative, got {seed}.")
    if variant not in VARIANTS:
        raise ValueError(f"variant {variant!r} is unknown; choose one of {', '.join(VARIANTS)}.")
    draws = RecordDraws(num_records, seed=seed)
    columns = _paper_columns(draws, two_site=variant == "two_site")
    severity = columns.pop("_severity")
    if variant == "findings":
        columns = draw_findings(columns, severity, draws)
    elif variant == "wide":
        columns |= draw_wide_columns(columns, severity, draws)
    for name, share in _MISSING_SHARES.items():
        if name in columns:
            columns[name] = _blank(columns[name], draws.take("visit_uniform") < share)
    identifiers = {
        "image": [f"images/{row:06d}.png" for row in range(num_records)],
        "patient_id": [f"phantom-{seed}-{index:06d}" for index in draws.patient],
    }
    return pd.DataFrame(identifiers | columns)


def _paper_columns(draws: RecordDraws, *, two_site: bool) -> dict[str, Any]:
    """Return the thirteen columns of the paper's shape, complete, and the severity under ``_severity``."""
    people = _people(draws, two_site=two_site)
    return people.pop("_site") | _visits(people, draws)


def _people(draws: RecordDraws, *, two_site: bool) -> dict[str, Any]:
    """Return what belongs to the patient: age, sex, habitus, history and how frail."""
    site = draws.choose("patient_uniform", {"north": 0.4, "south": 0.0})
    south = two_site * (site == "south")
    age = np.clip(np.round(59 + 16 * draws.take("patient_normal") + 4 * south), 18, 95)
    sex = draws.choose("patient_uniform", {"F": 0.0, "M": 0.15})
    male = sex == "M"
    bmi = np.clip(np.round(27 + 4.8 * draws.take("patient_normal"), 1), 16, 48)
    smoker = draws.choose(
        "patient_uniform",
        {"never": 0.0, "former": -0.9 + 0.4 * male + 0.015 * (age - 58), "current": -1.2 + 0.4 * male},
    )
    comorbidity = draws.choose(
        "patient_uniform",
        {
            "none": 0.9,
            "hypertension": -0.2 + 0.03 * (age - 58) + 0.05 * (bmi - 27),
            "diabetes": -0.8 + 0.02 * (age - 58) + 0.09 * (bmi - 27),
            "heart_failure": -1.3 + 0.05 * (age - 58) + 0.6 * south,
            "copd": -1.5 + 0.02 * (age - 58) + 1.3 * (smoker != "never"),
        },
    )
    frailty = 0.75 * draws.take("patient_normal") + 0.3 * south
    return {
        "_site": {"site": site} if two_site else {},
        "age": age,
        "sex": sex,
        "bmi": bmi,
        "smoker": smoker,
        "comorbidity": comorbidity,
        "frailty": frailty,
    }


def _visits(people: dict[str, Any], draws: RecordDraws) -> dict[str, Any]:
    """Return all columns but the site, from the patients and what each visit adds."""
    age, bmi = people["age"], people["bmi"]
    failure = people["comorbidity"] == "heart_failure"
    severity = people["frailty"] + 0.65 * draws.take("visit_normal")
    anteroposterior = draws.take("visit_uniform") < sigmoid(-0.75 + 1.3 * severity + 0.02 * (age - 58))
    bilateral, one_sided = -0.45 + 1.0 * severity, -0.95 + 0.45 * severity
    opacity = draws.choose(
        "visit_uniform", {"none": 0.0, "left": one_sided - 0.1, "right": one_sided + 0.15, "both": bilateral}
    )
    opaque = np.where(opacity == "none", 0.0, np.where(opacity == "both", 1.5, 1.0))
    effused = draws.take("visit_uniform") < sigmoid(-1.7 + 0.8 * severity + 1.3 * failure + 0.5 * (opaque > 0))
    volume = np.exp(5.6 + 0.75 * draws.take("visit_normal") + 0.25 * severity + 0.3 * failure)
    effusion = np.where(effused, np.clip(np.round(volume, -1), 30, 2000), 0.0)
    ratio = _heart_ratio(people, anteroposterior, draws)
    paced = draws.take("patient_uniform") < sigmoid(-3.4 + 0.05 * (age - 58) + 1.7 * failure)
    device = draws.choose(
        "visit_uniform",
        {
            "none": 0.0,
            "central_line": -2.0 + 0.6 * severity + 0.8 * anteroposterior,
            "tube": -4.6 + 1.1 * severity + 2.4 * anteroposterior,
        },
    )
    device = np.where(paced, "pacemaker", device).astype(object)
    crp = np.exp(2.75 + 0.75 * severity + 0.55 * opaque + 0.7 * draws.take("visit_normal"))
    ldh = np.exp(5.42 + 0.16 * severity + 0.14 * opaque + 0.17 * draws.take("visit_normal"))
    risk = _OUTCOME_INTERCEPT + 0.055 * (age - 58) + 0.75 * severity + 0.45 * opaque + 0.5 * failure
    risk += 0.35 * np.log(crp / 30) + 1.2 * np.log(ldh / 260) + 0.0006 * effusion + 0.4 * (device == "tube")
    died = draws.take("patient_uniform") < sigmoid(_first_visit(risk, draws.visit))
    return {
        "sex": people["sex"],
        "view": np.where(anteroposterior, "AP", "PA").astype(object),
        "opacity_side": opacity,
        "device": device,
        "smoker": people["smoker"],
        "comorbidity": people["comorbidity"],
        "outcome": np.where(died, "yes", "no").astype(object),
        "age": pd.array(age.astype(int), dtype="Int64"),
        "cardiothoracic_ratio": np.clip(np.round(ratio, 3), 0.36, 0.72),
        "effusion_ml": effusion,
        "bmi": bmi,
        "crp": np.where(crp < _CRP_DETECTION_LIMIT, -np.inf, np.round(np.minimum(crp, 450), 1)),
        "ldh": np.clip(np.round(ldh), 90, 1500),
        "_severity": severity,
    }


def _heart_ratio(people: dict[str, Any], anteroposterior: np.ndarray, draws: RecordDraws) -> np.ndarray:
    """Return the cardiothoracic ratio; a bedside film magnifies the heart."""
    ratio = 0.462 + 0.0011 * (people["age"] - 58) + 0.0022 * (people["bmi"] - 27) - 0.008 * (people["sex"] == "M")
    ratio += 0.062 * (people["comorbidity"] == "heart_failure") + 0.042 * anteroposterior
    return ratio + 0.030 * draws.take("patient_normal") + 0.008 * draws.take("visit_normal")


def _first_visit(values: np.ndarray, visits: list[int]) -> np.ndarray:
    """Give every record the value of its patient's first record.

    The first visit decides, not the worst one, so that cutting a cohort short never changes the rows before the cut.
    """
    first = np.maximum.accumulate(np.where(np.asarray(visits) == 0, np.arange(len(values)), 0))
    return values[first]


def _blank(values: Any, missing: np.ndarray) -> Any:
    """Return a copy with the marked entries missing, in the dtype's own way."""
    blanked = pd.Series(values).copy()
    blanked[missing] = None if blanked.dtype == object else pd.NA if blanked.dtype.name == "Int64" else np.nan
    return blanked.array
