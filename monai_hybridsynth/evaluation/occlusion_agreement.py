"""Do models trained on real and on synthetic records look at the same places of the same images?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from monai_hybridsynth.evaluation.findings import Findings
from monai_hybridsynth.evaluation.judged_cohort import JudgedCohort
from monai_hybridsynth.evaluation.metric_record import MetricRecord
from monai_hybridsynth.evaluation.ridge_probe import RidgeRefit, choose_penalties, patient_folds
from monai_hybridsynth.evaluation.utility_records import UtilityOutcome, label_dimension, outcome_words
from monai_hybridsynth.metrics import Estimate, bootstrap_estimate, map_agreement, record_weights

__all__ = ["agreement_record", "main_outcome", "map_drawings", "probe_occlusion"]

# Probes see 16 x 16 means of pixels; a patch of 2 x 2 of them is hidden at a time (8 x 8 of 64 pixels).
PROBE_SIZE = 16
PATCH = 2
NUM_HALVES = 4
NUM_DRAWN = 6
NUM_REPLICATES = 1000


def main_outcome(outcomes: Sequence[UtilityOutcome]) -> UtilityOutcome | None:
    """Return the yes / no outcome with the most patients of the rarer class; None if there is none."""
    binary = [outcome for outcome in outcomes if outcome.target.is_binary]
    return max(binary, key=lambda outcome: outcome.patients, default=None)


def probe_occlusion(
    train: JudgedCohort, holdout: JudgedCohort, synthetic: JudgedCohort, outcome: UtilityOutcome, *, seed: int
) -> Findings:
    """Return how far occlusion maps of linear pixel probes agree, one trained on real, one on synthetic records.

    The probe is linear in the means of 4 x 4 pixels (at 64 pixels), so that what hiding a patch behind the mean
    training image takes from its score is known exactly: the sum of weight times deviation over the patch. Real
    patients are halved: the probe of one half is compared with the probe of the other (the ceiling) and with one of
    as many synthetic records, so that value and ceiling rest on equally many records.

    Args:
        train: patients the generator was fitted on.
        holdout: their images are occluded.
        synthetic: the cohort that is judged.
        outcome: what the probes predict.
        seed: seed of halves, draws and folds.
    """
    if any(not len(side.pixels) for side in (train, holdout, synthetic)):
        return Findings([_absent("no pixels were kept, so nothing can be occluded", synthetic.name, outcome)])
    values = {side.role: _outcome_values(outcome, side) for side in (train, holdout, synthetic)}
    images = {side.role: _coarse(side.pixels) for side in (train, holdout, synthetic)}
    centre = images["train"].mean(0)
    spread = max(float(images["train"].std(0).mean()), 1e-6)
    seen = {role: ((image - centre) / spread) for role, image in images.items()}
    pairs: dict[str, list[np.ndarray]] = {"value": [], "ceiling": [], "floor": []}
    drawn: list[np.ndarray] = []
    rng = np.random.default_rng(seed)
    for repeat in range(NUM_HALVES):
        halves = patient_folds(train.groups, 2, seed=seed + repeat)
        size = int(record_weights(train.groups)[halves == 1].sum())
        chosen = rng.permutation(len(synthetic))[:size]
        maps = [
            _probe_maps(seen[role][rows], values[role][rows], groups[rows], seen["holdout"], seed=seed)
            for role, rows, groups in (
                ("train", halves == 0, train.groups),
                ("train", halves == 1, train.groups),
                ("synthetic", chosen, synthetic.groups),
            )
        ]
        if any(found is None for found in maps):
            reason = "a half of the real patients, or as many synthetic records, lack one of the two outcomes"
            return Findings([_absent(reason, synthetic.name, outcome)])
        first, second, made = (np.asarray(found) for found in maps)
        pairs["value"] += [map_agreement(first, made), map_agreement(second, made)]
        pairs["ceiling"].append(map_agreement(first, second))
        pairs["floor"].append(map_agreement(first, np.roll(made, 1 + len(made) // 2, axis=0)))
        drawn = drawn or [first, made]
    means = {name: np.mean(found, axis=0) for name, found in pairs.items()}
    estimator = (
        f"linear probes on {PROBE_SIZE} x {PROBE_SIZE} means of pixels, patches of {PATCH} x {PATCH} of them hidden "
        f"behind the mean image; mean over {NUM_HALVES} halvings of the real patients and over holdout images; "
        "ceiling: probes of the two halves (copies of training patients can exceed it); floor: maps of other images; "
        "bootstrap of the holdout patients, probes not refitted"
    )
    record = agreement_record(
        means, holdout.groups, synthetic.name, outcome, {"predictor": "linear", "input": "image"}, estimator, seed=seed
    )
    return Findings([record], {"occlusion": map_drawings(holdout, outcome, drawn[0], drawn[1])})


def _outcome_values(outcome: UtilityOutcome, side: JudgedCohort) -> np.ndarray:
    return outcome.target.values(side.table)


def _coarse(pixels: np.ndarray) -> np.ndarray:
    """Return means over blocks of pixels, float64 ``(N, C, size, size)``; images of another edge are cut to fit."""
    edge = min(pixels.shape[2:])
    size = min(PROBE_SIZE, edge)
    step = edge // size
    kept = pixels[:, :, : size * step, : size * step].astype(float) / 127.5 - 1
    return kept.reshape(*kept.shape[:2], size, step, size, step).mean((3, 5))


def _probe_maps(
    images: np.ndarray, values: np.ndarray, groups: np.ndarray, tested: np.ndarray, *, seed: int
) -> np.ndarray | None:
    """Return what hiding each patch takes from the probe's score, ``(N, P, P)``; None without both outcomes."""
    known = ~np.isnan(values)
    if len(np.unique(values[known])) < 2:
        return None
    features, target = images[known].reshape(known.sum(), -1), values[known, None]
    weights = record_weights(groups[known])
    penalties = choose_penalties(features, target, weights, groups[known], seed=seed)
    probe = RidgeRefit(features, target, penalties)(weights)
    effect = (tested * probe.coefficients[:, 0].reshape(tested.shape[1:])).sum(1)
    windows = np.lib.stride_tricks.sliding_window_view(effect, (PATCH, PATCH), axis=(1, 2))
    return windows.sum((3, 4))


