"""How far a candidate of a table model is from the columns that were fixed."""

from __future__ import annotations

import numpy as np

from monai_hybridsynth.fusion.conditioning import TOLERANCE, FixedColumns
from monai_hybridsynth.fusion.latent_whitening import LatentWhitening
from monai_hybridsynth.fusion.table_spans import TableSpans

__all__ = ["ConditionTarget"]


class ConditionTarget:
    """The fixed columns in a model's own coordinates.

    Args:
        fixed: requested values, one row per record.
        spans: columns of the model.
        whitening: from scores to latents; None when latents are modelled as they are.
        latent_names: names of all latents.
    """

    def __init__(
        self, fixed: FixedColumns, spans: TableSpans, whitening: LatentWhitening | None, latent_names: list[str]
    ) -> None:
        self.spans = spans
        places = {span.name: number for number, span in enumerate(spans.spans)}
        names = list(fixed.flat.columns)
        self.discrete = [name for name in names if spans.spans[places[name]].is_discrete]
        self.discrete_places = [places[name] for name in self.discrete]
        rows = len(fixed.values)
        index = [spans.condition_index(name, fixed.flat[name].to_numpy()) for name in self.discrete]
        self.index = np.stack(index, axis=1) if index else np.zeros((rows, 0), dtype=int)
        self.wanted = self.index - np.array([spans.condition_starts[name] for name in self.discrete], dtype=int)
        shares = [
            np.array(spans.spans[place].shares)[self.wanted[:, number]]
            for number, place in enumerate(self.discrete_places)
        ]
        self.rarest = np.argsort(np.stack(shares, axis=1), axis=1, kind="stable") if shares else self.index
        numbers = [name for name in names if name not in self.discrete]
        self.number_places = [places[name] for name in numbers]
        self.numbers = fixed.flat[numbers].to_numpy(dtype=float)
        self.number_weights = (
            np.stack([_has_value(fixed, name) for name in numbers], axis=1) if numbers else np.zeros((rows, 0))
        )
        self.number_scales = np.array([_spread(spans, place) for place in self.number_places])
        self._read_latents(fixed, whitening, latent_names, places)

    def start_categories(self, rows: np.ndarray, turn: int, rng: np.random.Generator) -> np.ndarray:
        """Return the category each candidate starts from: the rarest requested one, in later rounds the next."""
        if not self.discrete:
            return self.spans.free_conditions(len(rows), rng)
        return self.index[rows, self.rarest[rows, turn % len(self.discrete)]]

    def cost(self, rows: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        """Return the number of categories that differ plus a distance below one, 0 within the tolerance.

        Args:
            rows: the record each candidate is for.
            chosen: candidates, shape ``(len(rows), spans)``.
        """
        differ = (chosen[:, self.discrete_places].astype(int) != self.wanted[rows]).sum(axis=1)
        gaps = (chosen[:, self.number_places] - self.numbers[rows]) / self.number_scales
        square = (self.number_weights[rows] * gaps**2).sum(axis=1)
        count = self.number_weights[rows].sum(axis=1)
        if self.latents.shape[1]:
            gaps = (
                chosen[:, self.latent_places] @ self.latent_mixing.T + self.latent_mean - self.latents[rows]
            ) / self.latent_scales
            square, count = square + (gaps**2).sum(axis=1), count + gaps.shape[1]
        distance = np.sqrt(square / np.maximum(count, 1))
        return differ + np.where(distance <= TOLERANCE, 0.0, 0.99 * distance / (1 + distance))

    def _read_latents(
        self, fixed: FixedColumns, whitening: LatentWhitening | None, latent_names: list[str], places: dict[str, int]
    ) -> None:
        """Write the requested latents as an affine map of the modelled columns."""
        asked = [number for number, name in enumerate(latent_names) if name in fixed.values.columns]
        self.latents = fixed.values[[latent_names[number] for number in asked]].to_numpy(dtype=float)
        if whitening is None:
            self.latent_places = [places[latent_names[number]] for number in asked]
            self.latent_mixing, self.latent_mean = np.eye(len(asked)), np.zeros(len(asked))
            self.latent_scales = np.array([_spread(self.spans, place) for place in self.latent_places])
            return
        self.latent_places = [place for name, place in places.items() if name.startswith("score:")]
        mixing = whitening.mixing_.astype(float)[asked]
        self.latent_mixing, self.latent_mean = mixing[:, : whitening.num_scores_], whitening.mean_[asked].astype(float)
        self.latent_scales = np.sqrt((mixing**2).sum(axis=1) + whitening.residual_[asked].astype(float) ** 2) + 1e-12


def _has_value(fixed: FixedColumns, name: str) -> np.ndarray:
    """Return 1 where the number is asked for, 0 where only its absence is."""
    state = f"{name}:state"
    if state not in fixed.flat.columns:
        return np.ones(len(fixed.flat))
    return (fixed.flat[state] == "value").to_numpy(dtype=float)


def _spread(spans: TableSpans, place: int) -> float:
    """Return the standard deviation over all modes of a number, modes weighted by their shares."""
    span = spans.spans[place]
    means, stds = np.array(span.means), np.array(span.stds)
    shares = np.array(span.shares if span.shares else [1.0])
    centre = shares @ means
    return float(np.sqrt(shares @ (stds**2 + (means - centre) ** 2)))
