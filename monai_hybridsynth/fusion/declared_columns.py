"""Clinical columns as a public schema declares them: what can be counted of a row, and what noisy counts say."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from monai_hybridsynth.fusion.number_margin import NumberMargin
from monai_hybridsynth.transforms.column_encoding import (
    MISSING,
    CategoryColumn,
    FlatColumn,
    LabelColumn,
    NumericColumn,
    label_sets,
)
from monai_hybridsynth.transforms.published_statistics import published_number, published_shares

if TYPE_CHECKING:
    from monai_hybridsynth.data.record_schema import RecordField, RecordSchema

__all__ = ["DeclaredCategory", "DeclaredColumn", "DeclaredLabels", "DeclaredNumber", "declared_columns"]

BINS = 16
LABELS_COUNTED = 2  # a row with more labels counts less for each
DIGITS = 3  # of a continuous number, over its declared range
# As `RecordSchema.parse` gives them. The table's own could tell that one patient has no value.
DTYPES = {"continuous": "float64", "integer": "Int64"}


@dataclass
class DeclaredColumn(ABC):
    """One clinical column before any patient was looked at.

    Attributes:
        field: of the public schema.
        dtype: of the parsed column, by its kind alone.
    """

    field: RecordField
    dtype: str

    norm = 1.0

    @property
    @abstractmethod
    def size(self) -> int:
        """How many things are counted."""

    @abstractmethod
    def indicators(self, values: pd.Series) -> np.ndarray:
        """Return which of the counted things each row has, 0 or 1, ``(rows, size)``."""

    @abstractmethod
    def encoding(self, counts: np.ndarray, total: float) -> NumericColumn | CategoryColumn | LabelColumn:
        """Return the column's encoding from noisy counts ``(size,)`` of ``total`` patients."""

    def margin(self, counts: np.ndarray) -> NumberMargin | None:
        """Return the quantiles of a number from its noisy counts; None for other columns."""
        return None


class DeclaredNumber(DeclaredColumn):
    """A number in bins of its declared range, and the states in which it has no value."""

    @property
    def states(self) -> tuple[str, ...]:
        """States that the schema allows beside a value."""
        return ("missing",) * (not self.field.required) + ("below", "above") * self.field.censored

    @property
    def edges(self) -> np.ndarray:
        """Edges of the bins; those of whole numbers lie between them."""
        low, high = float(self.field.minimum or 0.0), float(self.field.maximum or 0.0)
        if self.field.kind == "continuous":
            return np.linspace(low, high, BINS + 1)
        step = math.ceil((high - low + 1) / BINS)
        return np.append(np.arange(low, high + 0.5, step) - 0.5, high + 0.5)

    @property
    def size(self) -> int:
        """How many things are counted."""
        return len(self.edges) - 1 + len(self.states)

    def indicators(self, values: pd.Series) -> np.ndarray:
        """Return bins, then states."""
        raw = pd.to_numeric(values, errors="raise").astype("Float64").to_numpy(dtype=float, na_value=np.nan)
        place = np.searchsorted(self.edges, np.nan_to_num(raw), side="right") - 1
        place = np.clip(place, 0, len(self.edges) - 2)
        bins = (place[:, None] == np.arange(len(self.edges) - 1)) & np.isfinite(raw)[:, None]
        masks = {"missing": np.isnan(raw), "below": np.isneginf(raw), "above": np.isposinf(raw)}
        return np.column_stack([bins, *[masks[state] for state in self.states]]).astype(float)

    def encoding(self, counts: np.ndarray, total: float) -> NumericColumn:
        """Return range, median, spread and states."""
        bins, states = np.split(_shares(counts), [len(self.edges) - 1])
        low, high = float(self.field.minimum or 0.0), float(self.field.maximum or 0.0)
        middle, weight = (self.edges[1:] + self.edges[:-1]) / 2, bins / max(bins.sum(), 1e-12)
        spread = float(np.sqrt(max(weight @ middle**2 - (weight @ middle) ** 2, 0.0)))
        centre = self.margin(counts).quantile(np.array(0.5))
        number = FlatColumn(
            self.field.name,
            lower=low,
            upper=high,
            centre=float(np.clip(published_number(float(centre)), low, high)),
            spread=published_number(max(spread, (high - low) / BINS / 4)),
        )
        names = np.array(["value", *self.states], dtype=object)
        state = _category(f"{self.field.name}:state", names, np.append(bins.sum(), states))
        decimals = 0 if self.field.kind == "integer" else max(0, DIGITS - 1 - math.floor(math.log10(high - low)))
        return NumericColumn(self.field.name, self.dtype, [number, state], decimals)

    def margin(self, counts: np.ndarray) -> NumberMargin:
        """Return a quantile function that is linear within each bin."""
        shares = _shares(counts)[: len(self.edges) - 1]
        total = max(float(counts.sum()), 1.0)
        if shares.sum() <= 0:
            shares = np.ones_like(shares)
        levels = np.append(0.0, np.cumsum(shares / shares.sum())).round(4)
        levels[-1] = 1.0
        return NumberMargin(levels.tolist(), self.edges.tolist(), published_number(0.5 / (total + 1), digits=1))


