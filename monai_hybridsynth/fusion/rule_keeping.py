"""Records that keep the rules between columns: what breaks one is drawn again, image and row together."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd

from monai_hybridsynth.data.record_schema import ColumnRules
from monai_hybridsynth.data.record_schema.column_rules import ImplicationRule
from monai_hybridsynth.fusion.conditioning import Conditions, FixedColumns, whole_number
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

    A record that breaks a rule is replaced by another draw of the model as a whole, its fixed columns kept: rows and
    images stay as the model pairs them, and without rules nothing is drawn twice. Plain rejection would make rare what
    often breaks a rule, such as intensive care. So the other draw must agree in what the rules ask about (see
    `ColumnRules.premises`), unless that alone breaks a rule or few draws agree: the premises keep their shares.

    Where all candidates of a record break a rule, the value that breaks it is set to missing, with a warning, if
    missing values were learned for its column.

    Args:
        draw: a model's draws, ``(fixed columns, number of records, random numbers) -> records``; any of them may be
            taken alone.
        layout: of the fitted table; holds the rules.
        num_records: how many.
        conditions: one value per column for all records, or a table with one row per record.
        seed: the same seed gives the same records.

    Raises:
        TypeError: if ``num_records`` or ``seed`` is no whole number, or the conditions are neither mapping nor table.
        ValueError: if the conditions break a rule themselves, or a record cannot keep one.
    """
    fixed = FixedColumns.read(conditions, layout, num_records)
    rng = np.random.default_rng(whole_number("seed", seed, least=0))
    if fixed is not None:
        _refuse_broken_conditions(fixed, layout)
    records = _drawn(draw, fixed, num_records, rng)
    waiting = np.flatnonzero(layout.rules.broken(records).any(axis=0))
    wanted = _Wanted(records, fixed, layout.rules) if len(waiting) else None
    for count in CANDIDATES_PER_ROUND:
        if wanted is None or not len(waiting):
            return records
        others = []
        for rows in np.array_split(waiting, max(1, len(waiting) * count // BLOCK)):
            asked = np.repeat(rows, count)
            tried = _drawn(draw, None if fixed is None else fixed.take(asked), len(asked), rng)
            others.append(wanted.choose(rows, asked, tried, strict=count < CANDIDATES_PER_ROUND[-1]))
        records = _replaced(records, others)
        waiting = np.setdiff1d(waiting, [row for part in others for row in part.index])
    return _without_broken(records, layout, fixed) if len(waiting) else records


class _Wanted:
    """What must stay of each record when another draw takes its place.

    Args:
        records: as first drawn.
        fixed: their fixed columns; draws are exchanged between records that fix the same.
        rules: between columns.
    """

    def __init__(self, records: pd.DataFrame, fixed: FixedColumns | None, rules: ColumnRules) -> None:
        self.rules = rules
        self.premises = rules.premises()
        names = [] if fixed is None else list(fixed.values.columns)
        alike = fixed.values.groupby(names, dropna=False, sort=False).ngroup() if fixed is not None else 0
        self.kinds = pd.DataFrame({"fixed": alike, "pattern": self._patterns(records)}, index=records.index)
        held = {premise.column for premise in self.premises}
        stuck = np.zeros(len(records), dtype=bool)
        for broken, rule in zip(rules.broken(records), rules, strict=True):
            if isinstance(rule, ImplicationRule) and set(rule.columns) <= held:
                stuck |= broken
        self.stuck = stuck

    def choose(self, rows: np.ndarray, asked: np.ndarray, tried: pd.DataFrame, *, strict: bool) -> pd.DataFrame:
        """Return the candidates that take the place of some records, indexed by those.

        Args:
            rows: records that wait.
            asked: the record that each candidate was drawn for.
            tried: candidates, ``(len(asked), columns)``.
            strict: whether the premises must agree; a record whose premises break a rule takes any of its own.
        """
        alone = self.stuck | (not strict)
        good = np.flatnonzero(~self.rules.broken(tried).any(axis=0))
        kinds = self.kinds.loc[asked[good]].assign(pattern=self._patterns(tried)[good], place=good)
        places = [self.kinds.loc[rows].assign(row=rows), kinds]
        for part, owners in zip(places, (rows, asked[good]), strict=True):
            part.loc[alone[owners], "pattern"] = ""
            part["owner"] = np.where(alone[owners], owners, -1)
            part["turn"] = part.groupby(["fixed", "pattern", "owner"], sort=False).cumcount()
        found = places[0].merge(places[1], on=["fixed", "pattern", "owner", "turn"])
        return tried.iloc[found["place"]].set_axis(found["row"])

    def _patterns(self, records: pd.DataFrame) -> np.ndarray:
        """Return which premises hold in each record, a text of 0 and 1."""
        found = np.full(len(records), "", dtype=object)
        for premise in self.premises:
            holds, _ = premise.judge(records[premise.column])
            found += np.where(holds, "1", "0").astype(object)
        return found


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
    """Raise an error if values that are asked for together break a rule, whatever is drawn beside them."""
    for number, rule in layout.rules.among(fixed.values.columns):
        broken = np.any(list(rule.broken_values(fixed.values).values()), axis=0)
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
