"""Columns fixed while sampling: checked against what was learned, then met by choosing among candidates."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from monai_hybridsynth.fusion.table_layout import TableLayout
from monai_hybridsynth.transforms.column_encoding import MISSING, CategoryColumn, LabelColumn, NumericColumn

__all__ = [
    "Conditions",
    "FixedColumns",
    "choose_candidates",
    "conditions_table",
    "refuse_beside_exclusive",
    "whole_number",
]

Conditions = Mapping[str, Any] | pd.DataFrame
CANDIDATES_PER_ROUND = (8, 24, 96, 384)
TOLERANCE = 0.05
# Far beyond what encoders return; a network's sums of squares of much larger ones overflow float32.
LARGEST_LATENT = 1e9


@dataclass
class FixedColumns:
    """The requested values, one row per record.

    Attributes:
        values: requested clinical and latent values, returned unchanged.
        flat: the clinical ones as flat columns (only those that vary).
    """

    values: pd.DataFrame
    flat: pd.DataFrame

    @classmethod
    def read(cls, conditions: Conditions | None, layout: TableLayout, num_records: int) -> FixedColumns | None:
        """Check conditions; a missing value asks for a missing value (leave the column out to leave it free).

        Args:
            conditions: one value per column for all records, or a table with one row per record.
            layout: of the fitted table.
            num_records: how many records are drawn.

        Raises:
            TypeError: if the number is no whole one, or the conditions are neither mapping nor table.
            ValueError: naming column, value and what is allowed, or that no record is asked for.
        """
        num_records = whole_number("num_records", num_records, least=1)
        given = pd.DataFrame() if conditions is None else conditions_table(conditions)
        if given.columns.empty:
            return None
        if isinstance(conditions, pd.DataFrame) and len(given) != num_records:
            raise ValueError(
                f"conditions has {len(given)} rows but num_records is {num_records}; give one row per record."
            )
        unknown = [name for name in given.columns if name not in layout.order]
        if unknown:
            raise ValueError(
                f"conditions names columns {unknown} that are not modelled; the columns are {layout.order}."
            )
        values, flat = {}, {}
        varying = {column.name for column in layout.encoder.flat_columns}
        for name in given.columns:
            if name in layout.latent_dtypes:
                values[name] = _latent_values(name, given[name]).astype(np.dtype(layout.latent_dtypes[name]))
                continue
            column = layout.encoder.column(name)
            values[name] = _checked(column, given[name])
            flat.update({part: found for part, found in column.flatten(values[name]).items() if part in varying})
        repeat = np.zeros(num_records, dtype=int) if len(given) != num_records else np.arange(num_records)
        frame = pd.DataFrame(values, index=range(len(given))).iloc[repeat].reset_index(drop=True)
        return cls(frame, pd.DataFrame(flat, index=range(len(given))).iloc[repeat].reset_index(drop=True))

    def take(self, rows: np.ndarray) -> FixedColumns:
        """Return the requests of some records, in that order; a record may come several times."""
        return FixedColumns(*(part.iloc[rows].reset_index(drop=True) for part in (self.values, self.flat)))

    def write_into(self, records: pd.DataFrame) -> pd.DataFrame:
        """Return the records with the requested values in place, dtypes kept."""
        for name in self.values.columns:
            records[name] = pd.Series(self.values[name].array, index=records.index).astype(records[name].dtype)
        return records


def choose_candidates(
    draw: Callable[[np.ndarray, int], np.ndarray],
    cost: Callable[[np.ndarray, np.ndarray], np.ndarray],
    num_records: int,
) -> tuple[np.ndarray, int]:
    """Choose for every record a candidate that meets its conditions, by rejection in growing rounds.

    Discrete conditions are met exactly by rejection, so the accepted candidates follow the model's conditional
    distribution. Numbers and latents are met by the first candidate within the tolerance, else by the nearest of all
    tried: an approximation that sharpens with the number of candidates.

    Args:
        draw: ``(records, round) -> candidates``, one candidate of shape ``(columns,)`` for each entry of ``records``.
        cost: ``(records, candidates) -> costs``; 0 is accepted, 1 and more means that a discrete condition is not met.
        num_records: number of records.

    Returns:
        candidates of shape ``(num_records, columns)``, and for how many records no candidate met the discrete
        conditions.
    """
    best_cost = np.full(num_records, np.inf)
    best: np.ndarray | None = None
    open_records = np.arange(num_records)
    for number, count in enumerate(CANDIDATES_PER_ROUND):
        for block in np.array_split(open_records, max(1, len(open_records) * count // 65536)):
            tried = draw(np.repeat(block, count), number)
            costs = cost(np.repeat(block, count), tried).reshape(len(block), count)
            first = costs.argmin(axis=1)
            lowest = costs[np.arange(len(block)), first]
            best = np.zeros((num_records, tried.shape[1]), dtype=tried.dtype) if best is None else best
            better = lowest < best_cost[block]
            best[block[better]] = tried.reshape(len(block), count, -1)[np.arange(len(block)), first][better]
            best_cost[block[better]] = lowest[better]
        open_records = open_records[best_cost[open_records] > 0]
        if len(open_records) == 0:
            break
    if best is None:
        raise ValueError("num_records is 0; ask for at least one record.")
    return best, int((best_cost >= 1).sum())


def whole_number(name: str, value: Any, *, least: int) -> int:
    """Return an argument that must be a whole number, such as a count or a seed.

    Raises:
        TypeError: if it is none; True and 3.0 are none.
        ValueError: if it is less than ``least``.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} is {value!r}; give a whole number of at least {least}.")
    if value < least:
        raise ValueError(f"{name} is {value}; it must be at least {least}.")
    return int(value)


