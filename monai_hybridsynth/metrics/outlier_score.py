"""How unlike real images is one image: a score that catches broken images, and the threshold that real ones set."""

from __future__ import annotations

import numpy as np

__all__ = ["broken_share", "outlier_scores"]


def outlier_scores(candidates: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return each candidate's squared Mahalanobis distance from real images, divided by the number of features.

    Directions in which real images hardly differ count as much as the others: an image that is too smooth lies close
    to the mean in plain distance, and far away in this one. Scores of the reference itself are too low (the covariance
    knows it); set thresholds on other real images.

    Args:
        candidates: features, shape ``(n1, F)``.
        reference: features of real images, shape ``(n2, F)``, at least two; columns that do not vary are left out.

    Returns:
        Scores, shape ``(n1,)``; near 1 for real images where the reference is large.

    Raises:
        ValueError: if the feature lengths differ or the reference has fewer than two rows.

    Source:
        Lee et al. 2018, https://arxiv.org/abs/1807.03888, on Mahalanobis distance of features as an
        out-of-distribution score. Differs from the paper: one class, one layer, covariance shrunk by Ledoit and Wolf.
    """
    from sklearn.covariance import LedoitWolf

    if candidates.ndim != 2 or reference.ndim != 2 or candidates.shape[1] != reference.shape[1]:
        raise ValueError(f"expected features (n, F) with equal F, got {candidates.shape} and {reference.shape}.")
    if len(reference) < 2:
        raise ValueError(f"reference has {len(reference)} rows; a spread needs at least two.")
    spread = reference.std(0)
    kept = spread > 1e-9 * max(float(spread.max(initial=0.0)), 1e-12)
    if not kept.any():
        return np.zeros(len(candidates))
    centre, scale = reference[:, kept].mean(0), spread[kept]
    fitted = LedoitWolf().fit((reference[:, kept] - centre) / scale)
    return fitted.mahalanobis((candidates[:, kept] - centre) / scale) / int(kept.sum())


def broken_share(
    scores: np.ndarray,
    calibration: np.ndarray,
    weights: np.ndarray | None = None,
    calibration_weights: np.ndarray | None = None,
    *,
    false_alarm: float = 0.05,
) -> np.ndarray:
    """Return the share of scores above the threshold that real images set, shape ``(...)``.

    Args:
        scores: of the images that are judged, shape ``(n1,)``.
        calibration: of real images, shape ``(n2,)``; the threshold is their ``1 - false_alarm`` quantile.
        weights: non-negative, shape ``(..., n1)``; all one by default.
        calibration_weights: same leading dimensions, shape ``(..., n2)``.
        false_alarm: share of real images that may be called broken.
    """
    weights = np.ones(len(scores)) if weights is None else np.asarray(weights, dtype=float)
    given = np.ones(len(calibration)) if calibration_weights is None else np.asarray(calibration_weights, dtype=float)
    order = np.argsort(calibration)
    mass = np.cumsum(given[..., order], axis=-1)
    place = (mass >= (1 - false_alarm) * mass[..., -1:] - 1e-9).argmax(-1)
    threshold = np.asarray(calibration)[order][place]
    return (weights * (scores > threshold[..., None])).sum(-1) / weights.sum(-1)
