"""How images of a class vary: noise of latent scores whose covariance depends on the clinical row."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.linalg import solve_triangular
from sklearn.isotonic import isotonic_regression

from monai_hybridsynth.transforms.published_statistics import patient_folds

__all__ = ["ImageVariation"]

# On either side of a variable's middle, and at least one per score: the covariance of fewer, were it learned, would
# tell who they are.
FEWEST_PATIENTS = 80
FOLDS = 5
# Of the difference seen in training patients, in others: below it an entry would tell who was trained on rather than
# how classes differ. Chosen on inner splits, by the likelihoods of patients trained on and left out.
LEAST_SHARE = 0.2
# Scores come in the order of the variance of their components; those between two edges share a factor.
EDGES = (8, 16, 32, 64, 128, 256)
RIDGE = 1e-6


class ImageVariation:
    """Covariances of image noise on either side of a clinical variable's middle, relative to that of all who know it.

    Images of women do not only differ from those of men in their mean: they vary more along some directions and less
    along others. Here a binary variable (a number: below or above its middle) has two covariances, whose mean, weighted
    by the patients on either side, is the identity. Variables are taken in turn, the one whose difference is surest
    first, each on what earlier ones leave.

    The difference of two covariances of some hundred patients is mostly chance, more so between the smaller components.
    So entry ``(a, b)`` is multiplied by a factor that does not rise with ``max(a, b)``, so that what is left is a
    covariance (Schur product): the root of the share of the difference that patients left out have as well, less one
    standard error over the folds, and nothing where that is less than a fifth. The root gives a difference the size
    that it truly has (as in `regress_on_scores`). Not from a paper.

    Args:
        variables: places of the variables, ``(k,)``.
        covariances: below and above the middle, ``(k, 2, scores, scores)``.
    """

    def __init__(self, variables: np.ndarray, covariances: np.ndarray) -> None:
        self.variables, self.covariances = variables, covariances
        self.roots = [[_power(covariance.astype(float), 0.5) for covariance in pair] for pair in covariances]

    @classmethod
    def fit(
        cls, noise: np.ndarray, said: np.ndarray, *, weights: np.ndarray, patients: np.ndarray, seed: int
    ) -> ImageVariation:
        """Learn the covariances.

        Args:
            noise: what rows leave of the scores, of variance near 1, uncorrelated, ``(rows, scores)``.
            said: what rows say of each variable: below or above 0, the middle, or 0 for nothing, ``(rows, variables)``.
            weights: one per row, so that every patient counts once.
            patients: one identifier per row.
            seed: of the folds.
        """
        position = np.unique(patients.astype(str), return_inverse=True)[1]
        fold = patient_folds(patients, FOLDS, seed=seed)
        whole = _Fold(noise, weights, np.zeros(len(noise), dtype=bool))
        # What is taken away in a fold is learned there, so that patients left out have no part in it.
        folds = [_Fold(noise, weights, fold == number) for number in np.unique(fold)]
        left, variables, found = list(_known_by_enough(said, position, noise.shape[1])), [], []
        while left:
            factors = {variable: _factors(folds, said[:, variable]) for variable in left}
            left = [variable for variable in left if factors[variable].any()]
            if not left:
                break
            best = max(left, key=lambda variable: factors[variable].sum())
            left.remove(best)
            variables.append(best)
            found.append(whole.take(said[:, best], factors[best]))
            for part in folds if left else []:
                part.take(said[:, best], factors[best])
        covariances = np.array(found).reshape(len(found), 2, noise.shape[1], noise.shape[1])
        return cls(np.array(variables, dtype=np.int32), covariances.round(3).astype(np.float32))

    def vary(self, noise: np.ndarray, said: np.ndarray) -> np.ndarray:
        """Give noise of variance 1, ``(rows, scores)``, the covariances of its rows, ``(rows, variables)``."""
        noise = noise.copy()
        for variable, roots in reversed(list(zip(self.variables, self.roots, strict=True))):
            for root, rows in zip(roots, _sides(said[:, variable]), strict=True):
                noise[rows] = noise[rows] @ root
        return noise

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the fitted arrays by name."""
        return {"variables": self.variables, "covariances": self.covariances}