def agreement_record(
    means: Mapping[str, np.ndarray],
    groups: np.ndarray,
    cohort: str,
    outcome: UtilityOutcome,
    dimensions: Mapping[str, str | float],
    estimator: str,
    *,
    seed: int,
) -> MetricRecord:
    """Return the mean agreement over holdout images, or none where two real models do not agree either.

    Args:
        means: rank correlation per holdout image, shape ``(rows,)``, under ``value``, ``ceiling`` and ``floor``.
        groups: patient of each holdout row.
        cohort: name of the synthetic cohort.
        outcome: what the models predict.
        dimensions: predictor and input.
        estimator: how the maps were made.
        seed: of the bootstrap.
    """
    estimates = {name: _mean_estimate(found, groups, seed=seed) for name, found in means.items()}
    ceiling, floor, value = estimates["ceiling"], estimates["floor"], estimates["value"]
    if ceiling.low is None or not ceiling.low > 0:
        reason = "two models trained on real patients do not agree with each other either"
        return _record(Estimate.absent(reason), cohort, outcome, dimensions, estimator, "-")
    reading = (
        f"What a model of {outcome_words(outcome.target)} trained on synthetic records looks at in real images "
        f"correlates {value.value or 0:.2f} with what one trained on real records looks at; two trained on real "
        f"records correlate {ceiling.value:.2f}."
    )
    above = value.low is not None and value.low > (ceiling.value or 0.0)
    note = "above the ceiling: these records carry the chance of the training patients; read the privacy figures"
    return _record(
        replace(value, note=note if above else ""),
        cohort,
        outcome,
        dimensions,
        estimator,
        reading,
        floor=floor.value,
        ceiling=ceiling.value,
    )


def _mean_estimate(values: np.ndarray, groups: np.ndarray, *, seed: int) -> Estimate:
    statistic: Callable[[np.ndarray], np.ndarray] = lambda weights: (weights * values).sum(-1) / weights.sum(-1)  # noqa: E731
    return bootstrap_estimate(statistic, groups, seed=seed, num_replicates=NUM_REPLICATES, bounds=(-1.0, 1.0))


def _absent(reason: str, cohort: str, outcome: UtilityOutcome) -> MetricRecord:
    return _record(
        Estimate.absent(reason), cohort, outcome, {"predictor": "linear", "input": "image"}, "occlusion maps", "-"
    )


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
