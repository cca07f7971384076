"""Records as vectors of standardised numbers: clinical entries, then image scores; and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from monai_hybridsynth.fusion.conditioning import FixedColumns
from monai_hybridsynth.fusion.label_choice import choose_labels
from monai_hybridsynth.fusion.latent_whitening import LatentWhitening
from monai_hybridsynth.fusion.table_layout import TableLayout
from monai_hybridsynth.fusion.underlying_columns import normal_score
from monai_hybridsynth.transforms.column_encoding import FlatColumn, LabelColumn

__all__ = ["RecordVectors"]

# A category that 2 % have would span seven standard deviations; this floor on its deviation keeps it within four.
LEAST_SPREAD = 0.25
# Nothing outside counts as undecided: a given no stays a no, a given yes a yes.
LIMITS = (0.05, 0.95)
CALIBRATION_STEPS, STEP = 40, 0.8


@dataclass(frozen=True)
class _LabelSet:
    """The entries of a multi-label column.

    Attributes:
        places: of the labels' entries.
        alone: which labels are exclusive.
        always_one: whether no row is without a label.
        missing: the entry that says whether the set is missing, and what it then is; None for a set that never is.
    """

    places: np.ndarray
    alone: np.ndarray
    always_one: bool
    missing: tuple[int, bool] | None


class RecordVectors:
    """The entries of a record vector: per flat clinical column one or several, then the scores of the latents.

    Args:
        layout: of the fitted table.
        whitening: of its latents, None for a table without any.
    """

    def __init__(self, layout: TableLayout, whitening: LatentWhitening | None) -> None:
        self.layout, self.whitening = layout, whitening
        self.columns = layout.encoder.flat_columns
        self.places: list[slice] = []
        start = 0
        for column in self.columns:
            self.places.append(slice(start, start + _width(column)))
            start = self.places[-1].stop
        self.num_clinical = start
        self.size = start + (whitening.num_scores_ if whitening is not None else 0)
        self.centre, self.spread = self._scales()
        self.label_sets = self._label_sets()
        self.thresholds = np.full(self.num_clinical, 0.5)

    def _scales(self) -> tuple[np.ndarray, np.ndarray]:
        """Return centre and spread of every entry; those of a category follow from its published share."""
        centre, spread = np.zeros(self.size), np.ones(self.size)
        for column, place in zip(self.columns, self.places, strict=True):
            if column.categories is not None:
                shares = np.array(column.shares) / sum(column.shares)
                share = shares[1:] if place.stop - place.start == 1 else shares
                centre[place] = share
                spread[place] = np.maximum(np.sqrt(share * (1 - share)), LEAST_SPREAD)
        return centre, spread

    @property
    def blocks(self) -> list[slice]:
        """Entries that are given together: each flat column's, then all scores, which stand for one image."""
        image = [slice(self.num_clinical, self.size)] if self.size > self.num_clinical else []
        return [*self.places, *image]

    def encode(self, flat: pd.DataFrame, latents: np.ndarray) -> np.ndarray:
        """Return vectors, float32 ``(rows, size)``, of flat clinical columns and latents."""
        parts = [_entries(column, flat[column.name].to_numpy()) for column in self.columns]
        if self.whitening is not None:
            parts.append(self.whitening.transform(latents))
        values = np.concatenate(parts, axis=1) if parts else np.zeros((len(flat), 0))
        return ((values - self.centre) / self.spread).astype(np.float32)

    def calibrate(self, vectors: np.ndarray) -> RecordVectors:
        """Set the thresholds so that vectors drawn freely have the published shares of categories and labels.

        A network draws values between no and yes too; cut in the middle, rare categories would become rarer. Thresholds
        stay within `LIMITS`, so that what is given is read as it was given.
        """
        values = np.asarray(vectors, dtype=float) * self.spread + self.centre
        together = np.zeros(self.num_clinical, dtype=bool)
        for column, place in zip(self.columns, self.places, strict=True):
            if column.categories is None:
                continue
            together[place] = _width(column) > 1
            if _width(column) == 1:
                self.thresholds[place] = np.quantile(values[:, place.start], 1 - self.centre[place.start])
        for labels in self.label_sets:
            together[labels.places] = True
        # Which of several has a row is decided by all their thresholds together.
        scale, wanted = values.std(axis=0)[: self.num_clinical], normal_score(self.centre[: self.num_clinical])
        for _ in range(CALIBRATION_STEPS):
            shift = scale * (normal_score(self._hits(values).mean(axis=0)) - wanted)
            self.thresholds = np.clip(self.thresholds + STEP * np.where(together, shift, 0.0), *LIMITS)
        self.thresholds = self.thresholds.round(3)
        return self

    def decode(self, vectors: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
        """Return the records that vectors ``(rows, size)`` stand for, the table's columns in its order."""
        values = np.asarray(vectors, dtype=float) * self.spread + self.centre
        hits = self._hits(values)
        flat: dict[str, Any] = {}
        for column, place in zip(self.columns, self.places, strict=True):
            if column.categories is None:
                number = values[:, place.start] * column.spread + column.centre
                flat[column.name] = np.clip(number, column.lower, column.upper)
                continue
            drawn = hits[:, place.start].astype(int) if _width(column) == 1 else hits[:, place].argmax(axis=1)
            flat[column.name] = np.array(column.categories, dtype=object)[drawn]
        latents = np.zeros((len(values), 0))
        if self.whitening is not None:
            latents = self.whitening.inverse(values[:, self.num_clinical :], rng)
        return self.layout.join(pd.DataFrame(flat, index=range(len(values))), latents)

    def _hits(self, values: np.ndarray) -> np.ndarray:
        """Return which categories and labels rows of entries have, boolean ``(rows, clinical entries)``."""
        margins = values[:, : self.num_clinical] - self.thresholds
        hits = margins > 0
        for column, place in zip(self.columns, self.places, strict=True):
            if _width(column) > 1:
                hits[:, place] = np.eye(_width(column), dtype=bool)[margins[:, place].argmax(axis=1)]
        for labels in self.label_sets:
            nearness = margins[:, labels.places] / self.spread[labels.places]
            found = choose_labels(nearness, alone=labels.alone, always_one=labels.always_one)
            if labels.missing is not None:
                entry, on = labels.missing
                found &= hits[:, [entry]] != on
            hits[:, labels.places] = found
        return hits

    def _label_sets(self) -> list[_LabelSet]:
        """Return the multi-label columns of which a label varies."""
        places = {part.name: place.start for part, place in zip(self.columns, self.places, strict=True)}
        found = []
        for name in self.layout.encoder.names:
            column = self.layout.encoder.column(name)
            if not isinstance(column, LabelColumn):
                continue
            varying = [label for label in column.labels if f"{name}={label}" in places]
            state = column.flats[-1]
            missing = None
            if state.name in places:
                missing = places[state.name], (state.categories or ()).index("missing") == 1
            if varying:
                found.append(
                    _LabelSet(
                        np.array([places[f"{name}={label}"] for label in varying]),
                        np.array([label in column.exclusive for label in varying]),
                        column.needs_label,
                        missing,
                    )
                )
        return found

    def known(self, fixed: FixedColumns | None, num_records: int) -> tuple[np.ndarray, np.ndarray]:
        """Return given entries and where they stand, float32 ``(rows, size)`` each; zeros where nothing is given.

        Some latents only, not all, are turned into the scores expected for them, which is exact when the scores are
        normal and the left-over part is small.
        """
        values, mask = np.zeros((num_records, self.size)), np.zeros((num_records, self.size), dtype=np.float32)
        if fixed is None:
            return values.astype(np.float32), mask
        for column, place in zip(self.columns, self.places, strict=True):
            if column.name in fixed.flat.columns:
                values[:, place] = _entries(column, fixed.flat[column.name].to_numpy())
                mask[:, place] = 1
        names = self.layout.latent_names
        given = [place for place, name in enumerate(names) if name in fixed.values.columns]
        if given and self.whitening is not None:
            found = fixed.values[[names[place] for place in given]].to_numpy(dtype=float)
            whole = len(given) == len(names)
            scores = self.whitening.transform(found) if whole else _expected_scores(self.whitening, found, given)
            values[:, self.num_clinical :] = scores
            mask[:, self.num_clinical :] = 1
        return (((values - self.centre) / self.spread) * mask).astype(np.float32), mask


def _width(column: FlatColumn) -> int:
    return 1 if column.categories is None or len(column.categories) == 2 else len(column.categories)


def _entries(column: FlatColumn, values: np.ndarray) -> np.ndarray:
    """Return a flat column's entries ``(rows, width)``: a standardised number, or indicators of categories."""
    if column.categories is None:
        return (np.asarray(values, dtype=float)[:, None] - column.centre) / column.spread
    categories = np.array(column.categories, dtype=object)
    hits = (np.asarray(values, dtype=object)[:, None] == categories[None, :]).astype(float)
    return hits[:, 1:] if len(categories) == 2 else hits


def _expected_scores(whitening: LatentWhitening, found: np.ndarray, given: list[int]) -> np.ndarray:
    """Return the mean of the modelled scores given some latents, all components standard normal beforehand."""
    mixing = whitening.mixing_[given].astype(float)
    noise = np.diag(whitening.residual_[given].astype(float) ** 2 + 1e-6)
    gain = mixing.T @ np.linalg.inv(mixing @ mixing.T + noise)
    return (found - whitening.mean_[given]) @ gain[: whitening.num_scores_].T
