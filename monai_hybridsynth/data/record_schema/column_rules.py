"""Rules between columns: if one column says A, another says B; and dates that cannot come in another order."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["ColumnCondition", "ColumnRules", "ImplicationRule", "OrderRule"]


@dataclass(frozen=True)
class ColumnCondition:
    """What one column must say: every test holds.

    Attributes:
        column: its name.
        tests: ``equals`` a value, ``in`` a list of values, ``minimum`` or ``maximum`` of a number (inclusive),
            ``contains`` a label, ``is`` ``present`` or ``missing``.
        separator: between the labels of a multi-label column.
    """

    column: str
    tests: Mapping[str, Any]
    separator: str | None = None

    def judge(self, values: pd.Series) -> tuple[np.ndarray, np.ndarray]:
        """Return where the condition surely holds and where it surely fails, bool ``(rows,)`` each.

        A missing value neither holds nor fails, except for ``is``. A value beyond a detection limit is some number
        below (above) every stated one: it keeps a ``maximum`` (``minimum``) and leaves every other test open.
        """
        missing = (values.isna() | (values.astype(object) == "")).to_numpy()
        holds, fails = np.ones(len(values), dtype=bool), np.zeros(len(values), dtype=bool)
        for test, wanted in self.tests.items():
            if test == "is":
                good, known = missing == (wanted == "missing"), np.ones(len(values), dtype=bool)
            else:
                good, known = self._compare(values, test, wanted)
                known &= ~missing
            holds &= good & known
            fails |= ~good & known
        return holds, fails

    def _compare(self, values: pd.Series, test: str, wanted: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return where one test holds, and where that is known."""
        if pd.api.types.is_numeric_dtype(values):
            numbers = values.astype("Float64").to_numpy(dtype=float, na_value=np.nan)
            if test == "minimum":
                return numbers >= wanted, ~np.isneginf(numbers)
            if test == "maximum":
                return numbers <= wanted, ~np.isposinf(numbers)
            return np.isin(numbers, wanted), np.isfinite(numbers)
        texts = values.astype(str)
        if test == "contains":
            return np.array(
                [wanted in text.split(self.separator) for text in texts], dtype=bool
            ), texts.notna().to_numpy()
        return texts.isin([wanted] if test == "equals" else wanted).to_numpy(), texts.notna().to_numpy()

    def within(self, known: Mapping[str, Collection[str] | None]) -> ColumnCondition | None:
        """Return the condition without values that are not known; None when that leaves nothing to meet."""
        values, tests = known[self.column], dict(self.tests)
        if values is None:
            return self
        if "in" in tests:
            tests["in"] = [value for value in tests["in"] if value in values]
        lost = tests.get("in") == [] or any(
            test in tests and tests[test] not in values for test in ("equals", "contains")
        )
        return None if lost else ColumnCondition(self.column, tests, self.separator)

    def to_dict(self) -> dict[str, Any]:
        """Return the condition as it stands in ``schema.json``."""
        return {"column": self.column, **self.tests}

    def __str__(self) -> str:
        """Say it in words."""
        said = {"in": "is one of", "minimum": "is at least", "maximum": "is at most"}
        tests = [
            f"{said.get(test, test)} {wanted if test == 'is' else repr(wanted)}" for test, wanted in self.tests.items()
        ]
        return f"{self.column!r} {' and '.join(tests)}"


@dataclass(frozen=True)
class ImplicationRule:
    """Where the condition holds, the consequence must not fail."""

    condition: ColumnCondition
    consequence: ColumnCondition

    @property
    def columns(self) -> tuple[str, ...]:
        """Both columns; the last is the one that gives way."""
        return self.condition.column, self.consequence.column

    def broken_values(self, table: pd.DataFrame) -> dict[str, np.ndarray]:
        """Return the consequence's column and the rows in which it fails though the condition holds."""
        holds, _ = self.condition.judge(table[self.condition.column])
        _, fails = self.consequence.judge(table[self.consequence.column])
        return {self.consequence.column: holds & fails}

    @property
    def asks_for_a_value(self) -> bool:
        """Whether a missing value breaks the rule."""
        return self.consequence.tests.get("is") == "present"

    def within(self, known: Mapping[str, Collection[str] | None]) -> ImplicationRule | None:
        """Return the rule as it stands where only some values are known; None when it has nothing to say there.

        A consequence that no known value can meet leaves a missing value as the only one that does not fail.
        """
        condition = self.condition.within(known)
        last = self.consequence.column
        consequence = self.consequence.within(known) or ColumnCondition(last, {"is": "missing"})
        return None if condition is None else ImplicationRule(condition, consequence)

    def to_dict(self) -> dict[str, Any]:
        """Return the rule as it stands in ``schema.json``."""
        return {"if": self.condition.to_dict(), "then": self.consequence.to_dict()}

    def __str__(self) -> str:
        """Say it in words."""
        return f"if {self.condition} then {self.consequence}"


@dataclass(frozen=True)
class OrderRule:
    """Numbers that never fall from one column to the next; equal ones are in order.

    Missing values and values beyond a detection limit ask nothing: some number in their place is in order.
    """

    columns: tuple[str, ...]
    asks_for_a_value = False

    def broken_values(self, table: pd.DataFrame) -> dict[str, np.ndarray]:
        """Return, per later column, the rows in which it lies below an earlier one that is in order itself."""
        highest = np.full(len(table), -np.inf)
        found = {}
        for name in self.columns:
            numbers = table[name].astype("Float64").to_numpy(dtype=float, na_value=np.nan)
            found[name] = np.isfinite(numbers) & (numbers < highest)
            highest = np.where(np.isfinite(numbers), np.maximum(highest, numbers), highest)
        return found

    def within(self, known: Mapping[str, Collection[str] | None]) -> OrderRule:
        """Return the rule itself: numbers are not listed."""
        return self

    def to_dict(self) -> dict[str, Any]:
        """Return the rule as it stands in ``schema.json``."""
        return {"ascending": list(self.columns)}

    def __str__(self) -> str:
        """Say it in words."""
        return " <= ".join(repr(name) for name in self.columns)


