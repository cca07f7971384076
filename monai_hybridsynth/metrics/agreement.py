"""Agreement of image and row: which share of the real link between them a synthetic cohort carries."""

from __future__ import annotations

import numpy as np

from monai_hybridsynth.metrics.estimate import Estimate, interval

__all__ = ["agreement_ratio", "agreement_estimate"]


def agreement_ratio(matched: np.ndarray, shuffled: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Return ``sum(matched - shuffled) / sum(real - shuffled)`` over columns, shape ``(...)``.

    0 says that image and row have nothing to do with each other, 1 that they belong together as in real patients,
    above 1 that the link is exaggerated (a caricature) or copied. One column's ratio is noisy where the real link is
    weak; the ratio of summed gains is not, because weak columns then add little to either sum.

    Args:
        matched: scores of predictors with synthetic pairs, shape ``(..., columns)``, 0.5 at chance.
        shuffled: scores of predictors whose training pairs were shuffled, same shape.
        real: scores of predictors with real pairs, same shape.

    Returns:
        Ratios; NaN where the real gain is zero.

    Raises:
        ValueError: if shapes differ.
    """
    matched, shuffled, real = (np.asarray(scores, dtype=float) for scores in (matched, shuffled, real))
    if not matched.shape == shuffled.shape == real.shape:
        raise ValueError(f"scores differ in shape: {matched.shape}, {shuffled.shape} and {real.shape}.")
    gained, possible = (matched - shuffled).sum(-1), (real - shuffled).sum(-1)
    return np.divide(gained, possible, out=np.full(np.shape(possible), np.nan), where=possible != 0)


def agreement_estimate(
    point: tuple[np.ndarray, np.ndarray, np.ndarray],
    replicates: tuple[np.ndarray, np.ndarray, np.ndarray],
    *,
    num_groups: int,
    confidence: float = 0.95,
    contraction: float = 1.0,
    estimator: str = "",
) -> Estimate:
    """Return the agreement with its interval, or no value where real pairs carry no measurable link.

    Args:
        point: matched, shuffled and real scores, each of shape ``(columns,)``.
        replicates: the same on each bootstrap sample, each of shape ``(B, columns)``, paired by replicate.
        num_groups: patients behind the scarcer side of the comparison.
        confidence: nominal coverage.
        contraction: that of the weights behind the replicates.
        estimator: how the scores were obtained, for the reader.
    """
    matched, shuffled, real = point
    possible = float(np.mean(np.asarray(real) - np.asarray(shuffled)))
    possible_replicates = np.mean(replicates[2] - replicates[1], axis=-1)
    low, high = interval(
        possible, possible_replicates, num_groups=num_groups, confidence=confidence, contraction=contraction
    )
    if not low > 0:
        span = f"[{low:.3f}, {high:.3f}]" if np.isfinite(low) else "not computable"
        note = (
            f"real pairs gain {possible:.3f} over shuffled pairs with the interval {span}, "
            "which does not lie above 0, so there is no measurable link that a synthetic cohort could keep or lose"
        )
        return Estimate.absent(note, n=num_groups, confidence=confidence, estimator=estimator)
    value = float(agreement_ratio(matched, shuffled, real))
    low, high = interval(
        value, agreement_ratio(*replicates), num_groups=num_groups, confidence=confidence, contraction=contraction
    )
    return Estimate(value, low, high, num_groups, confidence, estimator)
