"""How one clinical column becomes complete numeric and discrete columns, and comes back."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from monai_hybridsynth.transforms.published_statistics import (
    patients_with,
    published_number,
    published_range,
    published_shares,
    weighted_quantile,
)

if TYPE_CHECKING:
    from monai_hybridsynth.data.record_schema import RecordField

__all__ = ["CategoryColumn", "FlatColumn", "LabelColumn", "NumericColumn", "fit_column"]

STATES = ("value", "missing", "below", "above")
MISSING = "<missing>"


@dataclass
class FlatColumn:
    """One complete column of the flat table: a number with a range, or a category with shares.

    Attributes:
        name: name in the flat table.
        categories: allowed values of a discrete column; None for a number.
        shares: patient-weighted share of each category, rounded; empty for a number.
        lower, upper: range of a number.
        centre, spread: rounded median and standard deviation of a number.
    """

    name: str
    categories: tuple[str, ...] | None = None
    shares: tuple[float, ...] = ()
    lower: float = 0.0
    upper: float = 0.0
    centre: float = 0.0
    spread: float = 1.0

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> FlatColumn:
        """Rebuild a column from its JSON values."""
        values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in content.items()}
        return cls(**values)

    @property
    def is_constant(self) -> bool:
        """Whether there is nothing to model."""
        return len(self.categories) < 2 if self.categories is not None else self.lower == self.upper

    @property
    def constant(self) -> Any:
        """Return the only value of a constant column."""
        return self.categories[0] if self.categories is not None else self.centre


@dataclass
class _Column:
    """What every column kind keeps: its name, the dtype it came with and its flat columns."""

    name: str
    dtype: str
    flats: list[FlatColumn] = field(default_factory=list)

    def restore(self, values: Any) -> pd.Series:
        """Give values the dtype of the training column, where that dtype can hold them."""
        series = pd.Series(values, name=self.name)
        dtype: Any = "object" if self.dtype in ("category", "string", "str") and series.isna().all() else self.dtype
        if dtype.lower().startswith(("int", "uint")) and dtype[0].islower() and series.isna().any():
            dtype = "Int64"
        return series.astype(dtype)


@dataclass
class NumericColumn(_Column):
    """A continuous or integer column: a number, and a state when values can be missing or censored."""

    decimals: int | None = None

    @property
    def states(self) -> tuple[str, ...]:
        """States that were learned."""
        return self.flats[1].categories or ()

    def flatten(self, values: pd.Series) -> dict[str, np.ndarray]:
        """Return the complete number (imputed by the median or the exceeded end) and its state."""
        number, state = self.flats
        raw = pd.to_numeric(values, errors="raise").astype("Float64").to_numpy(dtype=float, na_value=np.nan)
        found = _states_of(raw)
        filled = np.select(
            [found == "missing", found == "below", found == "above"], [number.centre, number.lower, number.upper], raw
        )
        # A state that was not learned: a censored value becomes the end of the range, a missing one the median.
        fallback = "value" if "value" in self.states else self.states[0]
        found = np.where(np.isin(found, self.states), found, fallback)
        return {number.name: np.clip(filled, number.lower, number.upper), state.name: found.astype(object)}

    def unflatten(self, flat: dict[str, np.ndarray]) -> pd.Series:
        """Return the column with its missing and censored values back."""
        number, state = self.flats
        values = np.clip(np.asarray(flat[number.name], dtype=float), number.lower, number.upper)
        if self.decimals is not None:
            values = np.round(values, self.decimals)
        found = np.asarray(flat[state.name], dtype=object)
        values = np.select([found == "missing", found == "below", found == "above"], [np.nan, -np.inf, np.inf], values)
        return self.restore(pd.array(values, dtype="Float64") if self.dtype == "Int64" else values)


@dataclass
class CategoryColumn(_Column):
    """A binary, categorical or ordinal column."""

    def flatten(self, values: pd.Series) -> dict[str, np.ndarray]:
        """Return categories as strings; one that was not learned becomes ``<missing>`` or the most frequent one.

        Raises:
            ValueError: if the values are True and False: a category is text, and does not turn into them again.
        """
        if pd.api.types.infer_dtype(values.astype(object), skipna=True) == "boolean":
            raise ValueError(
                f"column {self.name!r} holds True and False, but categories are text; pass the table as "
                "RecordSchema.parse() returns it."
            )
        flat = self.flats[0]
        known = flat.categories or ()
        fallback = MISSING if MISSING in known else known[int(np.argmax(flat.shares))]
        found = np.array([MISSING if pd.isna(value) else str(value) for value in values], dtype=object)
        return {flat.name: np.where(np.isin(found, known), found, fallback).astype(object)}

    def unflatten(self, flat: dict[str, np.ndarray]) -> pd.Series:
        """Return the column with its missing values back."""
        found = np.asarray(flat[self.flats[0].name], dtype=object)
        found = found.copy()
        found[found == MISSING] = None
        return self.restore(found)


@dataclass
class LabelColumn(_Column):
    """A multi-label column such as ``"A|B"``: one yes or no per label.

    Attributes:
        separator: what stands between labels.
        exclusive: labels that never stand beside another one (such as "No Finding"); sampled beside another they win.
        fallback: the label of a row with none, when rows always have one.
    """

    separator: str = "|"
    exclusive: tuple[str, ...] = ()
    fallback: str | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels that were learned."""
        return tuple(flat.name[len(self.name) + 1 :] for flat in self.flats[:-1])

    @property
    def needs_label(self) -> bool:
        """Whether a row drawn without any label must get one: rows always have one, and none is certain anyway.

        Where the label that rows fall back on does not vary, `unflatten` writes it.
        """
        flats = {flat.name: flat for flat in self.flats[:-1]}
        certain = any(flat.is_constant and flat.constant == "yes" for flat in flats.values())
        usual = None if self.fallback is None else flats.get(f"{self.name}={self.fallback}")
        return usual is not None and not usual.is_constant and not certain

    def flatten(self, values: pd.Series) -> dict[str, np.ndarray]:
        """Return one ``yes`` or ``no`` column per learned label, and the state."""
        sets = label_sets(values, self.separator)
        flat = {
            f"{self.name}={label}": np.array(["yes" if s and label in s else "no" for s in sets], dtype=object)
            for label in self.labels
        }
        state = self.flats[-1]
        found = np.array(["missing" if s is None else "value" for s in sets], dtype=object)
        flat[state.name] = np.where(
            np.isin(found, state.categories or ()), found, (state.categories or ("value",))[0]
        ).astype(object)
        return flat

    def unflatten(self, flat: dict[str, np.ndarray]) -> pd.Series:
        """Join the labels again, in alphabetical order."""
        rows: list[str | None] = []
        hits = {label: np.asarray(flat[f"{self.name}={label}"]) == "yes" for label in self.labels}
        for row, state in enumerate(flat[self.flats[-1].name]):
            chosen = sorted(label for label in self.labels if hits[label][row])
            alone = [label for label in chosen if label in self.exclusive]
            chosen = alone[:1] or chosen or [self.fallback or ""]
            rows.append(None if state == "missing" else self.separator.join(chosen))
        return self.restore(np.array(rows, dtype=object))