@dataclass(frozen=True)
class ColumnRules:
    """The rules of a schema in order; a rule speaks where a table has all of its columns."""

    rules: Sequence[ImplicationRule | OrderRule] = field(default_factory=tuple)

    @classmethod
    def from_list(cls, written: Sequence[Mapping[str, Any]], separators: Mapping[str, str | None]) -> ColumnRules:
        """Return rules that ``to_list`` wrote; ``separators`` are those of multi-label columns, by name."""

        def condition(said: Mapping[str, Any]) -> ColumnCondition:
            tests = {name: wanted for name, wanted in said.items() if name != "column"}
            return ColumnCondition(said["column"], tests, separators.get(said["column"]))

        return cls(
            tuple(
                OrderRule(tuple(rule["ascending"]))
                if "ascending" in rule
                else ImplicationRule(condition(rule["if"]), condition(rule["then"]))
                for rule in written
            )
        )

    def __iter__(self) -> Iterator[ImplicationRule | OrderRule]:
        """Iterate over the rules in order."""
        return iter(self.rules)

    def __len__(self) -> int:
        """Return the number of rules."""
        return len(self.rules)

    def speaking(self, table: pd.DataFrame) -> list[tuple[int, ImplicationRule | OrderRule]]:
        """Return the rules, numbered from 0, all of whose columns the table has."""
        return [(n, rule) for n, rule in enumerate(self.rules) if set(rule.columns) <= set(table.columns)]

    def among(self, columns: Collection[str]) -> list[tuple[int, ImplicationRule | OrderRule]]:
        """Return what the rules, numbered from 0, say of some columns whatever the others hold.

        An implication speaks of both of its columns; an order also of two with others between them.
        """
        found: list[tuple[int, ImplicationRule | OrderRule]] = []
        for number, rule in enumerate(self.rules):
            there = tuple(name for name in rule.columns if name in columns)
            if there == rule.columns:
                found.append((number, rule))
            elif isinstance(rule, OrderRule) and len(there) > 1:
                found.append((number, OrderRule(there)))
        return found

    def premises(self) -> list[ColumnCondition]:
        """Return what the rules ask about before they demand anything: conditions, and which values of an order exist.

        A column is asked about, or decided about, as the first rule that names it has it.
        """
        found: list[ColumnCondition] = []
        decided: set[str] = set()
        for rule in self.rules:
            if isinstance(rule, ImplicationRule):
                found += [] if rule.condition.column in decided else [rule.condition]
                decided |= {rule.consequence.column} - {premise.column for premise in found}
        for rule in self.rules:
            if isinstance(rule, OrderRule):
                found += [ColumnCondition(name, {"is": "present"}) for name in rule.columns if name not in decided]
        return found

    def told(self, number: int) -> str:
        """Return a rule in words, numbered as a person counts."""
        return f"rule {number + 1} ({self.rules[number]})"

    def told_of_row(self, number: int, table: pd.DataFrame, position: int) -> str:
        """Return a rule in words, and what the row at a position says of it."""
        row = {name: table[name].iloc[position] for name in self.rules[number].columns if name in table}
        said = {
            name: "missing" if pd.isna(value) else f"{value!r}" if isinstance(value, str) else f"{value:g}"
            for name, value in row.items()
        }
        return f"{self.told(number)}, because " + ", ".join(f"{name!r} is {value}" for name, value in said.items())

    def broken(self, table: pd.DataFrame) -> np.ndarray:
        """Return which rows break each rule, bool ``(rules, rows)``."""
        found = np.zeros((len(self.rules), len(table)), dtype=bool)
        for number, rule in self.speaking(table):
            found[number] = np.any(list(rule.broken_values(table).values()), axis=0)
        return found

    def blank_broken(
        self, table: pd.DataFrame, *, may_be_missing: Collection[str]
    ) -> tuple[pd.DataFrame, dict[tuple[int, str], int]]:
        """Set values that break a rule to missing, where that keeps it: of the consequence, or later in the order.

        Args:
            table: parsed rows; not changed.
            may_be_missing: columns in which a missing value is allowed.

        Returns:
            The table, and how many values were set to missing, by number of the rule (from 0) and column.
        """
        table = table.copy()
        counts: dict[tuple[int, str], int] = {}
        curable = [(number, rule) for number, rule in self.speaking(table) if not rule.asks_for_a_value]
        while True:
            before = sum(counts.values())
            for number, rule in curable:
                for name, rows in rule.broken_values(table).items():
                    if name in may_be_missing and rows.any():
                        table[name] = table[name].mask(rows, None)
                        counts[number, name] = counts.get((number, name), 0) + int(rows.sum())
            # a value that went missing may be what another rule asks about
            if sum(counts.values()) == before:
                return table, counts

    def within(self, known: Mapping[str, Collection[str] | None]) -> ColumnRules:
        """Return the rules between columns that are known, without values that are not.

        Args:
            known: the columns, each with its categories or labels; None where every value is known.
        """
        there = [rule.within(known) for rule in self.rules if set(rule.columns) <= set(known)]
        return ColumnRules(tuple(rule for rule in there if rule is not None))

    def to_list(self) -> list[dict[str, Any]]:
        """Return the rules as they stand in ``schema.json``."""
        return [rule.to_dict() for rule in self.rules]
