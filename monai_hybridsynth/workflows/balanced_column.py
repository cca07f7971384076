"""As many records of every category of a column: what is asked of each record, and draws that have a label or not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from monai_hybridsynth.data import RecordField, RecordSchema
from monai_hybridsynth.fusion import RecordSynthesizer

__all__ = ["BalancedColumn"]

LARGEST_DRAW = 16_384
MOST_DRAWN = 1 << 20


class BalancedColumn:
    """Ask for the categories of a column in turn, so that every one is as frequent as the others.

    A rare outcome is so drawn as often as a common one, everything else given it. The categories are those of the
    published schema; missing values are not asked for. What record ``n`` is asked for depends on ``n`` alone.

    Args:
        balance: a binary, categorical or ordinal column; or ``column=label``, for records with and without one label of
            a multi-label column.
        schema: of the fitted cohort.

    Raises:
        ValueError: if there is no such column or label, or nothing to balance; it names what can be balanced.
    """

    def __init__(self, balance: str, schema: RecordSchema) -> None:
        fields = [schema[name] for name in schema.feature_names]
        entry = next((field for field in fields if field.name == balance), None)
        labelled = next((field for field in fields if balance.startswith(f"{field.name}=")), None)
        field = entry or labelled
        choices = [choice for one in fields for choice in _choices(one)]
        if field is None or balance not in choices:
            raise ValueError(f"balance is {balance!r}, {_reason(field, entry)}; balance one of {choices}.")
        self.name = balance
        self.field: RecordField = field
        self.label = None if entry else balance[len(field.name) + 1 :]
        self.categories: tuple[Any, ...] = (True, False) if self.label else field.enum or ()

    def asked(self, start: int, size: int) -> pd.DataFrame:
        """Return one column of what records ``start ... start + size - 1`` are asked for."""
        turn = (start + np.arange(size)) % len(self.categories)
        return pd.DataFrame({self.name: np.array(self.categories, dtype=object)[turn]})

    def describe(self, num_records: int) -> dict[str, Any]:
        """Return what the manifest says: the column, and the shares of its categories that were asked for."""
        names = ("with", "without") if self.label else self.categories
        counts = {name: len(range(place, num_records, len(names))) for place, name in enumerate(names)}
        return {"column": self.name, "shares": {name: round(n / num_records, 4) for name, n in counts.items()}}

    def draw(
        self, synthesizer: RecordSynthesizer, num_records: int, *, conditions: pd.DataFrame, seed: int
    ) -> pd.DataFrame:
        """Draw records that have what is asked for.

        A category is a fixed value like any other. A label alone is not: a value is the set of all labels of a record.
        So records are drawn until enough have the label and enough have not; sets and images are the model's own.

        Args:
            synthesizer: fitted.
            num_records: how many.
            conditions: the asked column, and others, which are the same for all records.
            seed: the same seed gives the same records.

        Raises:
            ValueError: if the model draws the label, or records without it, too rarely.
        """
        if self.label is None:
            return synthesizer.sample(num_records, conditions=conditions, seed=seed)
        wanted = conditions[self.name].to_numpy(dtype=bool)
        others = conditions.drop(columns=self.name)
        need = {True: int(wanted.sum()), False: int((~wanted).sum())}
        kept: dict[bool, list[pd.DataFrame]] = {True: [], False: []}
        drawn, count = 0, num_records
        while any(need.values()):
            if drawn >= MOST_DRAWN:
                words = "with" if need[True] else "without"
                raise ValueError(
                    f"balance is {self.name!r}, but among {drawn} draws too few are {words} it; fit on a cohort with "
                    "more such patients, or balance another column."
                )
            entropy = np.random.SeedSequence([seed, drawn]).generate_state(1)
            same = others.iloc[np.zeros(count, dtype=int)].reset_index(drop=True)
            records = synthesizer.sample(count, conditions=same, seed=int(entropy[0]))
            has = self._has_label(records)
            for side in (True, False):
                found = records[has == side].iloc[: need[side]]
                kept[side].append(found)
                need[side] -= len(found)
            drawn, count = drawn + count, min(2 * count, LARGEST_DRAW)
        both = pd.concat([*kept[True], *kept[False]], ignore_index=True)
        # The n-th record that is asked to have the label is the n-th one kept with it.
        return both.iloc[np.argsort(np.argsort(~wanted, kind="stable"))].reset_index(drop=True)

    def _has_label(self, records: pd.DataFrame) -> np.ndarray:
        """Return True and False per record, None where the column is missing."""
        values = records[self.field.name]
        found = [None if pd.isna(value) else self.label in str(value).split(self.field.separator) for value in values]
        return np.array(found, dtype=object)


def _choices(field: RecordField) -> list[str]:
    """Return by what a column can be balanced."""
    if field.kind == "multilabel":
        return [f"{field.name}={label}" for label in field.enum or ()]
    return [field.name] if len(field.enum or ()) > 1 else []


def _reason(field: RecordField | None, whole: RecordField | None) -> str:
    """Return why a column cannot be balanced."""
    if field is None:
        return "which is no modelled column"
    if field.is_numeric:
        return f"but {field.name!r} holds numbers"
    if whole is None:
        known = ", ".join(field.enum or ()) or "none"
        kind = "labels" if field.kind == "multilabel" else "no labels but categories"
        return f"but {field.name!r} holds {kind}: {known}"
    if field.kind == "multilabel":
        return f"but {field.name!r} holds several labels at once"
    return f"but the schema lists fewer than two categories that enough patients have: {list(field.enum or ())}"
