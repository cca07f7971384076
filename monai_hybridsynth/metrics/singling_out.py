"""Singling out: does a description taken from synthetic rows fit exactly one real patient?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Condition", "Predicate", "fits", "multivariate_predicates", "singled_out", "univariate_predicates"]

Columns = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Condition:
    """One part of a description: a column, a comparison (``==``, ``<=``, ``>=`` or ``missing``) and a value."""

    column: str
    comparison: str
    value: float | str = 0.0

    def holds(self, columns: Columns) -> np.ndarray:
        """Return in which rows it holds, bool ``(rows,)``."""
        values = columns[self.column]
        numeric = values.dtype.kind == "f"
        if self.comparison == "missing":
            return np.isnan(values) if numeric else values == ""
        if self.comparison == "==":
            return values == self.value
        return values <= self.value if self.comparison == "<=" else values >= self.value


Predicate = tuple[Condition, ...]


def fits(predicate: Predicate, columns: Columns) -> np.ndarray:
    """Return which rows fit every condition, bool ``(rows,)``."""
    return np.logical_and.reduce([condition.holds(columns) for condition in predicate])


def univariate_predicates(columns: Columns) -> list[Predicate]:
    """Return descriptions of one column that fit exactly one distinct synthetic row: rare values and extremes.

    Args:
        columns: synthetic values by column, ``(rows,)`` each: float64 with NaN for missing, or text with ``""``.
    """
    found: list[Predicate] = []
    for name, values in columns.items():
        candidates = [Condition(name, "missing")]
        numeric = values.dtype.kind == "f"
        known = values[~np.isnan(values)] if numeric else values[values != ""]
        if numeric and known.size:
            candidates += [Condition(name, "<=", float(known.min())), Condition(name, ">=", float(known.max()))]
        levels, counts = np.unique(known, return_counts=True)
        rare = levels[counts == 1]
        candidates += [Condition(name, "==", float(value) if numeric else str(value)) for value in rare]
        found += [(condition,) for condition in candidates if condition.holds(columns).sum() == 1]
    return found


def multivariate_predicates(columns: Columns, *, count: int, seed: int, most_columns: int = 6) -> list[Predicate]:
    """Return descriptions of several columns, each read off a synthetic row and fitting no other distinct row.

    A number is compared on the side of its median where the row lies, or for equality; each with probability one half.

    Args:
        columns: distinct synthetic rows, as in :func:`univariate_predicates`.
        count: descriptions tried; those that fit several synthetic rows are dropped.
        seed: which rows, columns and comparisons.
        most_columns: columns in one description at most, at least two.
    """
    names = list(columns)
    rows = len(columns[names[0]]) if names else 0
    if len(names) < 2 or rows == 0:
        return []
    rng = np.random.default_rng(seed)
    numeric = {name: values.dtype.kind == "f" for name, values in columns.items()}
    medians = {n: np.nanmedian(v) if numeric[n] and not np.isnan(v).all() else 0.0 for n, v in columns.items()}
    found = []
    for _ in range(count):
        row = int(rng.integers(rows))
        chosen = rng.permutation(len(names))[: int(rng.integers(2, min(most_columns, len(names)) + 1))]
        conditions = []
        for name in (names[place] for place in np.sort(chosen)):
            value = columns[name][row]
            if (numeric[name] and np.isnan(value)) or value == "":
                conditions.append(Condition(name, "missing"))
            elif numeric[name] and rng.random() < 0.5:
                conditions.append(Condition(name, ">=" if value > medians[name] else "<=", float(value)))
            else:
                conditions.append(Condition(name, "==", value))
        if fits(tuple(conditions), columns).sum() == 1:
            found.append(tuple(conditions))
    return found


def singled_out(
    predicates: Sequence[Predicate], columns: Columns, groups: np.ndarray, *, num_patients: int
) -> np.ndarray:
    """Return how often each patient is the only one who fits, in draws of ``num_patients``, shape ``(patients,)``.

    Descriptions single out more easily in small cohorts, so cohorts are compared at one size: among the ``m`` patients
    who fit, one who was drawn stands alone if none of the other ``m - 1`` is among the other ``num_patients - 1``
    drawn, which has a hypergeometric probability; no drawing is needed.

    Args:
        predicates: descriptions.
        columns: real values by column.
        groups: patient of each row; a patient fits if one of the rows does.
        num_patients: size that is compared at, at most the patients there are.

    Returns:
        For each patient (in sorted order) the share of descriptions, times ``num_patients``: the mean over patients is
        the share of descriptions that single somebody out in a draw of that size.

    Raises:
        ValueError: without descriptions, or if fewer patients are there than ``num_patients``.
    """
    from scipy import stats

    codes = np.unique(np.asarray(groups), return_inverse=True)[1].reshape(-1)
    patients = int(codes.max()) + 1
    if not predicates or not 1 <= num_patients <= patients:
        raise ValueError(
            f"got {len(predicates)} predicates and num_patients {num_patients}; give at least one predicate and a size "
            f"of 1 ... {patients} patients."
        )
    total = np.zeros(patients)
    for predicate in predicates:
        who = np.unique(codes[fits(predicate, columns)])
        if who.size:
            total[who] += stats.hypergeom.pmf(0, patients - 1, who.size - 1, num_patients - 1)
    return total / len(predicates) * num_patients
