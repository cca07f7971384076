"""What a synthetic cohort is worth for training: its gain over chance beside the real one's, and explained variance."""

from __future__ import annotations

import numpy as np

from monai_hybridsynth.metrics.estimate import Estimate, interval

__all__ = ["supplement_weight", "utility_ratio", "utility_ratio_estimate", "weighted_r2"]


def supplement_weight(patients: float, records: float) -> float:
    """Return what a synthetic record weighs beside a patient where a predictor learns from both.

    However many records a generator draws, they hold no more than the patients it learned from: all records together
    weigh as much as these, and one never more than a patient. Where each weighed as a patient, five records per patient
    would outvote them, and penalties would be chosen for records. Measured in ``benchmarks/RESULTS.md``.

    Example:
        >>> supplement_weight(480, 2400)
        0.2
    """
    return min(1.0, patients / records) if records > 0 else 1.0


def utility_ratio(synthetic: np.ndarray | float, real: np.ndarray | float, *, chance: float = 0.5) -> np.ndarray:
    """Return ``(synthetic - chance) / (real - chance)``, shape ``(...)``; NaN where the real gain is zero.

    Ratios of plain AUROCs flatter: .53 against .76 looks like 70 % and is 13 % of the gain.

    Example:
        >>> round(float(utility_ratio(0.74, 0.83)), 2)
        0.73
    """
    gained, possible = np.asarray(synthetic, dtype=float) - chance, np.asarray(real, dtype=float) - chance
    return np.divide(gained, possible, out=np.full(np.shape(possible), np.nan), where=possible != 0)


def utility_ratio_estimate(
    synthetic: float,
    real: float,
    replicates: tuple[np.ndarray, np.ndarray],
    *,
    chance: float = 0.5,
    num_groups: int,
    confidence: float = 0.95,
    contraction: float = 1.0,
    estimator: str = "",
) -> Estimate:
    """Return the ratio of gains with a paired interval, or no value where training on real data gains nothing.

    Args:
        synthetic: score on real patients after training on synthetic records.
        real: score on the same patients after training on real ones.
        replicates: both scores on each bootstrap sample, shapes ``(B,)``, paired by replicate.
        chance: the score of a predictor that knows nothing (0.5 for the AUROC, 0 for explained variance).
        num_groups: patients in the test.
        confidence: nominal coverage.
        contraction: that of the weights behind the replicates.
        estimator: how the scores were obtained, for the reader.
    """
    low, high = interval(
        real - chance, replicates[1] - chance, num_groups=num_groups, confidence=confidence, contraction=contraction
    )
    if not low > 0:
        span = f"[{low:.3f}, {high:.3f}]" if np.isfinite(low) else "not computable"
        note = (
            f"training on real data gains {real - chance:.3f} over chance with the interval {span}, "
            "which does not lie above 0"
        )
        return Estimate.absent(note, n=num_groups, confidence=confidence, estimator=estimator)
    value = float(utility_ratio(synthetic, real, chance=chance))
    low, high = interval(
        value,
        utility_ratio(*replicates, chance=chance),
        num_groups=num_groups,
        confidence=confidence,
        contraction=contraction,
    )
    return Estimate(value, low, high, num_groups, confidence, estimator)


def weighted_r2(predictions: np.ndarray, values: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Return the share of variance explained, shape ``(...)``; 0 for the mean, negative for worse than the mean.

    Args:
        predictions: shape ``(rows,)``.
        values: finite outcomes, shape ``(rows,)``.
        weights: non-negative, shape ``(..., rows)``; all one by default.
    """
    predictions, values = np.asarray(predictions, dtype=float), np.asarray(values, dtype=float)
    weights = np.ones(len(values)) if weights is None else np.asarray(weights, dtype=float)
    total = weights.sum(-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (weights * values).sum(-1) / total
        spread = (weights * values**2).sum(-1) / total - mean**2
        error = (weights * (values - predictions) ** 2).sum(-1) / total
        return np.where(spread > 0, 1 - error / spread, np.nan)
