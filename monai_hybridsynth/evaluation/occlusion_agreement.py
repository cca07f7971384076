"""Do models trained on real and on synthetic records look at the same places of the same images?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from monai_hybridsynth.evaluation.findings import Findings
from monai_hybridsynth.evaluation.judged_cohort import JudgedCohort
from monai_hybridsynth.evaluation.metric_record import MetricRecord
from monai_hybridsynth.evaluation.probe_scores import ProbeSide
from monai_hybridsynth.evaluation.ridge_probe import RidgeRefit, choose_penalties, patient_folds
from monai_hybridsynth.evaluation.utility_records import UtilityOutcome, label_dimension, outcome_words
from monai_hybridsynth.metrics import (
    Estimate,
    map_agreement,
    weighted_auroc,
)

__all__ = ["absent_agreement", "agreement_record", "main_outcome", "map_drawings", "probe_occlusion"]

# Probes see 16 x 16 means of pixels; a patch of 2 x 2 of them is hidden at a time (8 x 8 of 64 pixels).
PROBE_SIZE = 16
PATCH = 2
# Disjoint sets of synthetic records, each as large as the set of training patients.
MOST_SETS = 2
NUM_SHUFFLES = 32
NUM_DEALS = 3
NUM_DRAWN = 6
NUM_SPLITS = 20
# Occlusion maps are compared on this many holdout images at most.
MOST_IMAGES = 200
LINEAR: dict[str, str | float] = {"predictor": "linear", "input": "image"}


def main_outcome(outcomes: Sequence[UtilityOutcome]) -> UtilityOutcome | None:
    """Return the yes / no outcome with the most patients of the rarer class; None if there is none."""
    binary = [outcome for outcome in outcomes if outcome.target.is_binary]
    return max(binary, key=lambda outcome: outcome.patients, default=None)


def probe_occlusion(
    train: JudgedCohort,
    holdout: JudgedCohort,
    synthetic: JudgedCohort,
    outcomes: Sequence[UtilityOutcome],
    *,
    seed: int,
) -> Findings:
    """Return how far occlusion maps of linear pixel probes agree, one trained on held-out, one on synthetic records.

    The probe is linear in the means of 4 x 4 pixels (at 64 pixels), so that what hiding a patch behind the mean
    training image takes from its score is known exactly: the sum of weight times deviation over the patch. The
    comparison is with patients whom the generator never saw, because synthetic records also carry the chance of the
    training patients, and copies of them would agree with them better than other patients do.

    Args:
        train: patients the generator was fitted on; as many of them as there are records in a set give the ceiling.
        holdout: the other probe is trained on them, and their images are occluded.
        synthetic: the cohort that is judged.
        outcomes: what probes may predict; of those with two classes the one that shows most clearly in the training
            images is taken, so that there is something to look at. At least one has two classes.
        seed: seed of sets, shuffles, folds and halves.
    """
    binary = [outcome for outcome in outcomes if outcome.target.is_binary]
    if any(not len(side.pixels) for side in (train, holdout, synthetic)):
        reason = "no pixels were kept, so nothing can be occluded"
        return Findings([absent_agreement(reason, synthetic.name, binary[0], LINEAR)])
    centre = _coarse(train.pixels)
    spread = max(float(centre.std(0).mean()), 1e-6)
    seen = [_pixel_side(side, binary, centre.mean(0), spread) for side in (train, holdout, synthetic)]
    place, penalty = _clearest(seen[0], seed=seed)
    outcome, sides = binary[place], [ProbeSide(s.features, s.targets[:, [place]], s.groups) for s in seen]
    people, made = _known(sides[0]), _known(sides[2])
    size = min(len(np.unique(people.groups)), len(made.groups))
    order = np.random.default_rng(seed).permutation(len(made.groups))
    sets = [_rows(made, order[k * size : (k + 1) * size]) for k in range(min(MOST_SETS, len(order) // max(size, 1)))]
    training = _rows(people, patient_folds(people.groups, len(people.groups), seed=seed) < size)
    if any(len(np.unique(side.targets)) < 2 for side in (training, _known(sides[1]), *sets)) or not sets:
        reason = "the real patients, or as many synthetic records, lack one of the two outcomes"
        return Findings([absent_agreement(reason, synthetic.name, outcome, LINEAR)])
    study = _MapStudy(_Probe.of(sides[1], penalty), [_Probe.of(side, penalty) for side in (training, *sets)])
    images = sides[1].features.reshape(-1, *centre.shape[1:])
    rows = np.sort(np.random.default_rng(seed + 1).permutation(len(images))[:MOST_IMAGES])
    estimates = study.estimates(images, rows, seed=seed) | {"floor": study.floor(images, rows, sets[0], seed=seed)}
    estimator = (
        f"linear probes on {PROBE_SIZE} x {PROBE_SIZE} means of pixels, of the outcome that shows most clearly in the "
        f"training images; patches of {PATCH} x {PATCH} means hidden behind the mean image; compared with a probe of "
        f"holdout patients, mean over {len(rows)} holdout images and {len(sets)} sets of {size} synthetic records; "
        f"ceiling: a probe of {size} training patients; floor: outcomes shuffled, mean of {NUM_SHUFFLES}; "
        f"interval from probes refitted on {NUM_SPLITS} pairs of halves of the patients and records on both training "
        "sides, at the half's size and therefore wide"
    )
    record = agreement_record(estimates, synthetic.name, outcome, LINEAR, estimator)
    return Findings([record], {"occlusion": map_drawings(holdout, outcome, *study.drawn(images))})


def _pixel_side(side: JudgedCohort, outcomes: Sequence[UtilityOutcome], centre: np.ndarray, spread: float) -> ProbeSide:
    seen = (_coarse(side.pixels) - centre) / spread
    targets = np.column_stack([outcome.target.values(side.table) for outcome in outcomes])
    return ProbeSide(seen.reshape(len(seen), -1), targets, side.groups)


def _clearest(side: ProbeSide, *, seed: int) -> tuple[int, float]:
    """Return the column that out-of-fold probes rank best, and its penalty, both from training patients alone.

    One penalty for all cohorts, the middle one of several deals of patients to folds: probes of unequal penalties look
    at places of unequal size.
    """
    chosen = [
        choose_penalties(side.features, side.targets, side.weights, side.groups, seed=seed + deal)
        for deal in range(NUM_DEALS)
    ]
    penalties = np.median(chosen, axis=0)
    folds = patient_folds(side.groups, 5, seed=seed)
    predicted = np.empty_like(side.targets)
    probes = RidgeRefit(side.features, side.targets, penalties).folds(side.weights, folds, int(folds.max()) + 1)
    for fold, probe in enumerate(probes):
        predicted[folds == fold] = probe.predict(side.features[folds == fold])
    areas = []
    for column, values in enumerate(side.targets.T):
        known = ~np.isnan(values)
        areas.append(weighted_auroc(predicted[known, column], values[known], side.weights[known]))
    place = int(np.argmax(np.nan_to_num(areas)))
    return place, float(penalties[place])


def _known(side: ProbeSide) -> ProbeSide:
    return _rows(side, ~np.isnan(side.targets[:, 0]))


def _rows(side: ProbeSide, rows: np.ndarray) -> ProbeSide:
    return ProbeSide(side.features[rows], side.targets[rows], side.groups[rows])


def _coarse(pixels: np.ndarray) -> np.ndarray:
    """Return means over blocks of pixels, float64 ``(N, C, size, size)``; images of another edge are cut to fit."""
    edge = min(pixels.shape[2:])
    size = min(PROBE_SIZE, edge)
    step = edge // size
    kept = pixels[:, :, : size * step, : size * step].astype(float) / 127.5 - 1
    return kept.reshape(*kept.shape[:2], size, step, size, step).mean((3, 5))


def _maps(tested: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """Return what hiding each patch takes from a linear score, ``(N, P, P)``; neighbouring patches overlap."""
    effect = (tested * coefficients.reshape(tested.shape[1:])).sum(1)
    windows = np.lib.stride_tricks.sliding_window_view(effect, (PATCH, PATCH), axis=(1, 2))
    return windows.sum((3, 4))


def _mean_agreement(first: np.ndarray, second: np.ndarray, weights: np.ndarray) -> float:
    """Return the mean over images, of patches that lie side by side."""
    agreement = map_agreement(first[:, ::PATCH, ::PATCH], second[:, ::PATCH, ::PATCH])
    return float(np.average(agreement, weights=weights))


@dataclass(frozen=True)
class _Probe:
    """One cohort's probe, which can be fitted again under other weights."""

    side: ProbeSide
    refit: RidgeRefit

    @classmethod
    def of(cls, side: ProbeSide, penalty: float) -> _Probe:
        return cls(side, RidgeRefit(side.features, side.targets, np.full(side.targets.shape[1], penalty)))

    def maps(self, tested: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return _maps(tested, self.refit(weights).coefficients)

    def halves(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the weights of two halves of the patients, each ``(rows,)``."""
        first = patient_folds(self.side.groups, 2, seed=seed) == 0
        return self.side.weights * first, self.side.weights * ~first


@dataclass(frozen=True)
class _MapStudy:
    """The probe of holdout patients against those of training patients (first) and of sets of synthetic records."""

    reference: _Probe
    others: Sequence[_Probe]

    def _agreement(
        self, images: np.ndarray, rows: np.ndarray, reference: np.ndarray, others: Sequence[np.ndarray]
    ) -> np.ndarray:
        """Return ceiling and value under weights of the reference patients and of each other cohort."""
        tested = images[rows]
        own = self.reference.maps(tested, reference)
        pairs = zip(self.others, others, strict=True)
        found = [_mean_agreement(own, probe.maps(tested, weights), reference[rows]) for probe, weights in pairs]
        return np.array([found[0], np.mean(found[1:])])

    def estimates(self, images: np.ndarray, rows: np.ndarray, *, seed: int) -> dict[str, Estimate]:
        """Return value and ceiling with intervals, maps compared on some rows of the images."""
        base = [probe.side.weights for probe in self.others]
        point = self._agreement(images, rows, self.reference.side.weights, base)
        differences = []
        for split in range(NUM_SPLITS):
            sides = [probe.halves(seed + split) for probe in (self.reference, *self.others)]
            once, again = (self._agreement(images, rows, own, rest) for own, *rest in zip(*sides, strict=True))
            differences.append(once - again)
        # Halves of patients share nobody, so half the mean squared difference is the variance at half the size. It is
        # not divided by two for the whole, because agreement of what is mostly chance does not settle with size.
        deviation = np.sqrt(np.mean(np.square(differences), axis=0) / 2)
        names = ("ceiling", "value")
        return {name: self._estimate(float(point[k]), float(deviation[k])) for k, name in enumerate(names)}

    def _estimate(self, value: float, deviation: float) -> Estimate:
        from scipy import stats

        patients = len(np.unique(self.reference.side.groups))
        if patients < 4:
            return Estimate.absent(f"no interval can be formed from {patients} independent units", n=patients)
        half = float(stats.t.ppf(0.975, patients - 1)) * deviation
        return Estimate(value, max(value - half, -1.0), min(value + half, 1.0), patients)

    def floor(self, images: np.ndarray, rows: np.ndarray, made: ProbeSide, *, seed: int) -> Estimate:
        """Return the mean agreement of probes whose outcomes were shuffled among the synthetic records."""
        rng = np.random.default_rng(seed + 1000)
        targets = np.column_stack([rng.permutation(made.targets[:, 0]) for _ in range(NUM_SHUFFLES)])
        penalty = float(self.reference.refit.penalties[0])
        shuffled = _Probe.of(ProbeSide(made.features, targets, made.groups), penalty).refit(made.weights)
        weights = self.reference.side.weights
        own = self.reference.maps(images[rows], weights)
        found = [_mean_agreement(own, _maps(images[rows], c), weights[rows]) for c in shuffled.coefficients.T]
        return Estimate(float(np.mean(found)), min(found), max(found), NUM_SHUFFLES)

    def drawn(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the maps of the holdout probe and of the first set of synthetic records."""
        first, second = (probe.maps(images, probe.side.weights) for probe in (self.reference, self.others[1]))
        return first, second


def agreement_record(
    estimates: Mapping[str, Estimate],
    cohort: str,
    outcome: UtilityOutcome,
    dimensions: Mapping[str, str | float],
    estimator: str,
) -> MetricRecord:
    """Return the agreement, or none where two models of real patients do not agree either.

    Args:
        estimates: mean rank correlation with maps of a model of held-out patients: ``value`` of a model of synthetic
            records, ``ceiling`` of one of training patients, ``floor`` of one that learned nothing.
        cohort: name of the synthetic cohort.
        outcome: what the models predict.
        dimensions: predictor and input.
        estimator: how the maps were made.
    """
    ceiling, floor, value = estimates["ceiling"], estimates["floor"], estimates["value"]
    if ceiling.low is None or not ceiling.low > 0:
        reason = "models of training patients and of held-out patients do not surely agree with each other either"
        return absent_agreement(reason, cohort, outcome, dimensions, estimator)
    reading = (
        f"What a model of {outcome_words(outcome.target)} trained on synthetic records looks at in real images "
        f"correlates {value.value or 0:.2f} with what one trained on held-out patients looks at; one trained on the "
        f"training patients correlates {ceiling.value:.2f}."
    )
    above = value.low is not None and value.low > (ceiling.value or 0.0)
    note = "above the ceiling: the outcome shows more clearly than in as many real patients; it may be exaggerated"
    value = replace(value, note=note) if above else value
    return _record(value, cohort, outcome, dimensions, estimator, reading, floor=floor.value, ceiling=ceiling.value)


def absent_agreement(
    reason: str,
    cohort: str,
    outcome: UtilityOutcome,
    dimensions: Mapping[str, str | float],
    estimator: str = "occlusion maps",
) -> MetricRecord:
    """Return the record of an agreement that cannot be estimated, with the reason."""
    return _record(Estimate.absent(reason), cohort, outcome, dimensions, estimator, "-")


def _record(
    estimate: Estimate,
    cohort: str,
    outcome: UtilityOutcome,
    dimensions: Mapping[str, str | float],
    estimator: str,
    reading: str,
    *,
    floor: float | None = None,
    ceiling: float | None = None,
) -> MetricRecord:
    return MetricRecord.of(
        estimate,
        cohort=cohort,
        family="utility",
        name="occlusion_agreement",
        column=outcome.target.column,
        dimensions={**dimensions, **label_dimension(outcome.target)},
        floor=floor,
        ceiling=ceiling,
        estimator=estimator,
        reading=reading,
    )


def map_drawings(
    holdout: JudgedCohort, outcome: UtilityOutcome, real: np.ndarray, synthetic: np.ndarray
) -> list[dict[str, Any]]:
    """Return maps of a few holdout images, half of them with the outcome, each map scaled to a largest size of one."""
    values = outcome.target.values(holdout.table)
    rows = [row for level in (1.0, 0.0) for row in np.flatnonzero(values == level)[: NUM_DRAWN // 2]]

    def scaled(heat: np.ndarray) -> list[list[float]]:
        return [[round(float(v), 3) for v in line] for line in heat / max(float(np.abs(heat).max()), 1e-12)]

    name = outcome_words(outcome.target)
    return [
        {"row": int(row), "target": name, "real": scaled(real[row]), "synthetic": scaled(synthetic[row])}
        for row in rows
    ]
