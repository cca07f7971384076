"""One column of a cohort's table: what it holds, what it is for, and why we think so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, fields
from typing import Any

__all__ = ["DEFAULT_MISSING_VALUES", "KINDS", "LATENT_PREFIX", "NUMERIC_KINDS", "ROLES", "RecordField"]

KINDS = ("continuous", "integer", "binary", "categorical", "ordinal", "multilabel", "free_text")
NUMERIC_KINDS = ("continuous", "integer")
ROLES = ("feature", "target", "group", "image", "identifier", "excluded")
TYPES = ("number", "integer", "string", "boolean")
DERIVE_RULES = ("is_present", "equals", "contains")
LATENT_PREFIX = "latent_"
DEFAULT_MISSING_VALUES = ("", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "<NA>")


@dataclass(frozen=True)
class RecordField:
    """One column, in the vocabulary of a Frictionless Table Schema plus what synthesis needs to know.

    Args:
        name: the column's name.
        type: Frictionless type, ``number``, ``integer``, ``string`` or ``boolean``.
        kind: what the values mean, one of :data:`KINDS`.
        role: what the column is for, one of :data:`ROLES`; only ``feature`` and ``target`` are modelled.
        unit: UCUM code, such as ``a`` (years), ``d`` (days) or ``mg/L``.
        minimum: smallest plausible value; a smaller one is invalid. Never the smallest value seen.
        maximum: largest plausible value; a larger one is invalid. Never the largest value seen.
        enum: the categories (of a multi-label column: the labels), in order.
        required: whether a missing value is an error.
        separator: what stands between the labels of a multi-label column.
        missing_values: the spellings that mean "missing".
        censored: whether ``-inf`` / ``inf`` (below / above the detection limit) may occur.
        on_invalid: ``error``, or ``missing`` to read an invalid value as missing and count it.
        derive: ``{"from": column, "rule": "is_present" | "equals" | "contains", "value": ...}``.
        blank_means: the category that a blank stands for, where blank means "did not happen".
        empty_label: the label of a multi-label column that says "none of the others".
        decimal_char: the decimal sign of numbers written as text.
        typical_range: rounded 1st and 99th percentile, a hint for displays and sampling; not a limit.
        reason: why kind and role were chosen.
    """

    name: str
    type: str = "string"
    _: KW_ONLY
    kind: str = "categorical"
    role: str = "feature"
    unit: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    enum: tuple[str, ...] | None = None
    required: bool = False
    separator: str | None = None
    missing_values: tuple[str, ...] = DEFAULT_MISSING_VALUES
    censored: bool = False
    on_invalid: str = "error"
    derive: Mapping[str, Any] | None = None
    blank_means: str | None = None
    empty_label: str | None = None
    decimal_char: str = "."
    typical_range: tuple[float, float] | None = None
    reason: str = ""

    def __post_init__(self) -> None:
        """Refuse contradictions, and turn lists from JSON into tuples."""
        if not isinstance(self.name, str) or not self.name:
            raise ValueError(f"a field needs a name, got {self.name!r}.")
        for label, value, allowed in (
            ("type", self.type, TYPES),
            ("kind", self.kind, KINDS),
            ("role", self.role, ROLES),
            ("on_invalid", self.on_invalid, ("error", "missing")),
            ("decimal_char", self.decimal_char, (".", ",")),
        ):
            if value not in allowed:
                raise ValueError(f"field {self.name!r}: {label} is {value!r}; use one of {list(allowed)}.")
        for label in ("enum", "missing_values", "typical_range"):
            value = getattr(self, label)
            if isinstance(value, str) or (value is not None and not hasattr(value, "__iter__")):
                raise ValueError(f"field {self.name!r}: {label} is {value!r}; give a list.")
            if value is not None:
                object.__setattr__(self, label, tuple(value))
        if self.enum is not None:
            object.__setattr__(self, "enum", tuple(str(value) for value in self.enum))
        self._check_role()
        self._check_kind()

    def _check_role(self) -> None:
        if not self.is_modelled:
            return
        if self.kind == "free_text":
            raise ValueError(
                f"field {self.name!r} is free text with role {self.role!r}: free text can name a patient and never "
                "reaches a synthesizer; set role to excluded or derive a column from it."
            )
        if self.name.startswith(LATENT_PREFIX):
            raise ValueError(
                f"field {self.name!r} is named like an image latent; rename the column, {LATENT_PREFIX!r} is reserved."
            )

    def _check_kind(self) -> None:
        if self.is_numeric and self.enum is not None:
            raise ValueError(f"field {self.name!r} is {self.kind} with an enum; use kind ordinal or drop the enum.")
        if self.censored and self.kind != "continuous":
            raise ValueError(f"field {self.name!r} is {self.kind} and censored; only kind continuous holds inf.")
        if self.kind == "multilabel" and not self.separator:
            raise ValueError(f"field {self.name!r} is multilabel without a separator; add separator, such as '|'.")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"field {self.name!r}: minimum {self.minimum} lies above maximum {self.maximum}.")
        if self.blank_means is not None and self.enum is not None and self.blank_means not in self.enum:
            raise ValueError(f"field {self.name!r}: blank_means {self.blank_means!r} is not in enum {list(self.enum)}.")
        if self.derive is not None:
            rule = self.derive.get("rule")
            if rule not in DERIVE_RULES or not self.derive.get("from"):
                raise ValueError(
                    f"field {self.name!r}: derive is {dict(self.derive)}; give 'from' and a 'rule' of {DERIVE_RULES}."
                )
            if rule != "is_present" and self.derive.get("value") in (None, ""):
                raise ValueError(f"field {self.name!r}: derive with rule {rule!r} needs a 'value'.")

    @property
    def is_numeric(self) -> bool:
        """Whether parsed values are numbers."""
        return self.kind in NUMERIC_KINDS

    @property
    def is_modelled(self) -> bool:
        """Whether a synthesizer sees the column."""
        return self.role in ("feature", "target")

    def to_dict(self) -> dict[str, Any]:
        """Return the field as it stands in ``schema.json``; values at their default are left out."""
        written: dict[str, Any] = {"name": self.name, "type": self.type, "kind": self.kind, "role": self.role}
        constraints = {
            "minimum": self.minimum,
            "maximum": self.maximum,
            "enum": None if self.enum is None else list(self.enum),
            "required": self.required or None,
        }
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in written or field.name in constraints or value == field.default:
                continue
            written[field.name] = list(value) if isinstance(value, tuple) else value
        constraints = {name: value for name, value in constraints.items() if value is not None}
        if constraints:
            written["constraints"] = constraints
        if self.derive is not None:
            written["derive"] = dict(self.derive)
        if "reason" in written:
            written["reason"] = written.pop("reason")
        return written

    @classmethod
    def from_dict(cls, written: Mapping[str, Any]) -> RecordField:
        """Return the field that ``schema.json`` describes; an unknown key is an error, since it may be a typo."""
        values = dict(written)
        constraints = values.pop("constraints", {})
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(values) - known) + sorted(set(constraints) - {"minimum", "maximum", "enum", "required"})
        if unknown:
            raise ValueError(f"field {values.get('name')!r}: unknown keys {unknown}; known are {sorted(known)}.")
        if "name" not in values:
            raise ValueError(f"a field without a name: {dict(written)}.")
        return cls(**values, **constraints)