def conditions_table(conditions: Conditions) -> pd.DataFrame:
    """Return conditions as a table with rows numbered from 0; those that hold for all records as one row.

    Raises:
        TypeError: if they are neither a mapping nor a table.
        ValueError: if a column is there twice, or several values are given for one.
    """
    if isinstance(conditions, pd.DataFrame):
        twice = list(dict.fromkeys(conditions.columns[conditions.columns.duplicated()]))
        if twice:
            raise ValueError(f"conditions has the columns {twice} twice; keep one of each.")
        return conditions.reset_index(drop=True)
    if not isinstance(conditions, Mapping):
        raise TypeError(
            f"conditions is {conditions!r}; give a mapping of columns to values, such as {{'sex': 'F'}}, a DataFrame "
            "with a row per record, or None."
        )
    for name, value in conditions.items():
        if pd.api.types.is_list_like(value):
            raise ValueError(
                f"conditions asks for {value!r} in column {name!r}; give one value for all records, several labels as "
                "one text, or a DataFrame with a row per record."
            )
    return pd.DataFrame({name: pd.Series([value], dtype=object) for name, value in conditions.items()})


def refuse_beside_exclusive(name: str, values: pd.Series, separator: str, exclusive: Collection[str]) -> None:
    """Raise a ValueError if a label that stands alone, such as "No Finding", is asked for beside another one.

    Args:
        name: of the multi-label column.
        values: labels joined by ``separator``.
        separator: what stands between labels.
        exclusive: labels that stand alone.
    """
    for value in values.dropna():
        labels = _split(value, separator)
        alone = sorted(labels.intersection(exclusive))
        if alone and len(labels) > 1:
            raise ValueError(
                f"conditions asks for {value!r} in column {name!r}, but {alone[0]!r} stands alone there; ask for it "
                "or for the others."
            )


def _latent_values(name: str, values: pd.Series) -> pd.Series:
    """Return latent values that a model can compute with."""
    try:
        found = values.astype(float)
    except (TypeError, ValueError):
        found = pd.Series([np.nan] * len(values))
    wrong = values[~(np.abs(found.to_numpy()) <= LARGEST_LATENT)]
    if len(wrong):
        raise ValueError(
            f"conditions asks for {wrong.iloc[0]!r} in column {name!r}; a latent is a finite number, as an encoder "
            f"returns it, between -{LARGEST_LATENT:g} and {LARGEST_LATENT:g}."
        )
    return found


def _checked(column: NumericColumn | CategoryColumn | LabelColumn, values: pd.Series) -> pd.Series:
    """Return values in the column's dtype, or say what is allowed."""
    if isinstance(column, NumericColumn):
        return _checked_numbers(column, values)
    if isinstance(column, LabelColumn):
        allowed = set(column.labels)
        known = [
            "missing" in (column.flats[-1].categories or ())
            if pd.isna(value)
            else _split(value, column.separator) <= allowed
            for value in values
        ]
    else:
        values = pd.Series([_as_category(value) for value in values], dtype=object)
        allowed = set(column.flats[0].categories or ())
        known = [(MISSING if value is None else value) in allowed for value in values]
    if not all(known):
        wrong = values[~np.array(known, dtype=bool)].iloc[0]
        raise ValueError(
            f"conditions asks for {wrong!r} in column {column.name!r}, which was not learned; allowed: "
            f"{sorted(allowed)} (values that too few patients have are not learned)."
        )
    if isinstance(column, LabelColumn):
        refuse_beside_exclusive(column.name, values, column.separator, column.exclusive)
    return values


def _checked_numbers(column: NumericColumn, values: pd.Series) -> pd.Series:
    """Return numbers whose state was learned; a number outside the learned range is kept, with a warning."""
    try:
        found = pd.to_numeric(values, errors="raise").astype("Float64").to_numpy(dtype=float, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"conditions asks for {list(values)[:3]!r} in column {column.name!r}; it holds numbers."
        ) from error
    states = np.select(
        [np.isnan(found), np.isneginf(found), np.isposinf(found)], ["missing", "below", "above"], "value"
    )
    for state, value in zip(states, values, strict=True):
        if state not in column.states:
            number = column.flats[0]
            raise ValueError(
                f"conditions asks for {value!r} in column {column.name!r}, which was not learned; allowed: "
                f"{list(column.states)} with numbers from {number.lower:g} to {number.upper:g}."
            )
    exact = found[states == "value"]
    broken = exact[exact != np.round(exact)]
    if column.dtype.lower().startswith(("int", "uint")) and len(broken):
        raise ValueError(f"conditions asks for {broken[0]} in column {column.name!r}; it holds whole numbers.")
    if len(exact) and (exact.min() < column.flats[0].lower or exact.max() > column.flats[0].upper):
        warnings.warn(
            f"conditions asks for numbers outside the learned range of {column.name!r} ({column.flats[0].lower:g} to "
            f"{column.flats[0].upper:g}); the nearest records are used.",
            stacklevel=6,
        )
    return pd.Series(found)


def _split(value: object, separator: str) -> set[str]:
    """Return the labels of one joined string."""
    return {part.strip() for part in str(value).split(separator) if part.strip()}


def _as_category(value: Any) -> str | None:
    """Return a category as the table holds it: numbers without a trailing ``.0``."""
    if value is None or value is pd.NA or value != value:
        return None
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)
