"""Regression of underlying variables on latent scores, sized so that it holds for other patients."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, ndtr

__all__ = ["expected_values", "regress_on_scores"]

FEWEST_PATIENTS = 10
# Numbers in the largest array of patients who are left out, each in turn, at once: bounds the memory.
BLOCK = 2**22
# From nearly least squares to slopes along the covariances, the limit of large penalties.
PENALTIES = 10.0 ** np.arange(0.5, 5.1, 0.25)
# How much the scale of a regression differs between columns, a standard deviation.
SCALE_SPREAD = 0.3
SMALLEST_VARIANCE = 1e-3


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
    shared: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Regress underlying normal variables on scores.

    A ridge gives each direction. Its penalty is the one under which the variable is likeliest (marginal likelihood of a
    normal variable): it asks all rows at once, where cross-validation would be chance for a finding that a dozen
    patients have, and strong links such as the view's do not decide for weak ones. A direction's length is that of
    least squares times the root of the factor that predicts patients, each left out in turn, best; it is drawn towards
    that of all variables.
    The factor itself would be right for predictions: it takes the noise out of each direction, and true signal with it.
    Its root gives the link the strength, the share of explained variance, that it has among patients left out. At last
    a variable that is only known between limits is brought to its own scale: an expected value covaries with the scores
    as the variable does, times the variance of the expected value (as a biserial correlation corrects a point-biserial
    one).

    Labels of one column have slopes in common, those of the sum of their expected values, in which one that stands
    alone ("no finding") counts the other way; each has slopes of its own for what these leave. What half of the
    patients have helps with what a dozen have, who would not show it by themselves (as in Evgeniou and Pontil 2004, doi
    10.1145/1014052.1014067, but one after the other, so that each part has a penalty of its own). The price: a rare
    label that nothing shows is drawn a little as the others of its column are. A label's own slopes are multiplied by
    how likely it has any (`_Part`): they are halved where their direction is that of a few patients by chance.

    Args:
        expected: expected underlying variables, by `expected_values`, ``(rows, d)``.
        known: in which rows a variable is known or bounded, ``(rows, d)``; the others do not count.
        scores: uncorrelated scores of unit variance, ``(rows, m)``.
        prior: a root of the covariance that slopes are expected to have, up to a factor, ``(m, k)``; the standard
            deviations of the latents along each score, on the diagonal, stand for slopes that are alike on the latents.
        weights: one per row, so that every patient counts once.
        patients: one identifier per row.
        shared: which variables have slopes in common, ``(d, units)``: 1, or -1 for an opposite one such as "no
            finding", where a variable is part of a unit, else 0. Each is part of one, with others that are known in the
            same rows. None: each on its own.

    Returns:
        slopes, shape ``(m, d)``, and the covariances of scores and variables that follow from them in the rows in which
        a variable is known, the same shape. The two are equal for a variable that all rows know, whose scores are
        uncorrelated; a variable that only some rows ask can covary with scores by more than one.
    """
    # One per score, so that a penalty means the same for every prior.
    prior = prior / max(float(np.sqrt((prior**2).sum() / max(len(prior), 1))), 1e-12)
    rows = _Rows(scores @ prior, weights, np.unique(patients.astype(str), return_inverse=True)[1])
    shared = np.eye(expected.shape[1]) if shared is None else shared
    member = np.abs(shared)
    share = known * weights[:, None] / np.maximum(weights @ known, 1e-12)
    variance = np.maximum((share * (expected - (share * expected).sum(axis=0)) ** 2).sum(axis=0), SMALLEST_VARIANCE)
    common, _ = rows.slopes(expected @ shared, known @ member > 0)
    slopes = common / (variance @ member) @ shared.T
    labels = np.flatnonzero(member @ member.sum(axis=0) > 1)
    if len(labels):
        left = expected[:, labels] - variance[labels] * (rows.inputs @ slopes[:, labels])
        own, probability = rows.slopes(left, known[:, labels])
        slopes[:, labels] += own * probability / variance[labels]
    slopes = prior @ slopes
    links = np.zeros_like(slopes)
    for asked, alike in _patterns(known):
        part = share[asked, alike[0]]
        apart = scores[asked] - part @ scores[asked]
        links[:, alike] = (apart * part[:, None]).T @ (apart @ slopes[:, alike])
    return slopes, links


