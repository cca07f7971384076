"""Records that keep the rules between columns: what breaks one is drawn again, image and row together."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd

from monai_hybridsynth.fusion.conditioning import Conditions, FixedColumns
from monai_hybridsynth.fusion.table_layout import TableLayout
from monai_hybridsynth.transforms.column_encoding import MISSING

__all__ = ["Draw", "draw_records"]

Draw = Callable[[FixedColumns | None, int, np.random.Generator], pd.DataFrame]
# Candidates of a record that broke a rule, round by round; 511 in all.
CANDIDATES_PER_ROUND = (1, 2, 4, 8, 16, 32, 64, 128, 256)
BLOCK = 8192


def draw_records(
    draw: Draw, layout: TableLayout, num_records: int, *, conditions: Conditions | None, seed: int
) -> pd.DataFrame:
    """Draw records in which no rule between columns is broken.

    A record that breaks a rule is rejected as a whole and drawn again, its fixed columns kept. So rows and images that
    come back are the model's own, given that the rules are kept; without rules nothing is drawn twice. Where all 512
    candidates of a record break a rule, the value that breaks it is set to missing, with a warning, if missing values
    were learned for its column.

    Args:
        draw: a model's draws, ``(fixed columns, number of records, random numbers) -> records``; each record is a draw
            of its own.
        layout: of the fitted table; holds the rules.
        num_records: how many.
        conditions: one value per column for all records, or a table with one row per record.
        seed: the same seed gives the same records.

    Raises:
        ValueError: if the conditions break a rule themselves, or a record cannot keep one.
    """
    fixed = FixedColumns.read(conditions, layout, num_records)
    rng = np.random.default_rng(seed)
    if fixed is not None:
        _refuse_broken_conditions(fixed, layout)
    records = _drawn(draw, fixed, num_records, rng)
    waiting = np.flatnonzero(layout.rules.broken(records).any(axis=0))
    for count in CANDIDATES_PER_ROUND:
        others = []
        for rows in np.array_split(waiting, max(1, len(waiting) * count // BLOCK)) if len(waiting) else ():
            asked = np.repeat(rows, count)
            tried = _drawn(draw, None if fixed is None else fixed.take(asked), len(asked), rng)
            kept = ~layout.rules.broken(tried).any(axis=0).reshape(len(rows), count)
            found = np.flatnonzero(kept.any(axis=1))
            others.append(tried.iloc[count * found + kept[found].argmax(axis=1)].set_axis(rows[found]))
        records = _replaced(records, others)
        waiting = np.setdiff1d(waiting, [row for part in others for row in part.index])
    return _without_broken(records, layout, fixed) if len(waiting) else records


def _drawn(draw: Draw, fixed: FixedColumns | None, num_records: int, rng: np.random.Generator) -> pd.DataFrame:
    """Return drawn records with the fixed values in place."""
    records = draw(fixed, num_records, rng)
    return records if fixed is None else fixed.write_into(records)


def _replaced(records: pd.DataFrame, others: list[pd.DataFrame]) -> pd.DataFrame:
    """Return the records with others in the place of those with the same index, dtypes kept."""
    if not others:
        return records
    new = pd.concat(others)
    joined = pd.concat([records[~records.index.isin(new.index)], new]).sort_index()
    return joined.astype({name: str(dtype) for name, dtype in records.dtypes.items()})


def _refuse_broken_conditions(fixed: FixedColumns, layout: TableLayout) -> None:
    """Raise an error if values that are asked for together break a rule."""
    for number, broken in enumerate(layout.rules.broken(fixed.values)):
        if broken.any():
            row = int(np.flatnonzero(broken)[0])
            raise ValueError(
                f"conditions of record {row} break {layout.rules.told_of_row(number, fixed.values, row)}; change the "
                "conditions, or the rule in the cohort's schema.json and fit again."
            )


def _without_broken(records: pd.DataFrame, layout: TableLayout, fixed: FixedColumns | None) -> pd.DataFrame:
    """Set values that still break a rule to missing, where that state was learned and nobody asked for another."""
    asked = () if fixed is None else fixed.values.columns
    may_be_missing = [
        name
        for name in layout.encoder.names
        if name not in asked and {"missing", MISSING} & set(layout.encoder.column(name).flats[-1].categories or ())
    ]
    records, counts = layout.rules.blank_broken(records, may_be_missing=may_be_missing)
    tries = 1 + sum(CANDIDATES_PER_ROUND)
    for number, broken in enumerate(layout.rules.broken(records)):
        if broken.any():
            raise ValueError(
                f"all {tries} candidates of {int(broken.sum())} of {len(records)} records break a rule, at the last "
                f"{layout.rules.told(number)}; fix fewer columns, or correct the rule in the cohort's schema.json and "
                "fit again."
            )
    told = "; ".join(f"{count} of {name!r} by {layout.rules.told(number)}" for (number, name), count in counts.items())
    warnings.warn(
        f"all {tries} candidates of some of {len(records)} records break a rule; values were set to missing instead: "
        f"{told}. Fix fewer columns, or see whether the rule holds in the real cohort.",
        stacklevel=4,
    )
    return records
