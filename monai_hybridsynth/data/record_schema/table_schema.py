"""The schema of a cohort: its columns, its images, and the one way to parse its table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .column_rules import ColumnRules
from .image_settings import ImageSettings
from .record_field import RecordField
from .record_problem import CohortError, RecordProblem
from .rule_reading import read_rules
from .value_parsing import ParsedColumn, as_text, is_missing, parse_column

__all__ = ["ParsedTable", "RecordSchema", "derive_column"]


@dataclass
class ParsedTable:
    """A parsed table with what was found while parsing.

    Attributes:
        table: typed columns, see :meth:`RecordSchema.parse`.
        problems: everything that has no safe reading.
        set_missing: per column, how many invalid values were read as missing.
        notes: per column, readings that needed a decision.
        unknown: columns of the table that the schema does not name; they are left out.
    """

    table: pd.DataFrame
    problems: list[RecordProblem] = field(default_factory=list)
    set_missing: dict[str, int] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)


class RecordSchema:
    """The fields of a cohort's table in order, how its images are read, and the rules between columns.

    Args:
        fields: the columns; names are unique, at most one is the group and one the image.
        image: how images become numbers.
        rules: between columns, as :func:`.rule_reading.read_rules` takes them. A rule about a column that is set aside
            is kept but not checked.

    Example:
        >>> schema = RecordSchema([RecordField("age", "number", kind="continuous", unit="a", minimum=0, maximum=120)])
        >>> schema.parse(pd.DataFrame({"age": ["060Y", ""]}))["age"].tolist()
        [60.0, nan]
    """

    def __init__(
        self,
        fields: Iterable[RecordField],
        image: ImageSettings | None = None,
        rules: ColumnRules | Iterable[Mapping[str, Any]] = (),
    ):
        self.fields = tuple(fields)
        self.image = ImageSettings() if image is None else image
        self._by_name = {entry.name: entry for entry in self.fields}
        if len(self._by_name) != len(self.fields):
            names = [entry.name for entry in self.fields]
            raise ValueError(f"the schema names {sorted({n for n in names if names.count(n) > 1})} more than once.")
        for role in ("group", "image"):
            found = [entry.name for entry in self.fields if entry.role == role]
            if len(found) > 1:
                raise ValueError(f"the schema has several fields of role {role!r}, {found}; keep one.")
        written = rules.to_list() if isinstance(rules, ColumnRules) else rules
        self.rules = read_rules(written, self._by_name)

    def __getitem__(self, name: str) -> RecordField:
        """Return the field of that name."""
        if name not in self._by_name:
            raise KeyError(f"the schema has no field {name!r}; it has {self.names}.")
        return self._by_name[name]

    def __contains__(self, name: object) -> bool:
        """Return whether the schema names a column."""
        return name in self._by_name

    def __iter__(self) -> Iterator[RecordField]:
        """Iterate over the fields in order."""
        return iter(self.fields)

    def __len__(self) -> int:
        """Return the number of fields."""
        return len(self.fields)

    def __eq__(self, other: object) -> bool:
        """Return whether two schemas say the same."""
        return isinstance(other, RecordSchema) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """Show what is modelled."""
        return f"RecordSchema(features={self.feature_names}, targets={self.target_names}, image={self.image.modality})"

    @property
    def names(self) -> list[str]:
        """Every column's name, in order."""
        return [entry.name for entry in self.fields]

    @property
    def feature_names(self) -> list[str]:
        """The columns that a synthesizer models, features and targets, in order."""
        return [entry.name for entry in self.fields if entry.is_modelled]

    @property
    def target_names(self) -> list[str]:
        """The columns of role target, in order."""
        return [entry.name for entry in self.fields if entry.role == "target"]

    @property
    def group_name(self) -> str | None:
        """The column that says which patient a row belongs to, or None."""
        return next((entry.name for entry in self.fields if entry.role == "group"), None)

    @property
    def image_name(self) -> str | None:
        """The column that holds the image's path, or None."""
        return next((entry.name for entry in self.fields if entry.role == "image"), None)

    def with_fields(self, *replacements: RecordField) -> RecordSchema:
        """Return a schema in which the given fields replace those of the same name; new ones are appended."""
        changed = {entry.name: entry for entry in replacements}
        kept = [changed.pop(entry.name, entry) for entry in self.fields]
        return RecordSchema([*kept, *changed.values()], self.image, self.rules)

    def with_image(self, image: ImageSettings) -> RecordSchema:
        """Return the same fields and rules with other image settings."""
        return RecordSchema(self.fields, image, self.rules)

    def to_dict(self) -> dict[str, Any]:
        """Return what ``schema.json`` holds."""
        written = {"version": 1, "fields": [entry.to_dict() for entry in self.fields], "image": self.image.to_dict()}
        return {**written, "rules": self.rules.to_list()} if self.rules else written

    @classmethod
    def from_dict(cls, written: Mapping[str, Any]) -> RecordSchema:
        """Return the schema that ``schema.json`` describes."""
        if not isinstance(written, Mapping) or not isinstance(written.get("fields"), list):
            raise ValueError(
                "a schema is an object with a list 'fields'; compare with the schema.json that prepare writes."
            )
        image = ImageSettings.from_dict(written["image"]) if "image" in written else None
        rules = written.get("rules", [])
        if not isinstance(rules, list):
            raise ValueError(f"'rules' is {rules!r}; give a list of rules.")
        return cls([RecordField.from_dict(entry) for entry in written["fields"]], image, rules)

    def save(self, path: str | Path) -> None:
        """Write ``schema.json``."""
        text = json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)
        Path(path).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> RecordSchema:
        """Read ``schema.json``; whatever is wrong with it is one :class:`CohortError` that names the file."""
        try:
            return cls.from_dict(json.loads(Path(path).read_text(encoding="utf-8-sig")))
        except (OSError, ValueError, TypeError) as error:
            raise CohortError([RecordProblem(str(error), "correct the file or delete it", file=str(path))]) from error

    def parse(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the table with typed columns: image, patient, then what is modelled.

        Args:
            table: raw text as read from a CSV, or typed columns; parsing a parsed table changes nothing. Columns that
                the schema does not name are left out, image and group may be absent.

        Returns:
            continuous columns as float64 (NaN missing, ``-inf`` / ``inf`` beyond a detection limit), integer ones as
            ``Int64``, all others as text (None missing); multi-label values stay joined.

        Raises:
            CohortError: naming every unreadable value and every missing column.
        """
        result = self.examine(table)
        if result.problems:
            raise CohortError(result.problems)
        return result.table

    def examine(self, table: pd.DataFrame, *, source: str = "table", rows: Any = None) -> ParsedTable:
        """Parse without raising, and return the problems beside the table.

        Args:
            table: as for :meth:`parse`.
            source: the file named in problems.
            rows: row numbers named in problems; the index by default.
        """
        result = ParsedTable(pd.DataFrame(index=table.index))
        result.unknown = [str(name) for name in table.columns if name not in self]
        columns: dict[str, pd.Series] = {}
        for name in (self.image_name, self.group_name):
            if name is not None and name in table.columns:
                columns[name] = _text_column(table[name])
        for entry in self.fields:
            if not entry.is_modelled:
                continue
            parsed = self._column(table, entry, source=source, rows=table.index if rows is None else rows)
            columns[entry.name] = parsed.values
            result.problems += parsed.problems
            if parsed.set_missing:
                result.set_missing[entry.name] = parsed.set_missing
            if parsed.notes:
                result.notes[entry.name] = parsed.notes
        result.table = pd.DataFrame(columns, index=table.index)
        self._keep_rules(result, source=source, rows=table.index if rows is None else rows)
        return result

    def _keep_rules(self, result: ParsedTable, *, source: str, rows: Any) -> None:
        """Set what breaks a rule to missing where the fields say so; what still breaks one is a problem."""
        lenient = [entry for entry in self.fields if entry.on_invalid == "missing" and not entry.required]
        may_be_missing = {entry.name for entry in lenient if entry.blank_means is None}
        result.table, counts = self.rules.blank_broken(result.table, may_be_missing=may_be_missing)
        for (number, name), count in counts.items():
            result.set_missing[name] = result.set_missing.get(name, 0) + count
            result.notes.setdefault(name, []).append(f"{count} set to missing by {self.rules.told(number)}")
        for number, rule in self.rules.speaking(result.table):
            remedy = "correct the row or change the rule in schema.json"
            remedy += "" if rule.asks_for_a_value else ", or use --on-invalid missing"
            for name, broken in rule.broken_values(result.table).items():
                for position in np.flatnonzero(broken).tolist():
                    message = f"breaks {self.rules.told_of_row(number, result.table, position)}"
                    problem = RecordProblem(message, remedy, file=source, row=rows[position], column=name)
                    result.problems.append(problem)

    def _column(self, table: pd.DataFrame, entry: RecordField, *, source: str, rows: Any) -> ParsedColumn:
        if entry.name in table.columns:
            return parse_column(table[entry.name], entry, source=source, rows=rows)
        origin = str(entry.derive["from"]) if entry.derive else ""
        if origin in table.columns:
            return ParsedColumn(derive_column(table[origin], entry, self._by_name.get(origin)))
        instead = f", nor {origin!r} to derive it from" if origin else ""
        problem = RecordProblem(
            f"is in the schema but not in the table{instead}",
            "add the column, or remove the field from schema.json",
            file=source,
            column=entry.name,
        )
        return ParsedColumn(pd.Series([None] * len(table), index=table.index, dtype=object), [problem])


def derive_column(values: pd.Series, entry: RecordField, origin: RecordField | None = None) -> pd.Series:
    """Return "yes" / "no" by the rule of a derived field.

    Args:
        values: the source column, raw.
        entry: the derived field.
        origin: the source's own field, for its separator and its missing spellings.
    """
    assert entry.derive is not None
    rule, wanted = entry.derive["rule"], str(entry.derive.get("value", ""))
    origin = origin or RecordField(str(entry.derive["from"]))
    text = as_text(values)
    missing = is_missing(text, origin.missing_values)
    if rule == "is_present":
        return missing.map({True: "no", False: "yes"}).astype(object)
    if rule == "equals":
        chosen = {value: canonical_equal(value, wanted) for value in text[~missing].unique()}
    else:
        separator = origin.separator or entry.separator
        chosen = {
            value: wanted in (part.strip() for part in value.split(separator)) if separator else wanted in value
            for value in text[~missing].unique()
        }
    return pd.Series(
        [None if gone else ("yes" if chosen[value] else "no") for value, gone in zip(text, missing, strict=True)],
        index=values.index,
        dtype=object,
    )


def canonical_equal(value: str, wanted: str) -> bool:
    """Return whether two spellings are the same text or the same number."""
    try:
        return value == wanted or float(value) == float(wanted)
    except ValueError:
        return False


def _text_column(values: pd.Series) -> pd.Series:
    text = as_text(values)
    return text.where(~is_missing(text, ("",)), None)
