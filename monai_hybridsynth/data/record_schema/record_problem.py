"""One thing wrong with a cohort, and the error that lists all of them together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["CohortError", "RecordProblem"]

_MOST_LISTED = 40


@dataclass(frozen=True)
class RecordProblem:
    """Where a cohort cannot be read safely, and what to do about it.

    Args:
        message: what is wrong, in one clause.
        remedy: what the person who owns the data can do.
        file: the file the problem is in, as the person knows it.
        row: the row as a spreadsheet shows it (the header is row 1), when there is one.
        column: the column's name, when there is one.
        value: the offending value as written, when there is one.
    """

    message: str
    remedy: str = ""
    file: str = ""
    row: int | None = None
    column: str | None = None
    value: str | None = None

    def __str__(self) -> str:
        """Return one line that names file, row, column, value and remedy."""
        place = [self.file] if self.file else []
        if self.row is not None:
            place.append(f"row {self.row}")
        if self.column is not None:
            place.append(f"column {self.column!r}")
        where = ", ".join(place) + ": " if place else ""
        value = f"{self.value!r} " if self.value is not None else ""
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"{where}{value}{self.message}{remedy}"


class CohortError(ValueError):
    """A cohort that cannot be read safely; ``problems`` holds every reason, not only the first."""

    def __init__(self, problems: Iterable[RecordProblem]):
        self.problems = list(problems)
        lines = [f"- {problem}" for problem in self.problems[:_MOST_LISTED]]
        if len(self.problems) > _MOST_LISTED:
            lines.append(f"- and {len(self.problems) - _MOST_LISTED} more like these")
        count = len(self.problems)
        super().__init__(f"{count} problem{'s' if count != 1 else ''} found:\n" + "\n".join(lines))