def label_sets(values: pd.Series, separator: str) -> list[frozenset[str] | None]:
    """Split joined labels; None where the value is missing."""
    return [
        None if pd.isna(value) else frozenset(part.strip() for part in str(value).split(separator) if part.strip())
        for value in values
    ]


def fit_column(
    values: pd.Series, spec: RecordField, *, patients: np.ndarray, weights: np.ndarray, minimum_patients: int
) -> NumericColumn | CategoryColumn | LabelColumn:
    """Learn how to encode one parsed column; what few patients have is not learned.

    Raises:
        ValueError: if the column's kind cannot be modelled.
    """
    if spec.kind in ("continuous", "integer"):
        return _fit_numeric(values, spec, patients, weights, minimum_patients)
    if spec.kind in ("binary", "categorical", "ordinal"):
        return _fit_category(values, spec, patients, weights, minimum_patients)
    if spec.kind == "multilabel":
        return _fit_labels(values, spec, patients, weights, minimum_patients)
    raise ValueError(
        f"column {spec.name!r} has kind {spec.kind!r}, which cannot be modelled; give it the role 'excluded' in the "
        "schema."
    )


def _states_of(raw: np.ndarray) -> np.ndarray:
    """Name the state of each number: value, missing, below or above a detection limit."""
    return np.select(
        [np.isnan(raw), np.isneginf(raw), np.isposinf(raw)], ["missing", "below", "above"], "value"
    ).astype(object)


def _fit_discrete(
    name: str,
    values: np.ndarray,
    patients: np.ndarray,
    weights: np.ndarray,
    minimum_patients: int,
    order: Sequence[str] = (),
) -> FlatColumn:
    """Keep the categories that enough patients have; the column is missing throughout when none has enough."""
    present = {value: float(weights[values == value].sum()) for value in dict.fromkeys([*order, *sorted(set(values))])}
    kept = [value for value in present if patients_with(values == value, patients) >= minimum_patients]
    if not kept:
        warnings.warn(
            f"no value of {name!r} is shared by {minimum_patients} patients, so it is returned as missing; exclude the "
            "column, merge its categories or lower minimum_patients.",
            stacklevel=5,
        )
        return FlatColumn(name, categories=("missing" if name.endswith(":state") else MISSING,), shares=(1.0,))
    return FlatColumn(
        name, categories=tuple(kept), shares=published_shares(np.array([present[value] for value in kept]))
    )