class DeclaredCategory(DeclaredColumn):
    """A binary, categorical or ordinal column."""

    @property
    def names(self) -> np.ndarray:
        """The declared categories, and missing where the schema allows it."""
        return np.array([*(self.field.enum or ()), *[MISSING] * (not self.field.required)], dtype=object)

    @property
    def size(self) -> int:
        """How many things are counted."""
        return len(self.names)

    def indicators(self, values: pd.Series) -> np.ndarray:
        """Return one-hot categories."""
        found = np.array([MISSING if pd.isna(value) else str(value) for value in values], dtype=object)
        return (found[:, None] == self.names).astype(float)

    def encoding(self, counts: np.ndarray, total: float) -> CategoryColumn:
        """Return categories and shares."""
        return CategoryColumn(self.field.name, self.dtype, [_category(self.field.name, self.names, _shares(counts))])


class DeclaredLabels(DeclaredColumn):
    """A multi-label column: its labels, and that it is missing."""

    norm = math.sqrt(LABELS_COUNTED)

    @property
    def labels(self) -> list[str]:
        """The declared labels."""
        return sorted(self.field.enum or ())

    @property
    def size(self) -> int:
        """How many things are counted."""
        return len(self.labels) + 1

    def indicators(self, values: pd.Series) -> np.ndarray:
        """Return labels, then missing; a row with many labels is shortened."""
        sets = label_sets(values, self.field.separator or "|")
        hits = [[found is not None and label in found for label in self.labels] + [found is None] for found in sets]
        rows = np.array(hits, dtype=float).reshape(len(values), self.size)
        return rows * np.minimum(1.0, self.norm / np.maximum(np.sqrt(rows.sum(axis=1, keepdims=True)), 1e-12))

    def encoding(self, counts: np.ndarray, total: float) -> LabelColumn:
        """Return a share per label; a declared empty label stands alone and for rows without any."""
        shares = np.clip(counts / total, 0.0, 1.0)
        missing = 0.0 if self.field.required else shares[-1]
        flats = [
            _category(f"{self.field.name}={label}", np.array(["no", "yes"], dtype=object), np.array([1 - share, share]))
            for label, share in zip(self.labels, shares, strict=False)
        ]
        states = np.array(["value", "missing"], dtype=object)
        flats.append(_category(f"{self.field.name}:state", states, np.array([1 - missing, missing])))
        empty = self.field.empty_label
        alone = () if empty is None else (empty,)
        return LabelColumn(self.field.name, self.dtype, flats, self.field.separator or "|", alone, empty)


def declared_columns(table: pd.DataFrame, schema: RecordSchema) -> list[DeclaredColumn]:
    """Return the clinical columns of a table as the schema declares them, in the order of the table.

    Raises:
        ValueError: naming every column whose limits or categories the schema does not declare.
    """
    kinds = {"continuous": DeclaredNumber, "integer": DeclaredNumber, "multilabel": DeclaredLabels}
    wanted = set(schema.feature_names)
    absent = sorted(wanted - set(table.columns))
    if absent:
        raise ValueError(
            f"the schema names columns {absent} that the table lacks; its columns are {list(table.columns)}."
        )
    fields = [schema[name] for name in table.columns if name in wanted]
    limited = {f.name for f in fields if f.minimum is not None and f.maximum is not None and f.minimum < f.maximum}
    open_ends = [f.name for f in fields if f.is_numeric and f.name not in limited]
    no_names = [f.name for f in fields if not f.is_numeric and not f.enum]
    if open_ends or no_names:
        raise ValueError(
            "differential privacy takes ranges and categories from the schema, never from patients, but columns "
            f"{open_ends} have no minimum and maximum and columns {no_names} no enum; declare them, from what is "
            "plausible and not from the data, or exclude the columns."
        )
    return [kinds.get(field.kind, DeclaredCategory)(field, DTYPES.get(field.kind, "object")) for field in fields]


def _shares(counts: np.ndarray) -> np.ndarray:
    """Return shares that are not negative and sum to one, the nearest to noisy counts (projection on a simplex)."""
    total = max(float(counts.sum()), 1.0)
    falling = np.sort(counts / total)[::-1]
    surplus = (np.cumsum(falling) - 1) / np.arange(1, len(falling) + 1)
    return np.maximum(counts / total - surplus[np.flatnonzero(falling > surplus)[-1]], 0.0)


def _category(name: str, names: np.ndarray, shares: np.ndarray) -> FlatColumn:
    """Return a discrete flat column of the values whose noisy share is above zero."""
    kept = np.flatnonzero(shares > 1e-9)
    return FlatColumn(name, categories=tuple(names[kept]), shares=published_shares(shares[kept]))
