"""A number with its uncertainty: patient-level bootstrap weights, intervals from replicates, exact intervals of shares.

Every statistic of this layer accepts weights with leading dimensions ``(..., rows)``, so one call with the weights of
all bootstrap replicates gives the statistic of all replicates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = [
    "REFIT_CONTRACTION",
    "Estimate",
    "bootstrap_estimate",
    "bootstrap_weights",
    "interval",
    "record_weights",
    "share_estimate",
]

# Fewer finite replicates than this share say that the statistic cannot be estimated at all.
MINIMUM_FINITE_SHARE = 0.5
# For statistics that refit predictors; with it, simulated 95 % intervals of agreement cover 91 (reverse) to 100 %
# (forward).
REFIT_CONTRACTION = 0.5


@dataclass(frozen=True)
class Estimate:
    """A value, its interval and the number of independent units behind it.

    ``value`` is ``None`` when the quantity could not be estimated; ``note`` then says why. ``n`` counts patients for
    real cohorts and records for synthetic ones, never rows of the same patient twice.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    confidence: float = 0.95
    estimator: str = ""
    note: str = ""

    @property
    def estimable(self) -> bool:
        """Whether there is a value."""
        return self.value is not None

    @classmethod
    def absent(cls, note: str, *, n: int = 0, confidence: float = 0.95, estimator: str = "") -> Estimate:
        """Return an estimate without a value and the reason for it."""
        return cls(None, None, None, n, confidence, estimator, note)


def _group_codes(groups: np.ndarray) -> tuple[np.ndarray, int]:
    codes = np.unique(np.asarray(groups), return_inverse=True)[1].reshape(-1)
    return codes, int(codes.max()) + 1 if codes.size else 0


def record_weights(groups: np.ndarray) -> np.ndarray:
    """Return one weight per row, shape ``(rows,)``: one divided by the number of rows of that row's patient.

    A patient with twenty images then counts once, not twenty times.
    """
    codes, count = _group_codes(groups)
    return 1.0 / np.bincount(codes, minlength=count)[codes] if count else np.zeros(0)


def bootstrap_weights(groups: np.ndarray, num_replicates: int, *, seed: int, contraction: float = 1.0) -> np.ndarray:
    """Draw how often each row enters each bootstrap sample when whole patients are drawn with replacement.

    A statistic that refits a predictor suffers in every plain bootstrap sample, from which a third of the patients is
    missing, and its intervals come out too wide (measured: by 40 to 70 %). With a ``contraction`` c below one the
    weights are ``1 + c (count - 1)``: nobody is missing, and :func:`interval` with the same contraction stretches the
    smaller deviations back.

    Args:
        groups: patient of each row, shape ``(rows,)``, any dtype that sorts.
        num_replicates: bootstrap samples.
        seed: seed of the draw; no global state is touched.
        contraction: 1 for plain counts; smaller values pull them towards one.

    Returns:
        Weights, shape ``(num_replicates, rows)``, float32; rows of one patient always share their count.

    Raises:
        ValueError: if there are no rows.
    """
    codes, count = _group_codes(groups)
    if count == 0:
        raise ValueError("groups has no rows; a bootstrap needs at least one patient.")
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(count, np.full(count, 1.0 / count), size=num_replicates)
    return (1 + contraction * (drawn - 1)).astype(np.float32)[:, codes]


