"""Regression of underlying variables on latent scores, sized so that it holds for other patients."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from monai_hybridsynth.transforms.published_statistics import patient_folds

__all__ = ["expected_values", "regress_on_scores"]

# One deal of folds says too little of a label that few patients have: the length of its link would be chance. Variables
# that only some rows are asked have one all the same: each set of such rows takes decompositions of its own.
FOLDS, DEALS = 10, 5
FEWEST_PATIENTS = 10
PENALTIES = 10.0 ** np.arange(1.0, 4.1, 0.25)
# How much the scale of a regression differs between columns, a standard deviation.
SCALE_SPREAD = 0.3


def expected_values(lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Return the expectation of a standard normal variable between limits; equal limits are returned as they are."""
    # On the right side the normal distribution function has no precision left, so it is mirrored.
    flip = lower > 0
    low, high = np.where(flip, -upper, lower), np.where(flip, -lower, upper)
    mass = np.maximum(ndtr(high) - ndtr(low), 1e-300)
    found = (np.exp(-0.5 * low**2) - np.exp(-0.5 * high**2)) / np.sqrt(2 * np.pi) / mass
    found = np.clip(found, low, high)
    return np.where(lower == upper, lower, np.where(flip, -found, found))


def regress_on_scores(
    expected: np.ndarray,
    known: np.ndarray,
    scores: np.ndarray,
    spreads: np.ndarray,
    *,
    weights: np.ndarray,
    patients: np.ndarray,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Regress underlying normal variables on scores.

    A ridge on the latents gives each direction; its penalty is chosen on patients left out, half by the variable itself
    and half by all of them, because the choice for a rare category alone would be noise. Its length is that of least
    squares times the root of the factor that predicts patients left out best, a factor again drawn towards that of all.
    The factor itself would be right for predictions: it takes the noise out of each direction, and true signal with it.
    Its root gives the link the strength, the share of explained variance, that it has among patients left out. At last
    a variable that is only known between limits is brought to its own scale: an expected value covaries with the scores
    as the variable does, times the variance of the expected value (as a biserial correlation corrects a point-biserial
    one).

    Args:
        expected: expected underlying variables, by `expected_values`, ``(rows, d)``.
        known: in which rows a variable is known or bounded, ``(rows, d)``; the others do not count.
        scores: uncorrelated scores of unit variance, ``(rows, m)``.
        spreads: standard deviations of the latents along each score, ``(m,)``.
        weights: one per row, so that every patient counts once.
        patients: one identifier per row.
        seed: of the folds, dealt several times for variables that all rows know.

    Returns:
        slopes, shape ``(m, d)``, and the covariances of scores and variables that follow from them in the rows in which
        a variable is known, the same shape. The two are equal for a variable that all rows know, whose scores are
        uncorrelated; a variable that only some rows ask can covary with scores by more than one.
    """
    prior = np.sqrt(spreads**2 / max(float((spreads**2).mean()), 1e-12))
    position = np.unique(patients.astype(str), return_inverse=True)[1]
    rng = np.random.default_rng(seed)
    folds = np.stack([patient_folds(patients, FOLDS, seed=rng) for _ in range(DEALS)])
    size = expected.shape[1]
    product, square, variance, count = (
        np.zeros((len(PENALTIES), size)),
        np.zeros((len(PENALTIES), size)),
        *np.ones((2, size)),
    )
    patterns, member = np.unique(known, axis=1, return_inverse=True)
    parts = []
    for number in range(patterns.shape[1]):
        rows, columns = np.flatnonzero(patterns[:, number]), np.flatnonzero(member.ravel() == number)
        count[columns] = len(np.unique(position[rows]))
        if count[columns[0]] < FEWEST_PATIENTS:
            continue
        deals = DEALS if patterns[:, number].all() else 1
        part = _Part(
            expected[np.ix_(rows, columns)], scores[rows] * prior, weights[rows], folds[:deals, rows], count[columns[0]]
        )
        parts.append((columns, part))
        variance[columns] = part.variance
        product[:, columns], square[:, columns] = part.held_out()
    # What a constant cannot explain and the regression can, as a share of the variance.
    gain = np.sign(product) * product**2 / np.maximum(square, 1e-12) / variance
    chosen = (gain + gain.mean(axis=1, keepdims=True)).argmax(axis=0)
    product, square = (table[chosen, np.arange(size)] for table in (product, square))
    scale = _scales(product, square, variance, count)
    slopes, links = np.zeros((2, scores.shape[1], size))
    for columns, part in parts:
        found = part.slopes(PENALTIES[chosen[columns]]) * (scale / variance)[columns]
        slopes[:, columns], links[:, columns] = prior[:, None] * found, part.covariance @ found / prior[:, None]
    return slopes, links


class _Part:
    """A ridge for variables that are known in the same rows."""

    def __init__(
        self, targets: np.ndarray, inputs: np.ndarray, weights: np.ndarray, folds: np.ndarray, count: float
    ) -> None:
        self.share = weights / weights.sum()
        self.centred = targets - self.share @ targets
        self.variance = np.maximum(self.share @ self.centred**2, 1e-3)
        self.inputs, self.folds, self.count = inputs, folds, count
        apart = inputs - self.share @ inputs
        self.covariance = (apart * self.share[:, None]).T @ apart

    def held_out(self) -> tuple[np.ndarray, np.ndarray]:
        """Return, per penalty and variable, the means of prediction times truth and of squared prediction."""
        product, square = np.zeros((2, len(PENALTIES), self.centred.shape[1]))
        for test in (fold == left_out for fold in self.folds for left_out in np.unique(fold)):
            if test.all():
                continue
            mean, middle, values, axes, moment = self._moments(~test)
            turned = (self.inputs[test] - middle) @ axes
            truth, share = self.centred[test] - mean, self.share[test] / len(self.folds)
            slopes = _least_squares_length(values, moment[:, None], PENALTIES[:, None] / self.count)
            found = np.tensordot(turned, slopes, 1)
            product += np.tensordot(share, found * truth[:, None], 1)
            square += np.tensordot(share, found**2, 1)
        return product, square

    def slopes(self, penalties: np.ndarray) -> np.ndarray:
        """Return the slopes on all rows, one penalty per variable."""
        _, _, values, axes, moment = self._moments(np.ones(len(self.share), dtype=bool))
        return axes @ _least_squares_length(values, moment, penalties / self.count)

    def _moments(self, rows: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return means of targets and inputs, the inputs' principal axes and the moments along them."""
        weight = self.share[rows] / self.share[rows].sum()
        mean, middle = weight @ self.centred[rows], weight @ self.inputs[rows]
        half = np.sqrt(weight)[:, None]
        apart, targets = half * (self.inputs[rows] - middle), half * (self.centred[rows] - mean)
        values, axes = np.linalg.eigh(apart.T @ apart)
        moment = axes.T @ (apart.T @ targets)
        return mean, middle, np.maximum(values, 0.0), axes, moment


def _least_squares_length(values: np.ndarray, moment: np.ndarray, penalty: np.ndarray) -> np.ndarray:
    """Return ridge slopes along the axes (the first dimension), stretched to the length that fits their rows best."""
    values = values.reshape(-1, *[1] * penalty.ndim)
    slopes = moment / (values + penalty)
    explained = (values * slopes**2).sum(axis=0)
    return slopes * (moment * slopes).sum(axis=0) / np.maximum(explained, 1e-12)


def _scales(product: np.ndarray, square: np.ndarray, variance: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Return by what to multiply each regression so that it explains as much variance as the truth would."""
    square = np.maximum(square, 1e-12)
    certainty = square * count / variance
    common = np.clip((product / variance).sum() / (square / variance).sum(), 0.0, 1.0)
    scale = (product / square * certainty + common / SCALE_SPREAD**2) / (certainty + 1 / SCALE_SPREAD**2)
    scale = np.clip(scale, 0.0, 1.0)
    # The part that is noise falls as patients are added, and the folds left one of them out.
    return np.sqrt(scale / np.maximum(scale + (1 - scale) * (1 - 1 / FOLDS), 1e-12))
