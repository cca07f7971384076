"""Clinical columns as cuts of underlying normal variables: what a value says of them, and what they say of a value."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from scipy.linalg import block_diag
from scipy.special import ndtr, ndtri

from monai_hybridsynth.fusion.label_choice import choose_labels
from monai_hybridsynth.fusion.number_margin import NumberMargin
from monai_hybridsynth.transforms.column_encoding import MISSING

__all__ = [
    "Region",
    "UnderlyingChoice",
    "UnderlyingColumn",
    "UnderlyingLabels",
    "UnderlyingNumber",
    "UnderlyingSteps",
    "column_parts",
    "normal_score",
]

Flat = Mapping[str, np.ndarray]
SMALLEST_SHARE = 1e-4


@dataclass
class Region:
    """Between which limits the underlying values lie that give a column its value, one row per record.

    Attributes:
        lower, upper: ``(rows, variables)``; equal where the value is known exactly, infinite where it says nothing.
    """

    lower: np.ndarray
    upper: np.ndarray

    @classmethod
    def free(cls, rows: int, size: int) -> Region:
        """Return no restriction at all."""
        return cls(np.full((rows, size), -np.inf), np.full((rows, size), np.inf))

    def cut(self, variable: int, above: np.ndarray, below: np.ndarray, threshold: float) -> None:
        """Restrict one variable to above or below a threshold where the masks say so."""
        self.lower[above, variable] = np.maximum(self.lower[above, variable], threshold)
        self.upper[below, variable] = np.minimum(self.upper[below, variable], threshold)


@dataclass
class UnderlyingColumn(ABC):
    """How underlying standard normal variables decide one clinical column; see the kinds below.

    Attributes:
        name: of the clinical column.
        gap: whether a first variable says that the value is missing.
        thresholds: of the variables that are compared with one, ``gap`` first.
    """

    name: str
    gap: bool
    thresholds: list[float]
    kind = ""

    @property
    def size(self) -> int:
        """How many underlying variables the column takes."""
        return len(self.thresholds)

    @property
    def is_number(self) -> list[bool]:
        """Which variables are numbers, whose mean and spread are learned."""
        return [False] * self.size

    @property
    def shared(self) -> np.ndarray:
        """Which variables are expected to depend on an image alike, ``(size, units)``, see `regress_on_scores`."""
        return np.eye(self.size)

    @abstractmethod
    def region(self, flat: Flat, *, fitting: bool = False) -> Region:
        """Return where the underlying values of flat columns lie; ``fitting`` asks for fixed limits only."""

    @abstractmethod
    def decode(self, z: np.ndarray) -> dict[str, np.ndarray]:
        """Return flat columns of underlying values ``(rows, size)``."""

    def calibrate(self, z: np.ndarray) -> None:
        """Move the thresholds until values drawn from the model have the learned shares; here they have them."""
        self.thresholds = [round(threshold, 4) for threshold in self.thresholds]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {"kind": self.kind, **asdict(self)}


@dataclass
class UnderlyingNumber(UnderlyingColumn):
    """A number through its quantiles; beyond a detection limit is the end of the same variable.

    Attributes:
        below, above: shares, among values that are not missing, beyond the detection limits.
        state: flat column of the states; None when there is one state.
        margin: of the number.
    """

    below: float = 0.0
    above: float = 0.0
    state: tuple[str, ...] = ()
    margin: NumberMargin = field(default_factory=lambda: NumberMargin([0.0, 1.0], [0.0, 0.0], 0.0))
    kind = "number"

    @property
    def size(self) -> int:
        """How many underlying variables the column takes."""
        return int(self.gap) + 1

    @property
    def is_number(self) -> list[bool]:
        """Which variables are numbers, whose mean and spread are learned."""
        return [False] * int(self.gap) + [True]

    def region(self, flat: Flat, *, fitting: bool = False) -> Region:
        """Return the limits that flat columns set."""
        rows = len(next(iter(flat.values())))
        state = np.asarray(flat.get(f"{self.name}:state", np.full(rows, self.state[0], dtype=object)))
        found = Region.free(rows, self.size)
        missing = state == "missing"
        if self.gap:
            found.cut(0, missing, ~missing, self.thresholds[0])
        seen, number = state == "value", self.size - 1
        found.cut(number, state == "above", state == "below", 0.0)
        found.lower[state == "above", number] = normal_score(1 - self.above)
        found.upper[state == "below", number] = normal_score(self.below)
        if self.name in flat:
            low, high = self.margin.interval(np.asarray(flat[self.name], dtype=float)[seen])
        else:
            low, high = np.zeros(seen.sum()), np.ones(seen.sum())
        inner = 1 - self.below - self.above
        found.lower[seen, number] = ndtri(self.below + inner * low)
        found.upper[seen, number] = ndtri(self.below + inner * high)
        return found

    def decode(self, z: np.ndarray) -> dict[str, np.ndarray]:
        """Return flat columns of underlying values ``(rows, size)``."""
        level = ndtr(z[:, -1])
        state = np.full(len(z), "value", dtype=object)
        state[level < self.below] = "below"
        state[level > 1 - self.above] = "above"
        if self.gap:
            state[z[:, 0] > self.thresholds[0]] = "missing"
        inner = max(1 - self.below - self.above, 1e-9)
        return {
            self.name: self.margin.quantile(np.clip((level - self.below) / inner, 0.0, 1.0)),
            f"{self.name}:state": state,
        }


@dataclass
class UnderlyingSteps(UnderlyingColumn):
    """A binary or ordinal column: one variable cut into ordered steps.

    Attributes:
        categories: in order, without missing.
        cuts: between them.
    """

    categories: tuple[str, ...] = ()
    cuts: tuple[float, ...] = ()
    kind = "steps"

    @property
    def size(self) -> int:
        """How many underlying variables the column takes."""
        return int(self.gap) + 1

    def region(self, flat: Flat, *, fitting: bool = False) -> Region:
        """Return the limits that flat columns set."""
        values = np.asarray(flat[self.name])
        found = Region.free(len(values), self.size)
        edges = np.array([-np.inf, *self.cuts, np.inf])
        if self.gap:
            found.cut(0, values == MISSING, values != MISSING, self.thresholds[0])
        for number, category in enumerate(self.categories):
            here = values == category
            found.lower[here, -1], found.upper[here, -1] = edges[number], edges[number + 1]
        return found

    def decode(self, z: np.ndarray) -> dict[str, np.ndarray]:
        """Return flat columns of underlying values ``(rows, size)``."""
        values = np.array(self.categories, dtype=object)[np.searchsorted(self.cuts, z[:, -1])]
        if self.gap:
            values[z[:, 0] > self.thresholds[0]] = MISSING
        return {self.name: values}


@dataclass
class UnderlyingChoice(UnderlyingColumn):
    """A nominal column of three categories or more: one variable after the other takes a category or passes it on.

    Attributes:
        categories: the most frequent first; each but the last has a variable, asked only where those before passed.
        shares: of the categories.
    """

    categories: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()
    kind = "choice"

    def region(self, flat: Flat, *, fitting: bool = False) -> Region:
        """Return the limits that flat columns set."""
        values = np.asarray(flat[self.name])
        found = Region.free(len(values), self.size)
        passed = np.ones(len(values), dtype=bool)
        for number, category in enumerate(self.categories[:-1]):
            here = values == category
            found.cut(number, here, passed & ~here, self.thresholds[number])
            passed &= ~here
        return found

    def decode(self, z: np.ndarray) -> dict[str, np.ndarray]:
        """Return flat columns of underlying values ``(rows, size)``."""
        taken = np.concatenate([z > np.array(self.thresholds), np.ones((len(z), 1), dtype=bool)], axis=1)
        return {self.name: np.array(self.categories, dtype=object)[taken.argmax(axis=1)]}

    def calibrate(self, z: np.ndarray) -> None:
        """Move the thresholds until values drawn from the model have the learned shares."""
        left, passed = 1.0, np.ones(len(z), dtype=bool)
        for number, share in enumerate(self.shares[:-1]):
            level = np.clip(1 - share / max(left, SMALLEST_SHARE), SMALLEST_SHARE, 1 - SMALLEST_SHARE)
            self.thresholds[number] = round(float(np.quantile(z[passed, number], level)), 4) if passed.any() else 0.0
            passed &= z[:, number] <= self.thresholds[number]
            left -= share


@dataclass
class UnderlyingLabels(UnderlyingColumn):
    """A multi-label column: every label has its threshold.

    An exclusive label that is drawn stands alone; a row that must have a label has one (`choose_labels`).

    Attributes:
        labels: in order of the variables after ``gap``.
        shares: of all rows.
        exclusive: labels that stand alone.
        always_one: whether no row is without a label.
    """

    labels: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()
    exclusive: tuple[str, ...] = ()
    always_one: bool = False
    kind = "labels"

    @property
    def _alone(self) -> np.ndarray:
        """Which labels stand alone."""
        return np.array([label in self.exclusive for label in self.labels], dtype=bool)

    @property
    def shared(self) -> np.ndarray:
        """All labels, and against them those that stand alone: what shows of one shows of others too."""
        signs = np.where(self._alone, -1.0, 1.0)[:, None]
        return block_diag(np.eye(int(self.gap)), signs) if self.labels else np.eye(self.size)

    def region(self, flat: Flat, *, fitting: bool = False) -> Region:
        """Return the limits that flat columns set."""
        first, alone = int(self.gap), self._alone
        flags = [np.asarray(flat[f"{self.name}={label}"]) == "yes" for label in self.labels]
        hits = np.stack(flags, axis=1) if flags else np.zeros((len(next(iter(flat.values()))), 0), dtype=bool)
        found = Region.free(len(hits), self.size)
        known = np.ones(len(hits), dtype=bool)
        if self.gap:
            known = np.asarray(flat[f"{self.name}:state"]) != "missing"
            found.cut(0, ~known, known, self.thresholds[0])
        by_itself = known & (hits & alone).any(axis=1)
        for number in range(len(self.labels)):
            # What an exclusive label hides is not known, but the fit reads it as absent: as the shares count it.
            open_rows = known if alone[number] or fitting else known & ~by_itself
            above, below = open_rows & hits[:, number], open_rows & ~hits[:, number]
            found.cut(first + number, above, below, self.thresholds[first + number])
        return found

    def decode(self, z: np.ndarray) -> dict[str, np.ndarray]:
        """Return flat columns of underlying values ``(rows, size)``."""
        hits = self._hits(z)
        flat = {
            f"{self.name}={label}": np.where(hits[:, number], "yes", "no").astype(object)
            for number, label in enumerate(self.labels)
        }
        missing = z[:, 0] > self.thresholds[0] if self.gap else np.zeros(len(z), dtype=bool)
        return flat | {f"{self.name}:state": np.where(missing, "missing", "value").astype(object)}

    def calibrate(self, z: np.ndarray) -> None:
        """Move the thresholds until values drawn from the model have the learned shares."""
        first = int(self.gap)
        for _ in range(40):
            for number, found in enumerate(self._hits(z).mean(axis=0)):
                self.thresholds[first + number] += 0.8 * float(normal_score(found) - normal_score(self.shares[number]))
        self.thresholds = [round(threshold, 4) for threshold in self.thresholds]

    def _hits(self, z: np.ndarray) -> np.ndarray:
        """Return which labels each row has, ``(rows, labels)``."""
        first = int(self.gap)
        margins = z[:, first:] - np.array(self.thresholds[first:])
        hits = choose_labels(margins, alone=self._alone, always_one=self.always_one)
        if self.gap:
            hits[z[:, 0] > self.thresholds[0]] = False
        return hits


def column_parts(
    columns: Sequence[UnderlyingColumn], drawn: np.ndarray
) -> Iterator[tuple[UnderlyingColumn, np.ndarray]]:
    """Yield every column with its variables, of ``(rows, variables of all columns, perhaps more)``."""
    start = 0
    for column in columns:
        yield column, drawn[:, start : start + column.size]
        start += column.size


def normal_score(share: Any) -> np.ndarray:
    """Return the standard normal value below which a share lies, kept finite."""
    return ndtri(np.clip(share, SMALLEST_SHARE, 1 - SMALLEST_SHARE))