def interval(
    value: float,
    replicates: np.ndarray,
    *,
    num_groups: int,
    confidence: float = 0.95,
    bounds: tuple[float, float] = (-np.inf, np.inf),
    contraction: float = 1.0,
) -> tuple[float, float]:
    """Return the bootstrap interval around ``value``: quantiles of the replicates, centred and widened.

    Centred: the replicates' median is moved onto the value, because a statistic that refits a model or takes a maximum
    is shifted in every bootstrap sample (a third of the patients is missing from each). Widened: plain percentile
    intervals under-cover for few patients, so deviations grow by ``t / z * sqrt(n / (n - 1))``.

    Args:
        value: the statistic on the sample itself.
        replicates: the statistic on each bootstrap sample, shape ``(B,)``; non-finite ones are left out.
        num_groups: independent units (patients) that carry the information.
        confidence: nominal coverage.
        bounds: smallest and largest possible value; the interval is cut there.
        contraction: that of the weights behind the replicates, see :func:`bootstrap_weights`.

    Returns:
        Low and high; both NaN when fewer than half of the replicates are finite or there is one unit only.

    Source:
        Hesterberg 2014, "What Teachers Should Know about the Bootstrap", on the narrowness of percentile intervals in
        small samples.
    """
    from scipy import stats

    replicates = np.asarray(replicates, dtype=float).reshape(-1)
    finite = replicates[np.isfinite(replicates)]
    enough = finite.size >= max(2, MINIMUM_FINITE_SHARE * replicates.size)
    if not enough or num_groups < 2 or not np.isfinite(value):
        return float("nan"), float("nan")
    tail = (1 - confidence) / 2
    low, middle, high = np.quantile(finite, [tail, 0.5, 1 - tail])
    widen = stats.t.ppf(1 - tail, num_groups - 1) / stats.norm.ppf(1 - tail) * np.sqrt(num_groups / (num_groups - 1))
    widen /= contraction
    lowest, highest = value + widen * (low - middle), value + widen * (high - middle)
    return float(np.clip(lowest, *bounds)), float(np.clip(highest, *bounds))


def bootstrap_estimate(
    statistic: Callable[[np.ndarray], np.ndarray],
    groups: np.ndarray,
    *,
    seed: int,
    num_replicates: int = 500,
    confidence: float = 0.95,
    bounds: tuple[float, float] = (-np.inf, np.inf),
    estimator: str = "",
) -> Estimate:
    """Estimate ``statistic(weights)`` with a patient-level interval.

    Args:
        statistic: takes weights ``(..., rows)`` and returns the statistic ``(...)``.
        groups: patient of each row, shape ``(rows,)``; each patient weighs the same in the value.
        seed: seed of the bootstrap.
        num_replicates: bootstrap samples.
        confidence: nominal coverage.
        bounds: range of the statistic.
        estimator: how the value was obtained, for the reader.
    """
    base = record_weights(groups)
    num_groups = _group_codes(groups)[1]
    value = float(statistic(base))
    if not np.isfinite(value):
        return Estimate.absent("the statistic is undefined on this sample", n=num_groups, estimator=estimator)
    replicates = statistic(bootstrap_weights(groups, num_replicates, seed=seed) * base)
    low, high = interval(value, replicates, num_groups=num_groups, confidence=confidence, bounds=bounds)
    if not np.isfinite(low):
        note = f"no interval can be formed from {num_groups} independent units"
        return Estimate.absent(note, n=num_groups, confidence=confidence, estimator=estimator)
    return Estimate(value, low, high, num_groups, confidence, estimator)


def share_estimate(successes: int, num_records: int, *, confidence: float = 0.95) -> Estimate:
    """Estimate a share with the exact (Clopper-Pearson) interval, which stays honest at zero successes.

    Raises:
        ValueError: if ``successes`` lies outside ``0 ... num_records``.
    """
    from scipy import stats

    if not 0 <= successes <= num_records:
        raise ValueError(f"successes must lie between 0 and num_records = {num_records}, got {successes}.")
    estimator = "share with exact binomial interval"
    if num_records == 0:
        return Estimate.absent("there are no records to count", confidence=confidence, estimator=estimator)
    tail = (1 - confidence) / 2
    low = stats.beta.ppf(tail, successes, num_records - successes + 1) if successes else 0.0
    high = stats.beta.ppf(1 - tail, successes + 1, num_records - successes) if successes < num_records else 1.0
    return Estimate(successes / num_records, float(low), float(high), num_records, confidence, estimator)
