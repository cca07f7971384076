"""A smooth estimate of numbers from pixels: principal components, then kernel ridge regression."""

from __future__ import annotations

import numpy as np

__all__ = ["KernelEstimator"]

Array = np.ndarray


class KernelEstimator:
    """Kernel ridge regression with one Gaussian kernel on the leading principal components.

    Only the leading components are read, so detail that an autoencoder or a blur removes has little weight.

    Args:
        num_components: principal components kept.
        width: kernel width as a multiple of the median squared distance between calibration samples.
        ridge: added to the kernel's diagonal.
    """

    def __init__(self, *, num_components: int = 140, width: float = 2.0, ridge: float = 0.01) -> None:
        self.num_components = num_components
        self.width = width
        self.ridge = ridge

    def fit(self, inputs: Array, targets: Array) -> KernelEstimator:
        """Learn ``(N, T)`` targets from ``(N, P)`` inputs."""
        self.mean_ = inputs.mean(axis=0)
        centred = inputs - self.mean_
        _, vectors = np.linalg.eigh(centred.T @ centred)
        self.components_ = vectors[:, ::-1][:, : self.num_components]
        self.seats_ = centred @ self.components_
        distance = _squared_distance(self.seats_, self.seats_)
        self.scale_ = self.width * float(np.median(distance))
        self.offset_ = targets.mean(axis=0)
        self.weights_ = self._solve(distance, targets)
        return self

    def predict(self, inputs: Array) -> Array:
        """Return ``(M, T)`` estimates for ``(M, P)`` inputs."""
        distance = _squared_distance((inputs - self.mean_) @ self.components_, self.seats_)
        return np.exp(-distance / self.scale_) @ self.weights_ + self.offset_

    def predict_left_out(self, targets: Array) -> Array:
        """Return estimates for the calibration samples themselves, each from all the others, ``(N, T)``.

        Source:
            The identity for linear smoothers: residual left out = residual / (1 - leverage), Hastie, Tibshirani and
            Friedman 2009, section 7.10; here with the kernel's smoother matrix and a fixed mean.
        """
        kernel = np.exp(-_squared_distance(self.seats_, self.seats_) / self.scale_)
        inverse = np.linalg.inv(kernel + self.ridge * np.eye(len(kernel), dtype=kernel.dtype))
        # With residual = ridge * weights and 1 - leverage = ridge * diagonal of the inverse, the ridge cancels.
        return targets - (inverse @ (targets - self.offset_)) / np.diag(inverse)[:, None]

    def _solve(self, distance: Array, targets: Array) -> Array:
        kernel = np.exp(-distance / self.scale_)
        return np.linalg.solve(kernel + self.ridge * np.eye(len(kernel)), targets - self.offset_)


def _squared_distance(first: Array, second: Array) -> Array:
    """Return squared Euclidean distances, ``(N, M)``."""
    squares = np.square(first).sum(axis=1)[:, None] + np.square(second).sum(axis=1)[None, :]
    return np.maximum(squares - 2 * first @ second.T, 0)
