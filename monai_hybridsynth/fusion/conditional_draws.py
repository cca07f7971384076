"""Draws from a joint Gaussian with columns fixed: exact for numbers and latents, Gibbs within bounds for categories."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monai_hybridsynth.fusion.conditioning import FixedColumns
from monai_hybridsynth.fusion.gaussian_copula import GaussianCopula, truncated_normal
from monai_hybridsynth.fusion.latent_whitening import LatentWhitening
from monai_hybridsynth.fusion.underlying_columns import Region, UnderlyingColumn

__all__ = ["ConditionalDraws"]

SWEEPS = 25


class ConditionalDraws:
    """Draw underlying variables and latent scores given the fixed columns.

    Args:
        copula: of clinical variables and scores.
        columns: how clinical variables decide clinical columns.
        whitening: from scores to latents; None without latents.
        latent_names: names of all latents.
        fixed: requested values; None for none.
    """

    def __init__(
        self,
        copula: GaussianCopula,
        columns: Sequence[UnderlyingColumn],
        whitening: LatentWhitening | None,
        latent_names: list[str],
        fixed: FixedColumns | None,
    ) -> None:
        self.copula = GaussianCopula(copula.mean.astype(float), copula.covariance.astype(float))
        self.size = sum(column.size for column in columns)
        self.fixed = fixed
        self.root: np.ndarray | None = None
        if fixed is None:
            self.root = self.copula.root()
            return
        self._read_clinical(columns, fixed)
        self._read_latents(whitening, latent_names, fixed)

    def draw(self, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return draws for the records ``rows``, shape ``(rows, clinical variables + scores)``."""
        if self.root is not None:
            return self.copula.mean + rng.standard_normal((len(rows), len(self.root))) @ self.root.T
        drawn = np.zeros((len(rows), len(self.copula.mean)))
        exact = self.lower[rows] == self.upper[rows]
        bounded = ~exact & ((self.lower[rows] > -np.inf) | (self.upper[rows] < np.inf))
        # Rows in which the same variables are known share all matrices.
        patterns, member = np.unique(np.concatenate([exact, bounded], axis=1), axis=0, return_inverse=True)
        for number, pattern in enumerate(patterns):
            here = np.flatnonzero(member.ravel() == number)
            known, between = np.flatnonzero(pattern[: self.size]), np.flatnonzero(pattern[self.size :])
            drawn[here] = self._draw_alike(rows[here], known, between, rng)
        return drawn

    def _read_clinical(self, columns: Sequence[UnderlyingColumn], fixed: FixedColumns) -> None:
        """Collect the bounds that the fixed clinical columns set."""
        flat = {name: fixed.flat[name].to_numpy() for name in fixed.flat.columns}
        bounds = [np.zeros((2, len(fixed.values), 0))]
        for column in columns:
            free = Region.free(len(fixed.values), column.size)
            region = column.region(flat) if column.name in fixed.values.columns else free
            bounds.append(np.stack([region.lower, region.upper]))
        self.lower, self.upper = np.concatenate(bounds, axis=2)

    def _read_latents(self, whitening: LatentWhitening | None, latent_names: list[str], fixed: FixedColumns) -> None:
        """Write the fixed latents as noisy sums of the scores."""
        asked = [number for number, name in enumerate(latent_names) if name in fixed.values.columns]
        self.latents = np.zeros((len(fixed.values), 0))
        self.design, self.noise = np.zeros((0, len(self.copula.mean))), np.zeros(0)
        if whitening is None or not asked:
            return
        mixing = whitening.mixing_.astype(float)[asked]
        self.design = np.zeros((len(asked), len(self.copula.mean)))
        self.design[:, self.size :] = mixing[:, : whitening.num_scores_]
        apart = (mixing[:, whitening.num_scores_ :] ** 2).sum(axis=1)
        self.noise = apart + whitening.residual_.astype(float)[asked] ** 2
        values = fixed.values[[latent_names[number] for number in asked]].to_numpy(dtype=float)
        self.latents = values - whitening.mean_.astype(float)[asked]

    def _draw_alike(
        self, rows: np.ndarray, exact: np.ndarray, bounded: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """Draw rows in which the same variables are known exactly and the same ones within bounds."""
        total = len(self.copula.mean)
        mean = np.tile(self.copula.mean, (len(rows), 1))
        left = self.copula.covariance
        design = np.concatenate([np.eye(total)[exact], self.design])
        if len(design):
            noise = np.concatenate([np.zeros(len(exact)), self.noise])
            gain, left = self.copula.given(design, noise)
            seen = np.concatenate([self.lower[np.ix_(rows, exact)], self.latents[rows]], axis=1)
            mean += (seen - self.copula.mean @ design.T) @ gain.T
        if len(bounded):
            part = left[np.ix_(bounded, bounded)] + 1e-6 * np.eye(len(bounded))
            found = self._within_bounds(rows, bounded, mean[:, bounded], part, rng)
            gain = np.linalg.solve(part, left[bounded]).T
            mean += (found - mean[:, bounded]) @ gain.T
            left = left - gain @ left[bounded]
        drawn = mean + rng.standard_normal(mean.shape) @ GaussianCopula(mean[:0], (left + left.T) / 2).root().T
        drawn[:, exact] = self.lower[np.ix_(rows, exact)]
        if len(bounded):
            drawn[:, bounded] = found
        return drawn

    def _within_bounds(
        self,
        rows: np.ndarray,
        bounded: np.ndarray,
        mean: np.ndarray,
        covariance: np.ndarray,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """Draw the bounded variables jointly by Gibbs sweeps, shape ``(rows, bounded)``."""
        lower, upper = self.lower[np.ix_(rows, bounded)], self.upper[np.ix_(rows, bounded)]
        precision = np.linalg.inv(covariance)
        z = truncated_normal(mean, np.sqrt(np.diag(covariance)), lower, upper, rng)
        residual = z - mean
        for _ in range(SWEEPS):
            for column in range(len(bounded)):
                push = residual[:, column] - residual @ precision[:, column] / precision[column, column]
                spread = np.sqrt(1 / precision[column, column])
                z[:, column] = truncated_normal(mean[:, column] + push, spread, lower[:, column], upper[:, column], rng)
                residual[:, column] = z[:, column] - mean[:, column]
        return z
