"""The predictors that judge: weighted ridge regression in closed form, for many columns at once.

Closed form, because every interval of the evaluation refits its predictors on each bootstrap sample: a predictor's
luck with its training patients is then part of the interval. Ridge on 0/1 outcomes ranks about as well as logistic
regression does, and only the ranking is scored.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

__all__ = ["Moments", "RidgeProbe", "RidgeRefit", "choose_penalties", "patient_folds", "presence_patterns"]

PENALTIES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)


@dataclass(frozen=True)
class RidgeProbe:
    """A fitted linear predictor of several columns.

    Attributes:
        coefficients: shape ``(F, columns)``.
        intercepts: shape ``(columns,)``.
    """

    coefficients: np.ndarray
    intercepts: np.ndarray

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Return predictions, shape ``(rows, columns)``."""
        return features @ self.coefficients + self.intercepts


@dataclass(frozen=True)
class Moments:
    """Weighted sums from which ridge regression follows; they add and subtract like the rows they stand for."""

    total: float
    sum_features: np.ndarray
    gram: np.ndarray
    sum_targets: np.ndarray
    cross: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> Moments:
        """Sum up rows: features ``(rows, F)``, complete targets ``(rows, columns)``, weights ``(rows,)``."""
        weighted = features * weights[:, None]
        return cls(
            float(weights.sum()), weighted.sum(0), weighted.T @ features, weights @ targets, weighted.T @ targets
        )

    def __add__(self, other: Moments) -> Moments:
        return Moments(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))

    def __sub__(self, other: Moments) -> Moments:
        return Moments(*(getattr(self, name) - getattr(other, name) for name in self.__dataclass_fields__))

    def centred(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return feature covariance, feature-target covariance, feature means and target means."""
        mean, target_mean = self.sum_features / self.total, self.sum_targets / self.total
        covariance = self.gram / self.total - np.outer(mean, mean)
        return covariance, self.cross / self.total - np.outer(mean, target_mean), mean, target_mean

    def solve(self, penalties: np.ndarray, *, start: RidgeProbe | None = None) -> RidgeProbe:
        """Return the predictor for one penalty per column, in units of a feature's variance.

        Args:
            penalties: shape ``(columns,)``.
            start: a predictor whose coefficients are the ones shrunk towards, in place of zero; the intercept is free.
        """
        width, columns = self.cross.shape
        if self.total <= 0:
            return RidgeProbe(np.zeros((width, columns)), np.zeros(columns))
        covariance, cross, mean, target_mean = self.centred()
        if start is not None:
            cross = cross - covariance @ start.coefficients
        coefficients = np.empty_like(cross)
        diagonal = np.arange(width)
        for penalty in np.unique(penalties):
            regular = covariance.copy()
            regular[diagonal, diagonal] += penalty
            chosen = penalties == penalty
            coefficients[:, chosen] = np.linalg.solve(regular, cross[:, chosen])
        if start is not None:
            coefficients += start.coefficients
        return RidgeProbe(coefficients, target_mean - mean @ coefficients)


def presence_patterns(targets: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Group the columns that are present in the same rows: yields column indices and a row mask."""
    present = ~np.isnan(targets)
    patterns: dict[bytes, list[int]] = {}
    for column in range(targets.shape[1]):
        patterns.setdefault(present[:, column].tobytes(), []).append(column)
    for columns in patterns.values():
        yield np.array(columns), present[:, columns[0]]


class RidgeRefit:
    """Fits the same rows again under other weights; what does not change with the weights is prepared once.

    Args:
        features: shape ``(rows, F)``, mean square near one.
        targets: shape ``(rows, columns)``; NaN marks missing, every column is fitted on the rows that have it.
        penalties: one per column, shape ``(columns,)``.
    """

    def __init__(self, features: np.ndarray, targets: np.ndarray, penalties: np.ndarray) -> None:
        self.penalties = penalties
        self.shape = (features.shape[1], targets.shape[1])
        self.parts = []
        for columns, rows in presence_patterns(targets):
            index = np.flatnonzero(rows)
            self.parts.append((columns, index, features[index], targets[np.ix_(index, columns)]))

    def __call__(self, weights: np.ndarray, *, start: RidgeProbe | None = None) -> RidgeProbe:
        """Return the predictor under weights ``(rows,)``, shrunk towards ``start`` instead of zero if there is one."""
        everything = np.zeros(len(weights), dtype=int)
        return self._probes(weights, everything, 1, without=False, start=start)[0]

    def folds(
        self, weights: np.ndarray, folds: np.ndarray, num_folds: int, *, start: RidgeProbe | None = None
    ) -> list[RidgeProbe]:
        """Return one predictor per fold, fitted on everything but that fold; ``folds`` has shape ``(rows,)``."""
        return self._probes(weights, folds, num_folds, without=True, start=start)

    def _probes(
        self,
        weights: np.ndarray,
        folds: np.ndarray,
        num_folds: int,
        *,
        without: bool,
        start: RidgeProbe | None = None,
    ) -> list[RidgeProbe]:
        probes = [RidgeProbe(np.zeros(self.shape), np.zeros(self.shape[1])) for _ in range(num_folds)]
        for columns, index, features, targets in self.parts:
            drawn, dealt = weights[index], folds[index]
            sums = []
            for fold in range(num_folds):
                kept = (dealt == fold) & (drawn > 0)
                sums.append(Moments.of(features[kept], targets[kept], drawn[kept]))
            whole = sum(sums[1:], start=sums[0])
            begin = None if start is None else RidgeProbe(start.coefficients[:, columns], start.intercepts[columns])
            for probe, part in zip(probes, sums, strict=True):
                fitted = (whole - part if without else whole).solve(self.penalties[columns], start=begin)
                probe.coefficients[:, columns], probe.intercepts[columns] = fitted.coefficients, fitted.intercepts
        return probes


def patient_folds(groups: np.ndarray, num_folds: int, *, seed: int) -> np.ndarray:
    """Assign every row a fold, shape ``(rows,)``, so that a patient lies in one fold and folds have equal patients."""
    codes = np.unique(groups, return_inverse=True)[1].reshape(-1)
    count = int(codes.max()) + 1 if codes.size else 0
    order = np.random.default_rng(seed).permutation(count)
    fold_of = np.empty(count, dtype=int)
    fold_of[order] = np.arange(count) % min(num_folds, max(count, 1))
    return fold_of[codes]


def choose_penalties(
    features: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray,
    groups: np.ndarray,
    *,
    seed: int,
    num_folds: int = 5,
    grid: tuple[float, ...] = PENALTIES,
) -> np.ndarray:
    """Return the penalty of each column with the smallest cross-validated squared error, patients kept together.

    Args:
        features: shape ``(rows, F)``, mean square near one.
        targets: shape ``(rows, columns)``; NaN marks missing.
        weights: non-negative, shape ``(rows,)``.
        groups: patient of each row, shape ``(rows,)``.
        seed: seed of the folds.
        num_folds: folds over patients.
        grid: penalties to choose from, in units of a feature's variance.
    """
    chosen = np.full(targets.shape[1], grid[-1])
    folds = patient_folds(groups, num_folds, seed=seed)
    for columns, rows in presence_patterns(targets):
        if len(np.unique(folds[rows])) < 2:
            continue
        errors = np.zeros((len(grid), len(columns)))
        values = targets[:, columns]
        parts = {fold: Moments.of(features[m], values[m], weights[m]) for fold, m in _fold_masks(folds, rows)}
        whole = sum(list(parts.values())[1:], start=next(iter(parts.values())))
        for fold, mask in _fold_masks(folds, rows):
            rest = whole - parts[fold]
            if rest.total <= 0:
                continue
            covariance, cross, mean, target_mean = rest.centred()
            scale, rotation = np.linalg.eigh(covariance)
            tested, turned = (features[mask] - mean) @ rotation, rotation.T @ cross
            for position, penalty in enumerate(grid):
                residual = values[mask] - target_mean - tested @ (turned / (np.maximum(scale, 0) + penalty)[:, None])
                errors[position] += weights[mask] @ residual**2
        chosen[columns] = np.array(grid)[errors.argmin(0)]
    return chosen


def _fold_masks(folds: np.ndarray, rows: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    for fold in np.unique(folds[rows]):
        yield int(fold), rows & (folds == fold)
