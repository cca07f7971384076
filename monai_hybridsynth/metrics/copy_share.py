"""When is a nearest neighbour a copy? A threshold from strangers, its false alarms on other strangers, the share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monai_hybridsynth.metrics.estimate import Estimate, record_weights, share_estimate

__all__ = ["CopyRule", "copy_rule", "hit_share", "neighbour_contrast", "share_beside_floor"]


def neighbour_contrast(distances: np.ndarray, groups: np.ndarray, *, num_others: int = 10) -> np.ndarray:
    """Return how much closer the nearest patient is than the next ones, shape ``(S,)``; 0 is an exact copy, 1 a crowd.

    Images of poor quality are close to everybody, so a plain distance accuses them and passes over copies of unusual
    patients. Divided by the mean distance to the next ``num_others`` patients, both are judged alike.

    Args:
        distances: to the closest training records, closest first, shape ``(S, K)``.
        groups: patient of each of them, same shape, numbers; further records of one patient are passed over.
        num_others: patients compared with; fewer if fewer are among the ``K``.

    Raises:
        ValueError: if there are no two columns to compare.
    """
    distances, groups = np.asarray(distances, dtype=float), np.asarray(groups)
    if distances.ndim != 2 or distances.shape != groups.shape or distances.shape[1] < 2:
        raise ValueError(
            f"expected distances and groups (S, K) with K of at least 2, got {distances.shape} and {groups.shape}; "
            "ask nearest_records for more neighbours."
        )
    total, count = np.zeros(len(distances)), np.zeros(len(distances), dtype=int)
    for place in range(1, distances.shape[1]):
        new = (groups[:, :place] != groups[:, place : place + 1]).all(axis=1) & (count < num_others)
        total += np.where(new, distances[:, place], 0.0)
        count += new
        if (count >= num_others).all():
            break
    typical = total / np.maximum(count, 1)
    return np.where(typical > 0, distances[:, 0] / np.maximum(typical, np.finfo(float).tiny), 1.0)


@dataclass(frozen=True)
class CopyRule:
    """What counts as a copy, and how often strangers would be called one.

    Attributes:
        thresholds: a contrast below it is a copy; one from either half of the held-out patients, shape ``(2,)``.
        alarms: share of the held-out records of each row's patient that the *other* half's threshold accuses, 0 or 1
            for each record, shape ``(rows,)``.
        weights: one per patient, shared by the patient's records, shape ``(rows,)``.
        expected: false alarms that such thresholds give on average.
    """

    thresholds: np.ndarray
    alarms: np.ndarray
    weights: np.ndarray
    expected: float

    @property
    def num_patients(self) -> int:
        """Held-out patients behind the false alarms."""
        return int(round(float(self.weights.sum())))

    @property
    def false_alarms(self) -> Estimate:
        """Share of held-out patients accused, with its exact interval."""
        return share_estimate(round(float(self.alarms @ self.weights)), self.num_patients)

    def accused(self, contrast: np.ndarray) -> np.ndarray:
        """Return what either threshold calls a copy, bool ``(2, rows)``; an exact copy always is."""
        return (contrast[None] < self.thresholds[:, None]) | (contrast[None] <= 0)


def copy_rule(contrast: np.ndarray, groups: np.ndarray, *, rate: float, seed: int) -> CopyRule:
    """Choose a threshold on each half of the held-out patients and count its false alarms on the other half.

    Args:
        contrast: of held-out records, shape ``(rows,)``, see :func:`neighbour_contrast`.
        groups: their patients, shape ``(rows,)``.
        rate: false alarms allowed; with fewer patients in a half than ``1 / rate`` the closest one sets the threshold
            and ``expected`` says what that gives.
        seed: of the halves.

    Raises:
        ValueError: with fewer than four patients, or a rate outside 0 ... 1.

    Source:
        The threshold from train-to-validation neighbours of Dar et al. 2025, https://arxiv.org/abs/2402.01054. Differs
        from the paper: false alarms are counted on patients that did not set the threshold.
    """
    codes = np.unique(np.asarray(groups), return_inverse=True)[1].reshape(-1)
    count = int(codes.max()) + 1 if codes.size else 0
    if count < 4 or not 0 < rate < 1:
        raise ValueError(f"a rule needs at least 4 held-out patients and a rate in 0 ... 1, got {count} and {rate}.")
    order = np.random.default_rng(seed).permutation(count)
    half = np.isin(codes, order[: count // 2])
    weights = record_weights(codes)
    thresholds, expected = [], []
    for side in (half, ~half):
        patients = len(np.unique(codes[side]))
        accused = max(1, int(rate * (patients + 1)))
        expected.append(accused / (patients + 1))
        ranked = np.argsort(contrast[side], kind="stable")
        before = np.cumsum(weights[side][ranked]) - weights[side][ranked]
        thresholds.append(contrast[side][ranked][before <= accused - 1 + 1e-9][-1])
    rule = CopyRule(np.array(thresholds), np.zeros(len(codes)), weights, float(np.mean(expected)))
    first, second = rule.accused(contrast)
    return CopyRule(rule.thresholds, np.where(half, second, first).astype(float), weights, rule.expected)


def hit_share(false_alarms: float, num_records: int, num_patients: int) -> float:
    """Return the share of patients that strangers' false alarms would hit, if they fell on patients at random.

    That is the largest it can be: where false alarms fall on a few patients again and again, fewer are hit.
    """
    return 1.0 - (1.0 - min(false_alarms / num_patients, 1.0)) ** num_records


def share_beside_floor(value: float, num_units: int, floor: float, floor_limits: tuple[float, float]) -> Estimate:
    """Return a share with an interval that also holds what is not known about its floor.

    The lower end lies above the floor only if the difference of the two shares is surely positive: Newcombe's interval
    of a difference, laid around the value.

    Args:
        value: the share.
        num_units: independent units behind it.
        floor: the share that strangers have.
        floor_limits: its interval.

    Source:
        Newcombe 1998, Statistics in Medicine 17:873, method 10, with exact in place of Wilson limits.
    """
    exact = share_estimate(round(value * num_units), num_units)
    if exact.low is None or exact.high is None:
        return exact
    low = value - np.hypot(value - min(exact.low, value), floor_limits[1] - floor)
    high = value + np.hypot(max(exact.high, value) - value, floor - floor_limits[0])
    return Estimate(value, float(max(low, 0.0)), float(min(high, 1.0)), num_units)
