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
# From nearly least squares to slopes along the covariances, the limit of large penalties.
PENALTIES = 10.0 ** np.arange(0.5, 5.1, 0.25)
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
    prior: np.ndarray,
    *,
    weights: np.ndarray,
    patients: np.ndarray,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Regress underlying normal variables on scores.

    A ridge gives each direction. Its penalty is the one under which the variable is likeliest (marginal likelihood of a
    normal variable): it asks all rows at once, where cross-validation would be chance for a finding that a dozen
    patients have, and strong links such as the view's do not decide for weak ones. A direction's length is that of
    least squares times the root of the factor that predicts patients left out best, a factor drawn towards that of all.
    The factor itself would be right for predictions: it takes the noise out of each direction, and true signal with it.
    Its root gives the link the strength, the share of explained variance, that it has among patients left out. At last
    a variable that is only known between limits is brought to its own scale: an expected value covaries with the scores
    as the variable does, times the variance of the expected value (as a biserial correlation corrects a point-biserial
    one).

    Args:
        expected: expected underlying variables, by `expected_values`, ``(rows, d)``.
        known: in which rows a variable is known or bounded, ``(rows, d)``; the others do not count.
        scores: uncorrelated scores of unit variance, ``(rows, m)``.
        prior: a root of the covariance that slopes are expected to have, up to a factor, ``(m, k)``; the standard
            deviations of the latents along each score, on the diagonal, stand for slopes that are alike on the latents.
        weights: one per row, so that every patient counts once.
        patients: one identifier per row.
        seed: of the folds, dealt several times for variables that all rows know.

    Returns:
        slopes, shape ``(m, d)``, and the covariances of scores and variables that follow from them in the rows in which
        a variable is known, the same shape. The two are equal for a variable that all rows know, whose scores are
        uncorrelated; a variable that only some rows ask can covary with scores by more than one.
    """
    # One per score, so that a penalty means the same for every prior.
    prior = prior / max(float(np.sqrt((prior**2).sum() / max(len(prior), 1))), 1e-12)
    position = np.unique(patients.astype(str), return_inverse=True)[1]
    rng = np.random.default_rng(seed)
    folds = np.stack([patient_folds(patients, FOLDS, seed=rng) for _ in range(DEALS)])
    size = expected.shape[1]
    product, square = np.zeros((2, size))
    variance, count = np.ones((2, size))
    patterns, member = np.unique(known, axis=1, return_inverse=True)
    parts = []
    for number in range(patterns.shape[1]):
        rows, columns = np.flatnonzero(patterns[:, number]), np.flatnonzero(member.ravel() == number)
        count[columns] = len(np.unique(position[rows]))
        if count[columns[0]] < FEWEST_PATIENTS:
            continue
        deals = DEALS if patterns[:, number].all() else 1
        targets, inputs = expected[np.ix_(rows, columns)], scores[rows] @ prior
        part = _Part(targets, inputs, weights[rows], folds[:deals, rows], count[columns[0]])
        parts.append((rows, columns, part))
        variance[columns] = part.variance
        product[columns], square[columns] = part.held_out()
    scale = _scales(product, square, variance, count)
    slopes, links = np.zeros((2, scores.shape[1], size))
    for rows, columns, part in parts:
        slopes[:, columns] = prior @ part.slopes() * (scale / variance)[columns]
        apart = scores[rows] - part.share @ scores[rows]
        links[:, columns] = (apart * part.share[:, None]).T @ (apart @ slopes[:, columns])
    return slopes, links


class _Part:
    """A ridge for variables that are known in the same rows, each with the penalty under which it is likeliest."""

    def __init__(
        self, targets: np.ndarray, inputs: np.ndarray, weights: np.ndarray, folds: np.ndarray, count: float
    ) -> None:
        self.share = weights / weights.sum()
        self.centred = targets - self.share @ targets
        self.variance = np.maximum(self.share @ self.centred**2, 1e-3)
        self.inputs, self.folds, self.count = inputs, folds, count
        self.whole = self._moments(np.ones(len(self.share), dtype=bool))
        self.penalties = self._likeliest() / count

    def held_out(self) -> tuple[np.ndarray, np.ndarray]:
        """Return, per variable, the means over patients left out of prediction times truth and squared prediction."""
        product, square = np.zeros((2, self.centred.shape[1]))
        for test in (fold == left_out for fold in self.folds for left_out in np.unique(fold)):
            if test.all():
                continue
            mean, middle, values, axes, moment = self._moments(~test)
            truth, share = self.centred[test] - mean, self.share[test] / len(self.folds)
            found = (self.inputs[test] - middle) @ (axes @ _least_squares_length(values, moment, self.penalties))
            product += share @ (found * truth)
            square += share @ found**2
        return product, square

    def slopes(self) -> np.ndarray:
        """Return the slopes on all rows, of the length that fits these best."""
        _, _, values, axes, moment = self.whole
        return axes @ _least_squares_length(values, moment, self.penalties)

    def _likeliest(self) -> np.ndarray:
        """Return each variable's penalty, in rows: noise variance over slope variance of largest marginal likelihood.

        Source: Rasmussen and Williams 2006, Gaussian Processes for Machine Learning, equation 5.8, with a linear
        kernel; the noise variance is the likeliest one for each penalty.
        """
        _, _, values, _, moment = self.whole
        ridge = self.count * values[:, None] + PENALTIES
        explained = np.einsum("id,ip->pd", moment**2, self.count / ridge)
        left = np.maximum(self.share @ self.centred**2 - explained, 1e-9)
        surprise = self.count * np.log(left) + np.log(ridge / PENALTIES).sum(axis=0)[:, None]
        return PENALTIES[surprise.argmin(axis=0)]

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
    slopes = moment / (values[:, None] + penalty)
    explained = (values[:, None] * slopes**2).sum(axis=0)
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
