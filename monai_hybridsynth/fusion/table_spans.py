"""Flat columns as the spans of numbers that CTGAN reads and writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from monai_hybridsynth.transforms.column_encoding import FlatColumn
from monai_hybridsynth.transforms.published_statistics import published_number, published_shares

__all__ = ["Span", "TableSpans"]

MODE_WIDTH = 4.0


@dataclass
class Span:
    """One flat column in CTGAN's coordinates.

    A discrete column is one softmax over its categories. A number is one tanh, ``(x - mean) / (width * std)``, with a
    softmax over its modes when it has several (mode-specific normalisation, Xu et al. 2019, section 4.2: width 4).

    Attributes:
        name: of the flat column.
        categories: of a discrete column.
        shares: of the categories or of the modes, rounded.
        means, stds: of the modes of a number, rounded.
        lower, upper: limits of a number.
        width: how many standard deviations reach the end of the tanh.
        has_modes: whether a number carries a mode softmax (also with one mode, as upstream has it).
    """

    name: str
    categories: tuple[str, ...] | None = None
    shares: tuple[float, ...] = ()
    means: tuple[float, ...] = ()
    stds: tuple[float, ...] = ()
    lower: float = -np.inf
    upper: float = np.inf
    width: float = MODE_WIDTH
    has_modes: bool = False

    @property
    def is_discrete(self) -> bool:
        """Whether the column is discrete."""
        return self.categories is not None

    @property
    def size(self) -> int:
        """How many outputs the column takes."""
        return len(self.categories) if self.categories is not None else 1 + (len(self.means) if self.has_modes else 0)

    @classmethod
    def discrete(cls, column: FlatColumn) -> Span:
        """Return the span of a discrete column."""
        return cls(column.name, categories=column.categories, shares=column.shares)

    @classmethod
    def number(cls, name: str, *, mean: float, std: float, lower: float, upper: float, width: float) -> Span:
        """Return the span of a number with a single mode and no mode softmax."""
        return cls(name, means=(mean,), stds=(std,), lower=lower, upper=upper, width=width)

    @classmethod
    def mixture(
        cls, name: str, means: np.ndarray, stds: np.ndarray, shares: np.ndarray, *, lower: float, upper: float
    ) -> Span:
        """Return the span of a number with several modes; their statistics are rounded to three digits."""
        return cls(
            name,
            shares=published_shares(shares),
            means=tuple(published_number(float(mean)) for mean in means),
            stds=tuple(published_number(float(std)) or 1e-6 for std in stds),
            lower=lower,
            upper=upper,
            has_modes=True,
        )

    def encode(self, values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return training values in CTGAN's coordinates, shape ``(rows, size)``; a mode is drawn by its probability."""
        if self.categories is not None:
            return (values[:, None] == np.array(self.categories, dtype=object)[None, :]).astype(float)
        means, stds = np.array(self.means), np.array(self.stds)
        clipped = np.clip(values.astype(float), self.lower, self.upper)
        mode = np.zeros(len(clipped), dtype=int)
        if self.has_modes:
            gaps = (clipped[:, None] - means) / stds
            score = np.log(np.array(self.shares)) - np.log(stds) - 0.5 * gaps**2
            mode = (score + rng.gumbel(size=score.shape)).argmax(axis=1)
        scaled = np.clip((clipped - means[mode]) / (self.width * stds[mode]), -0.99, 0.99)
        one_hot = np.eye(len(means))[mode] if self.has_modes else np.zeros((len(values), 0))
        return np.concatenate([scaled[:, None], one_hot], axis=1)


