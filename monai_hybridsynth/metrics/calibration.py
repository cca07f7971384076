"""Are probabilities right? A logistic link from scores to probabilities, and how far these are from what happens."""

from __future__ import annotations

import numpy as np

__all__ = ["LogisticLink", "calibration_bins", "reliability_curve", "squared_calibration_error"]

# Fewer patients than this in a bin, and its observed share says too little.
PATIENTS_PER_BIN = 30
MOST_BINS = 10


class LogisticLink:
    """Turns the scores of a ranking predictor into probabilities, one curve ``1 / (1 + exp(-(a + b score)))`` a column.

    Fit it on scores of records that the predictor has not seen: scores of its own training records are too sure.

    Source:
        Platt 1999, "Probabilistic Outputs for Support Vector Machines": the sigmoid, and labels pulled from 0 and 1 to
        1 / (negatives + 2) and (positives + 1) / (positives + 2). Differs from it: Newton steps, weighted counts.
    """

    def __init__(self, num_steps: int = 25) -> None:
        self.num_steps = num_steps

    def fit(self, scores: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> LogisticLink:
        """Fit the curves.

        Args:
            scores: shape ``(rows, columns)``.
            labels: 0 or 1, same shape; NaN marks missing.
            weights: non-negative, shape ``(rows,)``.
        """
        present = ~np.isnan(labels)
        weight = weights[:, None] * present
        outcome = np.where(present, labels, 0.0)
        positives = (weight * outcome).sum(0)
        negatives = weight.sum(0) - positives
        wanted = np.where(outcome > 0, (positives + 1) / (positives + 2), 1 / (negatives + 2))
        total = np.maximum(weight.sum(0), 1e-12)
        self.centre_ = (weight * scores).sum(0) / total
        spread = np.sqrt((weight * (scores - self.centre_) ** 2).sum(0) / total)
        self.scale_ = np.where(spread > 1e-12, spread, 1.0)
        score = (scores - self.centre_) / self.scale_
        share = (positives + 1) / (positives + negatives + 2)
        self.intercept_, self.slope_ = np.log(share / (1 - share)), np.zeros(scores.shape[1])
        for _ in range(self.num_steps):
            probability = _logistic(self.intercept_ + self.slope_ * score)
            error = weight * (wanted - probability)
            curve = weight * probability * (1 - probability)
            first, second = error.sum(0), (error * score).sum(0)
            # A tiny ridge keeps the step finite where the score is constant or separates the classes.
            a, b, c = curve.sum(0) + 1e-9, (curve * score).sum(0), (curve * score**2).sum(0) + 1e-9
            step = np.stack([c * first - b * second, a * second - b * first]) / (a * c - b**2)
            step = np.clip(step, -2, 2)
            self.intercept_, self.slope_ = self.intercept_ + step[0], self.slope_ + step[1]
            if np.abs(step).max(initial=0.0) < 1e-6:
                break
        return self

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """Return probabilities, shape of ``scores``."""
        if not hasattr(self, "slope_"):
            raise RuntimeError("this link is not fitted; call fit(scores, labels, weights) first.")
        return _logistic(self.intercept_ + self.slope_ * (scores - self.centre_) / self.scale_)


def _logistic(value: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(value, -30, 30)))


def calibration_bins(probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return each row's bin: bins of equal weight along the probabilities, equal probabilities together.

    Args:
        probabilities: shape ``(rows,)``.
        weights: shape ``(rows,)``; their sum is the number of patients, of which a bin holds about thirty.
    """
    if not len(probabilities):
        return np.zeros(0, dtype=int)
    count = int(np.clip(weights.sum() // PATIENTS_PER_BIN, 1, MOST_BINS))
    order = np.argsort(probabilities, kind="stable")
    middle = np.empty(len(order))
    middle[order] = (np.cumsum(weights[order]) - 0.5 * weights[order]) / weights.sum()
    bins = np.minimum((middle * count).astype(int), count - 1)
    # Ties belong together: the first of them decides.
    ordered, which = np.unique(probabilities, return_inverse=True)
    lowest = np.full(len(ordered), count)
    np.minimum.at(lowest, which.reshape(-1), bins)
    return np.unique(lowest[which.reshape(-1)], return_inverse=True)[1].reshape(-1)


def squared_calibration_error(
    probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """Return the mean squared gap between predicted and observed share over bins, chance removed; can be negative.

    A bin of thirty patients never shows exactly the predicted share. What that chance adds on average,
    ``share (1 - share) / (patients - 1)``, is taken off, so that perfect probabilities score 0 in expectation; the
    plain binned error would call them wrong, the more so the fewer patients there are. Its square root is the
    calibration error.

    Args:
        probabilities: predictions, shape ``(rows,)``.
        labels: 0 or 1, shape ``(rows,)``.
        weights: non-negative, shape ``(..., rows)``, one per patient shared by the patient's rows; all one by default.
            The bins are those of the mean weights.

    Returns:
        Shape ``(...)``; NaN where nothing has weight.

    Raises:
        ValueError: if probabilities leave [0, 1] or shapes differ.

    Source:
        The bias of the binned error and its correction: Kumar, Liang and Ma 2019, "Verified Uncertainty Calibration",
        https://arxiv.org/abs/1909.10155. Differs from the paper: bins of about thirty patients, weighted rows.
    """
    probabilities, labels = np.asarray(probabilities, dtype=float), np.asarray(labels, dtype=float)
    weights = np.ones(len(labels)) if weights is None else np.asarray(weights, dtype=float)
    if probabilities.shape != labels.shape or weights.shape[-1:] != labels.shape:
        raise ValueError(
            f"expected probabilities and labels of one length and weights (..., rows), got {probabilities.shape}, "
            f"{labels.shape} and {weights.shape}."
        )
    if len(labels) and not (probabilities.min() >= 0 and probabilities.max() <= 1):
        raise ValueError("probabilities must lie between 0 and 1; pass scores through a LogisticLink first.")
    bins = calibration_bins(probabilities, weights.reshape(-1, len(labels)).mean(0))
    member = (bins[:, None] == np.arange(bins.max(initial=-1) + 1)).astype(float)
    mass = weights @ member
    with np.errstate(invalid="ignore", divide="ignore"):
        predicted, observed = (weights * probabilities) @ member / mass, (weights * labels) @ member / mass
        chance = observed * (1 - observed) / (mass - 1)
        gap = np.where(mass > 1, (predicted - observed) ** 2 - chance, 0.0)
        return (mass * gap).sum(-1) / np.where(mass > 1, mass, 0.0).sum(-1)


def reliability_curve(
    probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean predicted and the observed share of each bin, shapes ``(bins,)``; arguments as above."""
    bins = calibration_bins(probabilities, weights)
    mass = np.bincount(bins, weights)
    return np.bincount(bins, weights * probabilities) / mass, np.bincount(bins, weights * labels) / mass