def _fit_numeric(
    values: pd.Series, spec: RecordField, patients: np.ndarray, weights: np.ndarray, minimum_patients: int
) -> NumericColumn:
    """Learn range, median, spread, decimals and states of a number."""
    raw = pd.to_numeric(values, errors="raise").astype("Float64").to_numpy(dtype=float, na_value=np.nan)
    found = _states_of(raw)
    state = _fit_discrete(f"{spec.name}:state", found, patients, weights, minimum_patients)
    number = FlatColumn(spec.name)
    seen = found == "value"
    decimals = None
    if seen.any() and "value" in (state.categories or ()):
        lower, upper = published_range(raw[seen], patients[seen], minimum_patients=minimum_patients)
        lower = lower if spec.minimum is None else max(lower, float(spec.minimum))
        upper = upper if spec.maximum is None else min(upper, float(spec.maximum))
        lower, upper = min(lower, upper), max(lower, upper)
        clipped, share = np.clip(raw[seen], lower, upper), weights[seen] / weights[seen].sum()
        mean = float((share * clipped).sum())
        spread = published_number(float(np.sqrt((share * (clipped - mean) ** 2).sum()))) or 1.0
        centre = float(np.clip(published_number(weighted_quantile(clipped, share, 0.5), digits=2), lower, upper))
        number = FlatColumn(spec.name, lower=lower, upper=upper, centre=centre, spread=spread)
        decimals = 0 if spec.kind == "integer" else _decimals(raw[seen])
    return NumericColumn(spec.name, str(values.dtype), [number, state], decimals)


def _decimals(values: np.ndarray) -> int | None:
    """Return how many decimals nineteen of twenty values need, or None beyond four."""
    return next(
        (
            digits
            for digits in range(5)
            if np.mean(np.isclose(values, np.round(values, digits), rtol=0, atol=1e-9)) >= 0.95
        ),
        None,
    )


def _fit_category(
    values: pd.Series, spec: RecordField, patients: np.ndarray, weights: np.ndarray, minimum_patients: int
) -> CategoryColumn:
    """Learn the categories of a column, in the order of the schema's enum when there is one."""
    found = np.array([MISSING if pd.isna(value) else str(value) for value in values], dtype=object)
    present = set(found)
    order = [str(value) for value in spec.enum or () if str(value) in present]
    return CategoryColumn(
        spec.name, str(values.dtype), [_fit_discrete(spec.name, found, patients, weights, minimum_patients, order)]
    )


def _fit_labels(
    values: pd.Series, spec: RecordField, patients: np.ndarray, weights: np.ndarray, minimum_patients: int
) -> LabelColumn:
    """Learn the labels of a multi-label column, which of them exclude others and whether rows always have one."""
    separator, declared = spec.separator or "|", getattr(spec, "empty_label", None)
    sets = label_sets(values, separator)
    state = _fit_discrete(
        f"{spec.name}:state",
        np.array(["missing" if s is None else "value" for s in sets], dtype=object),
        patients,
        weights,
        minimum_patients,
    )
    flags = {
        label: np.array([s is not None and label in s for s in sets])
        for label in sorted(frozenset().union(*[s for s in sets if s]))
    }
    learned = {label: has for label, has in flags.items() if patients_with(has, patients) >= minimum_patients}
    empty = np.array([s is not None and not s for s in sets])
    always_one = bool(learned) and patients_with(empty, patients) < minimum_patients
    # Rows whose labels are all too rare are drawn with others, so the shares are those of rows with a learned label.
    lost = np.array([bool(s) and learned.keys().isdisjoint(s or ()) for s in sets])
    if always_one and patients_with(lost, patients) >= minimum_patients:
        weights = np.where(lost, 0.0, weights)
    flats, exclusive = [], []
    for label, has in learned.items():
        counts = np.array([weights[~has].sum(), weights[has].sum()])
        keep = [index for index in (0, 1) if counts[index] > 0]
        flats.append(
            FlatColumn(
                f"{spec.name}={label}",
                categories=tuple(("no", "yes")[i] for i in keep),
                shares=published_shares(counts[keep]),
            )
        )
        beside = np.array([s is not None and label in s and len(s) > 1 for s in sets])
        rare = patients_with(beside, patients) < minimum_patients and beside.sum() < 0.05 * has.sum()
        if label == declared or (declared is None and rare):
            exclusive.append((float(counts[1]), label))
    fallback = None
    if always_one:
        frequent = max(
            flats, key=lambda flat: flat.shares[-1] if flat.categories and flat.categories[-1] == "yes" else 0.0
        )
        fallback = max(exclusive)[1] if exclusive else frequent.name[len(spec.name) + 1 :]
    alone = tuple(label for _, label in exclusive)
    return LabelColumn(spec.name, str(values.dtype), [*flats, state], separator, alone, fallback)