class TableSpans:
    """All spans of a table: their places in the matrix, and the way back from generator outputs to values."""

    def __init__(self, spans: Sequence[Span]) -> None:
        self.spans = list(spans)
        self.size = sum(span.size for span in self.spans)
        self.discrete = [span for span in self.spans if span.is_discrete]
        self.num_categories = sum(span.size for span in self.discrete)
        starts = np.cumsum([0, *[span.size for span in self.spans]])
        self.starts = {span.name: int(start) for span, start in zip(self.spans, starts, strict=False)}
        conditions = np.cumsum([0, *[span.size for span in self.discrete]])
        self.condition_starts = {span.name: int(start) for span, start in zip(self.discrete, conditions, strict=False)}

    def free_conditions(self, num_rows: int, rng: np.random.Generator) -> np.ndarray:
        """Draw the category that each row starts from: a column at random, then a category by its share.

        # Differs from ctgan 0.12.1: the true shares, also when training used log frequencies.
        """
        if not self.discrete:
            return np.full(num_rows, -1)
        columns = rng.integers(len(self.discrete), size=num_rows)
        level = rng.random(num_rows)
        index = np.zeros(num_rows, dtype=int)
        for number, span in enumerate(self.discrete):
            rows = columns == number
            category = np.searchsorted(np.cumsum(span.shares), level[rows] * sum(span.shares), side="right")
            index[rows] = self.condition_starts[span.name] + np.minimum(category, span.size - 1)
        return index

    def condition_index(self, name: str, values: np.ndarray) -> np.ndarray:
        """Return where the given categories of one discrete column stand in the condition vector."""
        span = next(span for span in self.discrete if span.name == name)
        order = {category: index for index, category in enumerate(span.categories or ())}
        return self.condition_starts[name] + np.array([order[value] for value in values], dtype=int)

    def condition_vectors(self, index: np.ndarray) -> torch.Tensor:
        """Return one-hot condition vectors, shape ``(rows, num_categories)``; -1 sets nothing."""
        vectors = torch.zeros(len(index), self.num_categories)
        if self.num_categories:
            rows = np.flatnonzero(index >= 0)
            vectors[torch.from_numpy(rows), torch.from_numpy(index[rows])] = 1.0
        return vectors

    def choose(self, outputs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Turn generator outputs (before activation) into one number per column, shape ``(rows, columns)``.

        A discrete column becomes the position of a category drawn with the softmax probabilities (the largest logit
        after Gumbel noise, as the training's Gumbel softmax has it); a number becomes its value within the limits.
        """
        chosen = np.zeros((len(outputs), len(self.spans)), dtype=np.float64)
        for number, span in enumerate(self.spans):
            start = self.starts[span.name]
            part = outputs[:, start : start + span.size].astype(np.float64)
            if span.is_discrete:
                chosen[:, number] = (part + rng.gumbel(size=part.shape)).argmax(axis=1)
                continue
            mode = np.zeros(len(part), dtype=int)
            if span.has_modes:
                mode = (part[:, 1:] + rng.gumbel(size=part[:, 1:].shape)).argmax(axis=1)
            value = np.tanh(part[:, 0]) * span.width * np.array(span.stds)[mode] + np.array(span.means)[mode]
            chosen[:, number] = np.clip(value, span.lower, span.upper)
        return chosen

    def values(self, chosen: np.ndarray) -> dict[str, np.ndarray]:
        """Return the chosen numbers as flat columns: categories as strings, numbers as float64."""
        columns: dict[str, np.ndarray] = {}
        for number, span in enumerate(self.spans):
            if span.categories is not None:
                columns[span.name] = np.array(span.categories, dtype=object)[chosen[:, number].astype(int)]
            else:
                columns[span.name] = chosen[:, number]
        return columns

    def to_list(self) -> list[dict[str, Any]]:
        """Return the spans as JSON values (an absent limit is null)."""
        entries = [asdict(span) for span in self.spans]
        for entry in entries:
            for name in ("lower", "upper"):
                entry[name] = entry[name] if np.isfinite(entry[name]) else None
        return entries

    @classmethod
    def from_list(cls, entries: Sequence[dict[str, Any]]) -> TableSpans:
        """Rebuild the spans from ``to_list``."""
        spans = []
        for entry in entries:
            values: dict[str, Any] = {
                name: tuple(value) if isinstance(value, list) else value for name, value in entry.items()
            }
            values["lower"] = -np.inf if values["lower"] is None else values["lower"]
            values["upper"] = np.inf if values["upper"] is None else values["upper"]
            spans.append(Span(**values))
        return cls(spans)
