"""How images of a class vary: noise of latent scores whose covariance depends on the clinical row."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

__all__ = ["ImageVariation"]

# On either side of a variable's middle, and at least one per score: the span of fewer would single them out.
FEWEST_PATIENTS = 20
FOLDS = 10
# Of the difference seen in training patients, in others: below it an entry would tell who was trained on rather than
# how classes differ. Chosen on inner splits, by the likelihoods of patients trained on and left out.
LEAST_SHARE = 0.2
# Scores come in the order of the variance of their components; those between two edges share a factor.
EDGES = (8, 16, 32, 64, 128, 256)
RIDGE = 1e-6


class ImageVariation:
    """Covariances of image noise on either side of a clinical variable's middle, relative to that of all rows.

    Images of women do not only differ from those of men in their mean: they vary more along some directions and less
    along others, and whatever is not linear, a network or trees, learns a class by that. Here every binary variable (a
    number: below or above its middle) has two covariances, whose mean is that of all rows. Variables are taken in turn,
    the strongest first, each on what the earlier ones leave.

    The difference of two covariances of some hundred patients is mostly chance, more so between the smaller components.
    So entry ``(a, b)`` is multiplied by a factor for the components up to ``max(a, b)``: the root of the share of the
    difference that patients left out have as well, less one standard error over the folds, and nothing where that is
    less than a fifth. The root gives a difference the size that it truly has (as in `regress_on_scores`). Factors do
    not rise with the component, so what is left is a covariance (Schur product). Not from a paper.

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
        size = noise.shape[1]
        unique, position = np.unique(patients.astype(str), return_inverse=True)
        folds = (np.random.default_rng(seed).permutation(len(unique)) % FOLDS)[position]
        factors = np.zeros((said.shape[1], size))
        for known, columns in _known_together(said, position, size):
            factors[columns] = _factors(noise[known], said[np.ix_(known, columns)], weights[known], folds[known])
        order = np.argsort(-factors.sum(axis=1), kind="stable")
        chosen = order[factors[order].any(axis=1)]
        found, noise = np.zeros((len(chosen), 2, size, size)), noise.copy()
        for place, variable in enumerate(chosen):
            known = said[:, variable] != 0
            noise[known] = _whitened(noise[known], weights[known])
            factor = np.minimum.outer(factors[variable], factors[variable])
            for side, rows in enumerate(_sides(said[:, variable])):
                found[place, side] = factor * _moment(noise[rows], weights[rows]) + np.diag(1 - factors[variable])
                noise[rows] = noise[rows] @ _power(found[place, side], -0.5)
        return cls(chosen, found.round(3).astype(np.float32))

    def vary(self, noise: np.ndarray, said: np.ndarray) -> np.ndarray:
        """Give noise of variance 1, ``(rows, scores)``, the covariances of its rows, ``(rows, variables)``."""
        noise = noise.copy()
        for variable, roots in reversed(list(zip(self.variables, self.roots, strict=True))):
            for root, rows in zip(roots, _sides(said[:, variable]), strict=True):
                noise[rows] = noise[rows] @ root
        return noise

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the fitted arrays by name."""
        return {"variables": self.variables.astype(np.int32), "covariances": self.covariances}


def _known_together(said: np.ndarray, position: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield rows, and variables that those rows and no others know, enough patients on either side."""
    fewest = max(FEWEST_PATIENTS, size)
    columns = np.flatnonzero([all(len(np.unique(position[rows])) >= fewest for rows in _sides(one)) for one in said.T])
    patterns, member = np.unique(said[:, columns] != 0, axis=1, return_inverse=True)
    for number, known in enumerate(patterns.T):
        yield np.flatnonzero(known), columns[member.ravel() == number]


def _factors(noise: np.ndarray, said: np.ndarray, weights: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Return by what to multiply each variable's differences up to each component, ``(variables, scores)``."""
    size = noise.shape[1]
    shell = np.searchsorted(EDGES, np.arange(size), side="right")
    entries, count = np.maximum.outer(shell, shell).ravel(), shell[-1] + 1
    left_out = np.unique(folds)
    product, square = np.zeros((2, len(left_out), said.shape[1], count))
    for place, fold in enumerate(left_out):
        test = folds == fold
        whitened = _whitened(noise, weights, fitted_on=~test)
        # Directions in which training patients happened to vary little have more variance in others.
        spread = np.sqrt(np.maximum(np.average(whitened[test] ** 2, axis=0, weights=weights[test]), RIDGE))
        for variable, values in enumerate(said.T):
            trained = _difference(whitened, values * ~test, weights)
            truth = _difference(whitened / spread, values * test, weights)
            product[place, variable] = np.bincount(entries, (trained * truth).ravel(), count)
            square[place, variable] = np.bincount(entries, (trained**2).ravel(), count)
    size_of_all = np.maximum(square.mean(axis=0), 1e-12)
    error = product.std(axis=0, ddof=1) / np.sqrt(len(left_out)) if len(left_out) > 1 else np.inf
    share = np.minimum.accumulate(np.clip((product.mean(axis=0) - error) / size_of_all, 0.0, 1.0), axis=1)
    return np.sqrt(np.where(share < LEAST_SHARE, 0.0, share))[:, shell]


def _difference(noise: np.ndarray, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the covariance above the middle minus that below; zero where one side is empty."""
    below, above = _sides(values)
    if not below.any() or not above.any():
        return np.zeros((noise.shape[1], noise.shape[1]))
    share = np.where(above, weights / weights[above].sum(), 0) - np.where(below, weights / weights[below].sum(), 0)
    return (noise * share[:, None]).T @ noise


def _sides(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which rows lie below and above the middle."""
    return values < 0, values > 0


def _moment(noise: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return (noise * (weights / weights.sum())[:, None]).T @ noise


def _whitened(noise: np.ndarray, weights: np.ndarray, *, fitted_on: np.ndarray | slice = slice(None)) -> np.ndarray:
    """Return noise that is uncorrelated and of variance 1 over some rows; each entry stays with its component."""
    moment = _moment(noise[fitted_on], weights[fitted_on])
    return np.linalg.solve(np.linalg.cholesky(moment + RIDGE * np.eye(len(moment))), noise.T).T


def _power(covariance: np.ndarray, power: float) -> np.ndarray:
    """Return a symmetric power of a covariance."""
    values, axes = np.linalg.eigh(covariance)
    return (axes * np.maximum(values, RIDGE) ** power) @ axes.T