class _Fold:
    """Noise of all rows, from which what some of them teach is taken away; the others are left out."""

    def __init__(self, noise: np.ndarray, weights: np.ndarray, left_out: np.ndarray) -> None:
        self.noise, self.weights, self.left_out = noise.copy(), weights, left_out
        self._parts: dict[bytes, tuple[np.ndarray, np.ndarray]] = {}

    def whitened(self, known: np.ndarray) -> np.ndarray:
        """Return the noise of rows that know a variable, uncorrelated and of variance 1 over those that teach.

        Every entry stays with its component.
        """
        taught = known & ~self.left_out
        moment = _moment(self.noise[taught], self.weights[taught])
        root = np.linalg.cholesky(moment + RIDGE * np.eye(len(moment)))
        return solve_triangular(root, self.noise[known].T, lower=True, check_finite=False).T

    def parts(self, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the whitened noise of those that teach, and of those left out, of variance 1 over these."""
        key = known.tobytes()  # most variables are known by the same rows
        if key not in self._parts:
            noise, test, weights = self.whitened(known), self.left_out[known], self.weights[known]
            # Directions in which training patients happened to vary little have more variance in others.
            others, share = noise[test], weights[test] / max(weights[test].sum(), 1e-300)
            self._parts[key] = noise[~test], others / np.sqrt(np.maximum(share @ others**2, RIDGE))
        return self._parts[key]

    def take(self, values: np.ndarray, factor: np.ndarray) -> np.ndarray:
        """Learn the covariances on both sides of a variable's middle, and take them away; return them."""
        known = values != 0
        self.noise[known] = self.whitened(known)
        found = []
        for rows in _sides(values):
            taught = rows & ~self.left_out
            moment = _moment(self.noise[taught], self.weights[taught])
            found.append(np.minimum.outer(factor, factor) * moment + np.diag(1 - factor))
            self.noise[rows] = self.noise[rows] @ _power(found[-1], -0.5)
        self._parts.clear()
        return np.stack(found)


def _known_by_enough(said: np.ndarray, position: np.ndarray, size: int) -> Iterator[int]:
    """Yield the variables with enough patients on either side of the middle."""
    for variable, values in enumerate(said.T):
        if all(len(np.unique(position[rows])) >= max(FEWEST_PATIENTS, size) for rows in _sides(values)):
            yield variable


def _factors(folds: list[_Fold], values: np.ndarray) -> np.ndarray:
    """Return by what to multiply a variable's differences up to each component, ``(scores,)``."""
    size = folds[0].noise.shape[1]
    shell = np.searchsorted(EDGES, np.arange(size), side="right")
    entries, known = np.maximum.outer(shell, shell).ravel(), values != 0
    product, square = np.zeros((2, len(folds), shell[-1] + 1))
    for place, fold in enumerate(folds):
        teaching, others = (known & rows for rows in (~fold.left_out, fold.left_out))
        taught, shown = fold.parts(known)
        trained = _difference(taught, values[teaching], fold.weights[teaching])
        truth = _difference(shown, values[others], fold.weights[others])
        product[place] = np.bincount(entries, (trained * truth).ravel())
        square[place] = np.bincount(entries, (trained**2).ravel())
    scale = np.maximum(square.mean(axis=0), 1e-12)
    error = product.std(axis=0, ddof=1) / np.sqrt(len(folds))
    share = np.clip((product.mean(axis=0) - error) / scale, 0.0, 1.0)
    share = isotonic_regression(share, sample_weight=scale, increasing=False)
    return np.sqrt(np.where(share < LEAST_SHARE, 0.0, share))[shell]


def _difference(noise: np.ndarray, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the covariance above the middle minus that below; zero where one side has no weight."""
    below, above = _sides(values)
    if not weights[below].any() or not weights[above].any():
        return np.zeros((noise.shape[1], noise.shape[1]))
    return _moment(noise[above], weights[above]) - _moment(noise[below], weights[below])


def _sides(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which rows lie below and above the middle."""
    return values < 0, values > 0


def _moment(noise: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the mean of squares and products, ``(scores, scores)``."""
    half = noise * np.sqrt(weights / max(weights.sum(), 1e-300))[:, None]
    return half.T @ half  # of one matrix: numpy computes half of it


def _power(covariance: np.ndarray, power: float) -> np.ndarray:
    """Return a symmetric power of a covariance."""
    values, axes = np.linalg.eigh(covariance)
    return (axes * np.maximum(values, RIDGE) ** power) @ axes.T
