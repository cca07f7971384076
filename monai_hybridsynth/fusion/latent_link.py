"""How likely an image's latents are given a clinical row: a linear link with normal residuals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.linalg import solve_triangular

from monai_hybridsynth.transforms.record_encoding import RecordEncoder

__all__ = ["LatentLink"]

RIDGE = 1e-3


@dataclass
class LatentLink:
    """A regression of all latents on the encoded row.

    Attributes:
        slopes: one row for the intercept, then one per entry of the encoded row, ``(1 + entries, latents)``.
        residual: covariance of the latents around it, ``(latents, latents)``.
    """

    slopes: np.ndarray
    residual: np.ndarray

    @classmethod
    def fit(cls, latents: np.ndarray, rows: pd.DataFrame, encoder: RecordEncoder) -> LatentLink:
        """Learn the link from records, ``(rows, latents)`` and their clinical columns; many are needed."""
        inputs = _with_intercept(encoder.transform(rows))
        moment = inputs.T @ inputs / len(inputs) + RIDGE * np.eye(inputs.shape[1])
        slopes = np.linalg.solve(moment, inputs.T @ latents / len(inputs))
        apart = latents - inputs @ slopes
        return cls(slopes.astype(np.float32), (apart.T @ apart / len(inputs)).astype(np.float32))

    def log_likelihood(
        self, latents: np.ndarray, rows: pd.DataFrame, encoder: RecordEncoder, *, chosen: list[int]
    ) -> np.ndarray:
        """Return the log density of latents given each of several candidate rows, up to a constant.

        Args:
            latents: the known ones, ``(records, known)``.
            rows: clinical columns of the candidates, those of the first record first, ``(records * candidates, ...)``.
            encoder: as in ``fit``.
            chosen: places of the known latents among all.

        Returns:
            shape ``(records, candidates)``.
        """
        residual = self.residual[np.ix_(chosen, chosen)].astype(float)
        root = np.linalg.cholesky(residual + 1e-6 * np.diag(np.diag(residual)) + 1e-9 * np.eye(len(chosen)))
        expected = _with_intercept(encoder.transform(rows)) @ self.slopes[:, chosen].astype(float)
        surprise = np.repeat(latents, len(rows) // len(latents), axis=0) - expected
        square = (solve_triangular(root, surprise.T, lower=True) ** 2).sum(axis=0)
        return -0.5 * square.reshape(len(latents), -1)


def _with_intercept(vectors: np.ndarray) -> np.ndarray:
    """Return encoded rows with a column of ones before them."""
    return np.concatenate([np.ones((len(vectors), 1)), vectors.astype(float)], axis=1)
