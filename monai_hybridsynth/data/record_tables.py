"""Read ``records.csv`` or ``records.parquet`` without guessing: encoding, delimiter, ragged rows, repeated names.

A byte-order mark, semicolons or tabs have one safe reading each, which is taken and noted. What has none is a problem
that names the row and column.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from .record_schema import CohortError, RecordProblem

__all__ = ["RecordTable", "read_record_table"]

_FILE_NAMES = ("records.csv", "records.parquet")
_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}


@dataclass(frozen=True)
class RecordTable:
    """A raw table as its file holds it.

    Attributes:
        table: text for a CSV, typed columns for Parquet; a plain index.
        rows: each row's number as a spreadsheet shows it; the header is row 1.
        file: the file's name, for messages.
        notes: readings that needed a decision.
    """

    table: pd.DataFrame
    rows: Sequence[int]
    file: str
    notes: list[str] = field(default_factory=list)


def read_record_table(folder: str | Path) -> RecordTable:
    """Return the raw table of a cohort folder.

    Args:
        folder: holds ``records.csv`` or ``records.parquet``, not both.

    Raises:
        CohortError: if there is no table, two of them, or one that has no safe reading; all problems at once.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise CohortError([RecordProblem("is no folder", "give the folder that holds records.csv", file=str(folder))])
    found = [name for name in _FILE_NAMES if (folder / name).is_file()]
    if len(found) != 1:
        wrong = "holds both records.csv and records.parquet" if found else "holds no records.csv or records.parquet"
        remedy = (
            "remove one of them" if found else "add a table with one row per image; its column 'image' names the file"
        )
        raise CohortError([RecordProblem(wrong, remedy, file=str(folder))])
    path = folder / found[0]
    raw = _read_csv(path) if path.suffix == ".csv" else _read_parquet(path)
    if not len(raw.table):
        raise CohortError([RecordProblem("holds no records", "add one row per image", file=raw.file)])
    return raw


def _read_parquet(path: Path) -> RecordTable:
    try:
        table = pd.read_parquet(path)
    except Exception as error:
        # pyarrow raises types of its own for damaged files.
        reason = str(error).splitlines()[0]
        raise CohortError([RecordProblem(f"cannot be read ({reason})", "export it again", file=path.name)]) from error
    table = table.reset_index(drop=isinstance(table.index, pd.RangeIndex) or table.index.name is None)
    table.columns = [str(name) for name in table.columns]
    problems = _name_problems(list(table.columns), path.name)
    if problems:
        raise CohortError(problems)
    return RecordTable(table, range(2, len(table) + 2), path.name)


def _read_csv(path: Path) -> RecordTable:
    text, notes = _decode(path.read_bytes(), path.name)
    if not text.strip():
        raise CohortError([RecordProblem("is empty", "add a header and one row per image", file=path.name)])
    delimiter = _delimiter(text)
    if delimiter != ",":
        notes.append(f"{path.name} is separated by {_DELIMITERS[delimiter]}; read as such")
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        problem = RecordProblem(
            f"is no valid CSV ({error})", "close every quotation mark and export it again", file=path.name
        )
        raise CohortError([problem]) from error
    header = [name.strip() for name in lines[0]]
    for position, name in enumerate(header):
        if not name:
            header[position] = f"column_{position + 1}"
            notes.append(f"column {position + 1} of {path.name} has no name; called {header[position]!r}")
    problems = _name_problems(header, path.name)
    rows, kept = [], []
    for number, values in enumerate(lines[1:], start=2):
        if not any(value.strip() for value in values):
            continue
        if len(values) != len(header):
            problems.append(
                RecordProblem(
                    f"has {len(values)} values, but the header names {len(header)} columns",
                    f"put values that contain {_DELIMITERS[delimiter]} in quotation marks",
                    file=path.name,
                    row=number,
                    value=delimiter.join(values)[:80],
                )
            )
            continue
        rows.append(number)
        kept.append(values)
    problems += _undecodable(header, rows, kept, path.name)
    if problems:
        raise CohortError(problems)
    blank = len(lines) - 1 - len(rows)
    if blank:
        notes.append(f"{blank} blank lines of {path.name} passed over")
    return RecordTable(pd.DataFrame(kept, columns=header, dtype=object), rows, path.name, notes)


def _decode(data: bytes, file: str) -> tuple[str, list[str]]:
    """Return the text; bytes that are no UTF-8 become surrogates, so that their cell can be named."""
    for mark, encoding in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if data.startswith(mark):
            try:
                return data.decode(encoding), [f"{file} is UTF-16, as its byte-order mark says; read as such"]
            except UnicodeDecodeError as error:
                problem = RecordProblem(
                    f"begins like UTF-16 but is not ({error.reason})", "save it as UTF-8", file=file
                )
                raise CohortError([problem]) from error
    notes = []
    if data.startswith(b"\xef\xbb\xbf"):
        data = data[3:]
        notes.append(f"{file} begins with a byte-order mark; passed over")
    return data.decode("utf-8", errors="surrogateescape"), notes


def _undecodable(header: list[str], rows: list[int], lines: list[list[str]], file: str) -> list[RecordProblem]:
    problems = []
    for number, values in [(1, header), *zip(rows, lines, strict=True)]:
        for name, value in zip(header, values, strict=True):
            if any("\udc80" <= character <= "\udcff" for character in value):
                shown = value.encode("utf-8", errors="surrogateescape").decode("latin-1")
                column = name.encode("utf-8", errors="surrogateescape").decode("latin-1")
                problems.append(
                    RecordProblem(
                        "is not UTF-8", "save the table as UTF-8", file=file, row=number, column=column, value=shown
                    )
                )
    return problems


def _delimiter(text: str) -> str:
    """Return the delimiter: the one that makes "image" a column, otherwise the commonest in the header."""
    first = text.lstrip("\r\n").splitlines()[0]
    headers = {mark: next(csv.reader([first], delimiter=mark), []) for mark in _DELIMITERS}
    for mark, names in headers.items():
        if "image" in (name.strip() for name in names):
            return mark
    return max(headers, key=lambda mark: len(headers[mark]))


def _name_problems(names: list[str], file: str) -> list[RecordProblem]:
    repeated = sorted({name for name in names if names.count(name) > 1})
    return [
        RecordProblem("names more than one column", "rename or remove one of each", file=file, row=1, column=name)
        for name in repeated
    ]
