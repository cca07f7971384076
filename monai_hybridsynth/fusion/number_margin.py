"""The distribution of one number as rounded quantiles, with values that many patients share kept as steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monai_hybridsynth.transforms.published_statistics import patients_with, published_number, weighted_quantile

__all__ = ["NumberMargin"]

STEP_SHARE = 0.04
MOST_KNOTS = 40


@dataclass
class NumberMargin:
    """A quantile function, piecewise linear between knots; a step where many patients share one value.

    Each knot is the mean of the values around a quantile, a stretch that holds ``minimum_patients`` patients or more,
    rounded to three digits; the ends are the published range. So no knot is one patient's value, and one patient more
    moves a knot by about one rank.

    Attributes:
        levels: cumulative shares of the knots, from 0 to 1, never falling.
        values: of the knots, never falling; equal neighbours are a step.
        tail: levels this close to 0 or 1 are not told apart.
    """

    levels: list[float]
    values: list[float]
    tail: float

    @classmethod
    def fit(
        cls,
        values: np.ndarray,
        *,
        weights: np.ndarray,
        patients: np.ndarray,
        lower: float,
        upper: float,
        minimum_patients: int,
    ) -> NumberMargin:
        """Learn the quantiles.

        Args:
            values: finite numbers, shape ``(rows,)``.
            weights: one per row, so that every patient counts once.
            patients: one identifier per row.
            lower: end of the published range; values beyond are counted at it.
            upper: its other end.
            minimum_patients: patients that a step or a knot stands for.
        """
        count = len(np.unique(patients)) if len(values) else 1
        tail = published_number(0.5 / (count + 1), digits=1)
        if len(values) == 0 or lower >= upper:
            return cls([0.0, 1.0], [lower, lower if len(values) == 0 else upper], tail)
        values, share = np.clip(values, lower, upper), weights / weights.sum()
        distinct, position = np.unique(values, return_inverse=True)
        mass = np.bincount(position, weights=share)
        steps = [
            int(place)
            for place in np.flatnonzero(mass >= STEP_SHARE)
            if patients_with(position == place, patients) >= minimum_patients
        ]
        levels, knots, level = [0.0], [lower], 0.0
        for left, right in zip([-1, *steps], [*steps, len(distinct)], strict=True):
            between = (position > left) & (position < right)
            if between.any():
                ends = (distinct[left] if left >= 0 else lower, distinct[right] if right < len(distinct) else upper)
                part = cls._stretch(values[between], share[between], patients[between], ends, minimum_patients)
                levels += [level + place * share[between].sum() for place in part[0]]
                knots += part[1]
                level += share[between].sum()
            if right < len(distinct):
                levels += [level, level + mass[right]]
                knots += [float(distinct[right])] * 2
                level += mass[right]
        levels = [round(min(value, 1.0), 4) for value in levels]
        levels[-1] = 1.0
        return cls(levels, [float(f"{value:.10g}") for value in np.maximum.accumulate(knots)], tail)

    @staticmethod
    def _stretch(
        values: np.ndarray, share: np.ndarray, patients: np.ndarray, ends: tuple[float, float], minimum_patients: int
    ) -> tuple[list[float], list[float]]:
        """Return levels and knots of the values between two steps or ends of the range."""
        bins = int(np.clip(len(np.unique(patients)) // minimum_patients, 1, MOST_KNOTS))
        order = np.argsort(values, kind="stable")
        values, share = values[order], share[order] / share.sum()
        middle = np.cumsum(share) - share / 2
        levels, knots = [0.0], [ends[0]]
        if bins == 1:
            # As the encoder publishes it: the median, to two digits.
            levels.append(0.5)
            knots.append(float(np.clip(published_number(weighted_quantile(values, share, 0.5), digits=2), *ends)))
        for number in range(1, bins):
            near = np.abs(middle - number / bins) <= 0.5 / bins
            near[np.abs(middle - number / bins).argmin()] = True
            level = float((share[near] * middle[near]).sum() / share[near].sum())
            knot = published_number(float((share[near] * values[near]).sum() / share[near].sum()))
            levels.append(level)
            knots.append(float(np.clip(knot, *ends)))
        return [*levels, 1.0], [*np.maximum.accumulate(knots).tolist(), ends[1]]

    def quantile(self, levels: np.ndarray) -> np.ndarray:
        """Return the values at levels in [0, 1]."""
        return np.interp(levels, self.levels, self.values)

    def interval(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the lowest and the highest level of each value: equal but on a step."""
        knots, levels = np.array(self.values), np.array(self.levels)
        found = np.clip(np.interp(values, knots, levels), self.tail, 1 - self.tail)
        low, high = found.copy(), found.copy()
        for value in np.unique(knots[1:][np.diff(knots) == 0]):
            here = np.isclose(values, value, rtol=1e-9, atol=1e-12)
            span = levels[knots == value]
            if np.ptp(span) > self.tail:
                low[here], high[here] = span.min(), span.max()
        return low, high
