"""Scores of images drawn given whole clinical rows: each value of a row shifts them by its mean."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monai_hybridsynth.fusion.gaussian_copula import GaussianCopula
from monai_hybridsynth.fusion.image_variation import ImageVariation
from monai_hybridsynth.fusion.score_regression import expected_values
from monai_hybridsynth.fusion.underlying_columns import UnderlyingColumn, column_parts

__all__ = ["ImageGivenRow"]

ROWS = 20_000
# With fewer, to take away the covariance of noise would leave all rows at nearly one distance from their mean.
ROWS_PER_ENTRY, FEWEST_ROWS = 4, 30
RIDGE = 1e-3
MOST_EXPLAINED = 0.9


class ImageGivenRow:
    """Latent scores given a clinical row: normal around class-wise means that add up over the columns.

    A row says of each underlying variable what is to be expected of it: of a number the variable itself, of a category
    the mean between its thresholds, and nothing (zero) of a variable that it does not ask: of three categories, the
    variable that tells the second from the third is asked only where the first does not hold; a missing number says
    nothing. The joint normal itself would spread the images of one category along their link, by how far each lies
    from a threshold, let variables that were not asked move the image all the same, and move it no further than a
    variable that all rows ask can.

    Args:
        copula: of clinical variables, then scores, which are uncorrelated and of unit variance.
        columns: how clinical variables decide clinical columns.
        links: covariances of scores and clinical variables in the rows that ask them, ``(scores, variables)``; those of
            a variable that would explain more than nine tenths of a direction's variance are reduced to that.
        gain: factor of the means; what varies around them stays as it is.
    """

    def __init__(
        self, copula: GaussianCopula, columns: Sequence[UnderlyingColumn], *, links: np.ndarray, gain: float
    ) -> None:
        self.copula, self.gain = copula, gain
        self.columns = list(columns)
        size = sum(column.size for column in columns)
        inner = copula.covariance[:size, :size].astype(float)
        noise = np.random.default_rng(0).standard_normal((ROWS, size))
        said = self._said(copula.mean[:size] + noise @ GaussianCopula(copula.mean[:size], inner).root().T)
        self.centre = said.mean(axis=0)
        moment = np.cov(said, rowvar=False).reshape(size, size)
        spread = np.maximum(np.diag(inner), 1e-9)
        share = np.diag(moment) / spread
        explained = share * (links.astype(float) ** 2).sum(axis=0) / spread
        cross = links * share * np.sqrt(np.minimum(1.0, MOST_EXPLAINED / np.maximum(explained, 1e-9)))
        slopes = np.linalg.solve(moment + RIDGE * np.eye(size), cross.T).T
        left = np.eye(len(links)) - slopes @ moment @ slopes.T
        values, self.axes = np.linalg.eigh(left)
        self.root = self.axes * np.sqrt(np.maximum(values, 0.0))
        self.slopes = gain * slopes

    def draw(
        self, clinical: np.ndarray, rng: np.random.Generator, *, variation: ImageVariation | None = None
    ) -> np.ndarray:
        """Return scores ``(rows, scores)`` for underlying clinical variables ``(rows, variables)``.

        ``variation`` says how differently images of different rows vary; None if they all vary alike.

        Of records drawn together the noise has the moments that it has in the model (quadratic resampling, Barraquand
        1995): it is unrelated to what the rows say, and its entries to one another; nearly so where a class has a
        covariance of its own. So a cohort links image and row as the model does, and not by chance more or less.
        """
        said = self._said(clinical)
        noise = _matched_noise(said - self.centre, len(self.root), rng)
        if variation is not None:
            # The symmetric root leaves every entry of the noise with its own component.
            noise = variation.vary(noise, said) @ self.axes
        return (said - self.centre) @ self.slopes.T + noise @ self.root.T

    def noise(self, said: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """Return what rows, by what they say of each variable, leave of scores, ``(rows, scores)``, variance near 1."""
        left = scores - (said - self.centre) @ (self.slopes / self.gain).T
        return np.linalg.solve(self.root @ self.axes.T + RIDGE * np.eye(len(self.root)), left.T).T

    def _said(self, clinical: np.ndarray) -> np.ndarray:
        """Return what rows say of each variable, ``(rows, variables)``."""
        parts = [np.zeros((len(clinical), 0))]
        for column, variables in column_parts(self.columns, clinical):
            region = column.region(column.decode(variables), fitting=True)
            parts.append(expected_values(region.lower, region.upper))
        return np.concatenate(parts, axis=1)


def _matched_noise(said: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Return noise ``(rows, size)``, normal of variance 1, with a flat regression on rows ``(rows, variables)``.

    The regression of independent noise is taken away and, where there are rows enough, its covariance. What is left in
    row ``i`` has the variance ``1 - h_i`` with the leverage ``h_i``; independent noise of variance ``h_i`` makes up for
    it, so that a row that alone has a rare value, of leverage 1, keeps all its noise.
    """
    noise, more = rng.standard_normal((2, len(said), size))
    axes, strength, _ = np.linalg.svd(np.column_stack([np.ones(len(said)), said]), full_matrices=False)
    axes = axes[:, strength > 1e-9 * strength.max(initial=0.0)]
    leverage = np.minimum((axes**2).sum(axis=1, keepdims=True), 1.0)
    noise -= axes @ (axes.T @ noise)
    freedom = len(noise) - axes.shape[1]
    if freedom >= max(ROWS_PER_ENTRY * size, FEWEST_ROWS):
        noise = np.linalg.solve(np.linalg.cholesky(noise.T @ noise / freedom), noise.T).T
    return noise + np.sqrt(leverage) * more
