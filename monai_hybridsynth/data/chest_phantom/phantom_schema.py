"""The schema of each variant of the phantom cohort: kinds, roles, units, declared limits, and why."""

from __future__ import annotations

from typing import Any

from monai_hybridsynth.data.chest_phantom.clinical_rows import VARIANTS
from monai_hybridsynth.data.chest_phantom.finding_rows import CARDIOMEGALY_RATIO, FINDINGS, NO_FINDING
from monai_hybridsynth.data.chest_phantom.wide_columns import WIDE_FLAGS, WIDE_NUMBERS, WIDE_SCALES
from monai_hybridsynth.data.record_schema import ImageSettings, RecordField, RecordSchema

__all__ = ["phantom_schema"]

_DRAWN = "drawn analytically: "


def phantom_schema(variant: str = "paper") -> RecordSchema:
    """Return the schema of a phantom cohort.

    The targets are ``outcome``, ``opacity_side`` (in ``findings`` the multi-label column) and
    ``cardiothoracic_ratio``: one from the whole row, one category and one number that the image shows. In ``findings``
    two labels say what two numbers say, as rules between columns.

    Args:
        variant: as in ``draw_rows``.

    Raises:
        ValueError: if the variant is unknown.
    """
    if variant not in VARIANTS:
        raise ValueError(f"variant {variant!r} is unknown; choose one of {', '.join(VARIANTS)}.")
    fields = [
        RecordField("image", role="image", required=True, reason="path of the radiograph"),
        RecordField("patient_id", role="group", required=True, reason="several images of one patient share it"),
    ]
    if variant == "two_site":
        fields.append(_category("site", ("north", "south"), "hospital; contrast and prevalence differ", binary=True))
    fields += _paper_fields(findings=variant == "findings")
    if variant == "wide":
        fields += _wide_fields()
    return RecordSchema(fields, ImageSettings("cxr"), _finding_rules() if variant == "findings" else ())


def _paper_fields(*, findings: bool) -> list[RecordField]:
    """Return the thirteen columns of the paper's shape."""
    opacity = _category(
        "opacity_side", ("none", "left", "right", "both"), "lungs with patchy clouds, the patient's side", role="target"
    )
    if findings:
        opacity = RecordField(
            "findings",
            kind="multilabel",
            role="target",
            enum=(NO_FINDING, *FINDINGS),
            separator="|",
            empty_label=NO_FINDING,
            required=True,
            reason=_DRAWN + "the fourteen findings of NIH ChestX-ray14, each visible in the image",
        )
    return [
        _category("sex", ("F", "M"), "breast shadow and build", binary=True),
        _category("view", ("AP", "PA"), "AP is a bedside film: low contrast, high diaphragm, wide heart", binary=True),
        opacity,
        _category("device", ("none", "pacemaker", "central_line", "tube"), "visible in the image"),
        _category("smoker", ("never", "former", "current"), "history; not in the image"),
        _category(
            "comorbidity",
            ("none", "hypertension", "diabetes", "heart_failure", "copd"),
            "leading disease; shows through heart size and effusion only",
        ),
        _category("outcome", ("no", "yes"), "death in hospital, one value per patient", binary=True, role="target"),
        RecordField("age", "integer", kind="integer", unit="a", minimum=0, maximum=120, reason=_DRAWN + "age in years"),
        _number("cardiothoracic_ratio", "1", 0, 1, "width of the heart over the chest's inner width", role="target"),
        _number("effusion_ml", "mL", 0, 5000, "pleural fluid of both sides; 0 is none"),
        _number("bmi", "kg/m2", 10, 80, "body mass index; shows as soft tissue"),
        _number("crp", "mg/L", 0, 1000, "C-reactive protein; -inf is below 3 mg/L", censored=True),
        _number("ldh", "U/L", 0, 5000, "lactate dehydrogenase; rises with the extent of the clouds"),
    ]


def _finding_rules() -> list[dict[str, Any]]:
    """Return that a label is there exactly where its number is large: the ratio has three decimals, volumes none."""
    lowest = {
        "Cardiomegaly": {"column": "cardiothoracic_ratio", "minimum": CARDIOMEGALY_RATIO + 0.001},
        "Effusion": {"column": "effusion_ml", "minimum": 1},
    }
    labels = {name: {"column": "findings", "contains": name} for name in lowest}
    pairs = [pair for name in lowest for pair in ((labels[name], lowest[name]), (lowest[name], labels[name]))]
    return [{"if": condition, "then": consequence} for condition, consequence in pairs]


def _wide_fields() -> list[RecordField]:
    """Return the further columns of the wide variant."""
    fields = [
        _number(name, number.unit, number.minimum, number.maximum, "tied to severity and age; not in the image")
        for name, number in WIDE_NUMBERS.items()
    ]
    fields += [_category(name, ("no", "yes"), "not in the image", binary=True) for name in WIDE_FLAGS]
    for name, (levels, _, _) in WIDE_SCALES.items():
        fields.append(RecordField(name, kind="ordinal", enum=levels, reason=_DRAWN + "rises with severity"))
    return fields


def _category(
    name: str, values: tuple[str, ...], reason: str, *, binary: bool = False, role: str = "feature"
) -> RecordField:
    kind = "binary" if binary else "categorical"
    return RecordField(name, kind=kind, role=role, enum=values, reason=_DRAWN + reason)


def _number(
    name: str, unit: str, minimum: float, maximum: float, reason: str, *, role: str = "feature", censored: bool = False
) -> RecordField:
    return RecordField(
        name,
        "number",
        kind="continuous",
        role=role,
        unit=unit,
        minimum=minimum,
        maximum=maximum,
        censored=censored,
        reason=_DRAWN + reason,
    )
