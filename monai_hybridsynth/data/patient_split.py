"""Divide patients, never images, into train and holdout so that each target occurs alike on both sides."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from .record_schema import CohortError, RecordProblem, RecordSchema
from .record_schema.value_parsing import as_text, is_missing

__all__ = [
    "SPLIT_SIDES",
    "given_split",
    "is_stratified_split",
    "note_split",
    "split_patients",
    "target_classes",
]

SPLIT_SIDES = ("train", "holdout")
_NUMBER_CLASSES = 4
_DECISIVE = 1e9


def split_patients(
    patients: Iterable[str], classes: pd.DataFrame | None = None, *, holdout: float = 0.25, seed: int = 0
) -> pd.Series:
    """Assign whole patients to a side.

    The rarest class is dealt first, each of its patients to the side that still lacks most of it, so that a class with
    two patients has one on either side; what is left evens out the sizes.

    Args:
        patients: patient of each row.
        classes: one row per row of ``patients``, one boolean column per class; a patient has the classes of any row.
        holdout: share of the patients that is held out.
        seed: decides between equals.

    Returns:
        "train" or "holdout" per row.

    Raises:
        ValueError: if ``holdout`` is no share, or there are fewer than two patients.

    Source:
        Iterative stratification, Sechidis et al. 2011, https://doi.org/10.1007/978-3-642-23808-6_10. Differs from the
        paper: the last patient of a class goes to a side that has none of it, and the number of held-out patients is
        exact.
    """
    rows = pd.Series(list(patients), dtype=object)
    if not 0 < holdout < 1:
        raise ValueError(f"holdout is {holdout}; give the share of patients to hold out, between 0 and 1.")
    names = np.array(sorted(rows.unique()))
    if len(names) < 2:
        raise ValueError(f"there is {len(names)} patient; a split into train and holdout needs at least two.")
    has = np.zeros((len(names), 0), dtype=bool)
    if classes is not None and classes.shape[1]:
        by_patient = classes.reset_index(drop=True).groupby(rows).any()
        has = by_patient.loc[names].to_numpy(dtype=bool)
    held_out = min(max(round(holdout * len(names)), 1), len(names) - 1)
    sides = _deal(has, held_out, np.random.default_rng(seed))
    side_of = dict(zip(names, np.where(sides, SPLIT_SIDES[1], SPLIT_SIDES[0]), strict=True))
    return rows.map(side_of)


def _deal(has: np.ndarray, held_out: int, generator: np.random.Generator) -> np.ndarray:
    """Return which patients are held out.

    Args:
        has: bool ``(patients, classes)``.
        held_out: how many patients to hold out.
        generator: decides between equals.
    """
    count, num_classes = has.shape
    share = held_out / count
    room = np.array([count - held_out, held_out])
    left = has.sum(axis=0)
    lacking = np.stack([left * (1 - share), left * share])
    got = np.zeros_like(lacking)
    side = np.full(count, -1)
    order = generator.permutation(count)
    # The patients of each class, and all of them last; those dealt already are passed over.
    waiting = [iter(order[has[order, number]]) for number in range(num_classes)] + [iter(order)]
    for _ in range(count):
        rarest = int(np.argmin(np.where(left > 0, left, count + 1))) if left.any() else num_classes
        patient = next(one for one in waiting[rarest] if side[one] < 0)
        need = room.astype(float)
        if rarest < num_classes:
            need = lacking[:, rarest] + _last_chances(has[patient], left, got)
        need = np.where(room > 0, need, -np.inf)
        chosen = int(np.lexsort((room, need))[-1])
        side[patient] = chosen
        room[chosen] -= 1
        lacking[chosen] -= has[patient]
        got[chosen] += has[patient]
        left = left - has[patient]
    return side == 1


def _last_chances(classes: np.ndarray, left: np.ndarray, got: np.ndarray) -> np.ndarray:
    """Return a weight for each side: high where a class of this patient, its last one, has not been seen yet."""
    weight = np.zeros(2)
    for number in np.flatnonzero(classes & (left == 1)):
        if got[:, number].min() == 0 < got[:, number].max():
            weight[int(np.argmin(got[:, number]))] += _DECISIVE
    return weight


def target_classes(table: pd.DataFrame, schema: RecordSchema) -> pd.DataFrame:
    """Return one boolean column per class of each target: a category, a label, or a quarter of a number's range.

    The commonest category of a target is left out, since the others decide its share.

    Args:
        table: parsed values.
        schema: says which columns are targets.
    """
    classes: dict[str, pd.Series] = {}
    for name in schema.target_names:
        entry, values = schema[name], table[name]
        if entry.is_numeric:
            numbers = values.astype("float64")
            parts = pd.qcut(numbers.rank(method="first"), _NUMBER_CLASSES, labels=False, duplicates="drop")
            values = parts.map(lambda part: None if pd.isna(part) else f"quarter {int(part) + 1}")
        if entry.kind == "multilabel":
            labels = values.fillna("").str.split(entry.separator, regex=False)
            found = sorted({label for parts in labels for label in parts if label})
            for label in found:
                classes[f"{name}: {label}"] = labels.map(lambda parts, label=label: label in parts)
            continue
        for value in values.value_counts().index[1:]:
            classes[f"{name}: {value}"] = (values == value).fillna(False).astype(bool)
    return pd.DataFrame(classes, index=table.index)


def given_split(values: pd.Series, patients: pd.Series, *, file: str, rows: Iterable[int]) -> pd.Series:
    """Return a split that the cohort brings itself, checked.

    Args:
        values: its column ``split``, raw.
        patients: patient of each row.
        file: the table's name, for messages.
        rows: each row's number, for messages.

    Raises:
        CohortError: if a value is neither "train" nor "holdout", a side is empty, or a patient is on both sides.
    """
    sides = as_text(values)
    sides = sides.where(~is_missing(sides, ("",)), None)
    problems = [
        RecordProblem(
            "is neither 'train' nor 'holdout'" if side else "is blank",
            "correct it, or remove the column to have the patients split",
            file=file,
            row=number,
            column="split",
            value=side,
        )
        for number, side in zip(rows, sides, strict=True)
        if side not in SPLIT_SIDES
    ]
    table = pd.DataFrame({"patient": patients.to_numpy(), "side": sides.to_numpy(), "row": list(rows)})
    for patient, group in table[table["side"].isin(SPLIT_SIDES)].groupby("patient"):
        if group["side"].nunique() > 1:
            first = {side: int(group.loc[group["side"] == side, "row"].iloc[0]) for side in SPLIT_SIDES}
            problems.append(
                RecordProblem(
                    f"is in train (row {first['train']}) and in holdout (row {first['holdout']})",
                    "put all rows of a patient on one side",
                    file=file,
                    row=max(first.values()),
                    column="patient_id",
                    value=str(patient),
                )
            )
    empty = [side for side in SPLIT_SIDES if side not in set(sides.dropna())]
    if empty and not problems:
        problems.append(RecordProblem(f"leaves {empty[0]} empty", "remove the column", file=file, column="split"))
    if problems:
        raise CohortError(problems)
    return pd.Series(sides.to_numpy(), dtype=object)


def note_split(folder: str | Path, *, stratified_by: Sequence[str]) -> None:
    """Add to the ``schema.json`` beside both sides by which targets they were dealt; by none if the cohort said how."""
    path = Path(folder) / "schema.json"
    content = json.loads(path.read_text(encoding="utf-8")) | {"split": {"stratified_by": list(stratified_by)}}
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def is_stratified_split(train: str | Path, holdout: str | Path) -> bool:
    """Return whether both folders are the sides of one split that `split_patients` dealt by targets.

    Of folders that lie apart, or were prepared without a note of it, nothing is known: False.
    """
    sides = Path(train).resolve(), Path(holdout).resolve()
    note = sides[0].parent / "schema.json"
    if tuple(side.name for side in sides) != SPLIT_SIDES or sides[0].parent != sides[1].parent or not note.is_file():
        return False
    return bool(json.loads(note.read_text(encoding="utf-8-sig")).get("split", {}).get("stratified_by"))