def _patterns(known: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the rows in which variables are known, and the variables that are known in these."""
    patterns, member = np.unique(known, axis=1, return_inverse=True)
    for number in range(patterns.shape[1]):
        yield np.flatnonzero(patterns[:, number]), np.flatnonzero(member.ravel() == number)


@dataclass
class _Rows:
    """What variables are regressed on: inputs ``(rows, k)``, and weights and patients of the rows."""

    inputs: np.ndarray
    weights: np.ndarray
    patients: np.ndarray

    def slopes(self, targets: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return slopes of variables ``(rows, d)`` on the inputs, ``(k, d)``, and how likely there are any, ``(d,)``.

        They are 0 of a variable that few patients know.
        """
        size = targets.shape[1]
        product, square = np.zeros((2, size))
        variance, count, probability = np.ones((3, size))
        slopes = np.zeros((self.inputs.shape[1], size))
        for rows, columns in _patterns(known):
            count[columns] = len(np.unique(self.patients[rows]))
            if count[columns[0]] < FEWEST_PATIENTS:
                continue
            part = _Part(targets[np.ix_(rows, columns)], self.inputs[rows], self.weights[rows], self.patients[rows])
            variance[columns] = part.variance
            product[columns], square[columns] = part.held_out()
            slopes[:, columns], probability[columns] = part.slopes(), part.probability
        return slopes * _scales(product, square, variance, count), probability


class _Part:
    """A ridge for variables that are known in the same rows, each with the penalty under which it is likeliest.

    ``probability`` says how likely it is, of even odds, that a variable has slopes of that penalty and not none at all:
    about a half where the rows are as likely without, since a large penalty leaves next to none, and 1 where they are
    not.
    """

    def __init__(self, targets: np.ndarray, inputs: np.ndarray, weights: np.ndarray, patients: np.ndarray) -> None:
        self.share, self.patients = weights / weights.sum(), patients
        self.targets = targets - self.share @ targets
        self.variance = np.maximum(self.share @ self.targets**2, SMALLEST_VARIANCE)
        centred = inputs - self.share @ inputs
        half = np.sqrt(self.share)[:, None] * centred
        values, self.axes = np.linalg.eigh(half.T @ half)
        self.values, self.inputs = np.maximum(values, 0.0), centred @ self.axes
        self.moment = (self.inputs * self.share[:, None]).T @ self.targets
        self.count = len(np.unique(patients))
        likelihoods = self.likelihoods()
        self.penalties = PENALTIES[likelihoods.argmax(axis=0)] / self.count
        self.probability = expit(likelihoods.max(axis=0))
        self.ridge = self.moment / (self.values[:, None] + self.penalties)

    def slopes(self) -> np.ndarray:
        """Return the slopes on all rows, of the length that fits these best."""
        explained = (self.values[:, None] * self.ridge**2).sum(axis=0)
        return self.axes @ (self.ridge * (self.moment * self.ridge).sum(axis=0) / np.maximum(explained, 1e-12))

    def held_out(self) -> tuple[np.ndarray, np.ndarray]:
        """Return, per variable, the means over patients left out of prediction times truth and squared prediction.

        A patient of few rows is left out by a change of the whole regression (Woodbury).
        """
        product, square = np.zeros((2, self.targets.shape[1]))
        for inputs, targets, moved in self._patients():
            truth = targets[:, :-1] + moved * targets[:, -1:]
            for penalty in np.unique(self.penalties):
                these = np.flatnonzero(self.penalties == penalty)
                found = self._without(inputs, targets[..., these], these)
                found = found[:, :-1] + moved * found[:, -1:]
                product[these] += (found * truth[..., these]).sum(axis=(0, 1))
                square[these] += (found**2).sum(axis=(0, 1))
        return product, square

    def _patients(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield what patients take away from the moments of all, those with equally many rows together.

        Without a patient, moments about the mean of the others are those of all less ``x' x`` and ``x' y``, where ``x``
        and ``y`` are ``(patients, rows + 1, ...)``: rows, and in the last place what their mean moves. The third array,
        ``(patients, rows, 1)``, says how much of that each row takes to be about the mean of the others. Rows are times
        the root of their share.
        """
        order = np.argsort(self.patients, kind="stable")
        counts = np.unique(self.patients, return_counts=True)[1]
        starts = np.cumsum(counts) - counts
        for count in np.unique(counts):
            alike = order[starts[counts == count][:, None] + np.arange(count)]
            block = max(1, BLOCK // ((count + 1) * self.inputs.shape[1]))
            for rows in np.split(alike, range(block, len(alike), block)):
                share = self.share[rows][..., None]
                moved = 1 / np.sqrt(1 - share.sum(axis=1, keepdims=True))
                inputs, targets = (
                    np.concatenate([np.sqrt(share) * own, moved * (share * own).sum(axis=1, keepdims=True)], axis=1)
                    for own in (self.inputs[rows], self.targets[rows])
                )
                yield inputs, targets, np.sqrt(share) * moved

    def _without(self, inputs: np.ndarray, targets: np.ndarray, these: np.ndarray) -> np.ndarray:
        """Return predictions for patients by regressions without them, of the length that fits the others best.

        Args:
            inputs: by `_patients`.
            targets: by `_patients`, of variables of one penalty.
            these: places of the variables.
        """
        ridge, moment = self.ridge[:, these], self.moment[:, these]
        total = self.values + self.penalties[these[0]]
        if inputs.shape[1] < inputs.shape[2]:
            own = (inputs / total) @ inputs.mT
            change = np.linalg.solve(np.eye(own.shape[1]) - own, targets - inputs @ ridge)
            slopes = ridge - inputs.mT @ change / total[:, None]
        else:
            slopes = np.linalg.solve(np.diag(total) - inputs.mT @ inputs, moment - inputs.mT @ targets)
        found = inputs @ slopes
        product = (slopes * moment).sum(axis=1) - (found * targets).sum(axis=1)
        explained = (self.values[:, None] * slopes**2).sum(axis=1) - (found**2).sum(axis=1)
        return found * (product / np.maximum(explained, 1e-12))[:, None]

    def likelihoods(self) -> np.ndarray:
        """Return each variable's log likelihood above that without slopes, for each penalty, ``(penalties, d)``.

        A penalty counts in rows: noise variance over slope variance. Source: Rasmussen and Williams 2006, Gaussian
        Processes for Machine Learning, equation 5.8, with a linear kernel; the noise variance is the likeliest one for
        each penalty.
        """
        ridge = self.count * self.values[:, None] + PENALTIES
        explained = np.einsum("id,ip->pd", self.moment**2, self.count / ridge)
        whole = np.maximum(self.share @ self.targets**2, 1e-9)
        surprise = self.count * np.log(np.maximum(whole - explained, 1e-9) / whole)
        return -0.5 * (surprise + np.log(ridge / PENALTIES).sum(axis=0)[:, None])


def _scales(product: np.ndarray, square: np.ndarray, variance: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Return by what to multiply each regression so that it explains as much variance as the truth would."""
    square = np.maximum(square, 1e-12)
    certainty = square * count / variance
    common = np.clip((product / variance).sum() / (square / variance).sum(), 0.0, 1.0)
    scale = (product / square * certainty + common / SCALE_SPREAD**2) / (certainty + 1 / SCALE_SPREAD**2)
    return np.sqrt(np.clip(scale, 0.0, 1.0))
