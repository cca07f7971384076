"""Images one by one: are they as varied, as sharp and as sound as real ones?"""

from __future__ import annotations

from typing import Any

import numpy as np

from monai_hybridsynth.evaluation.comparable_draws import NUM_REPLICATES, ComparableDraws, comparable_draws
from monai_hybridsynth.evaluation.findings import Findings
from monai_hybridsynth.evaluation.judged_cohort import JudgedCohort
from monai_hybridsynth.evaluation.metric_record import MetricRecord
from monai_hybridsynth.metrics import (
    Estimate,
    half_samples,
    high_band_share,
    interval,
    pairwise_ms_ssim,
    radial_power_spectrum,
)

__all__ = ["image_quality"]

MINIMUM_EDGE = 11
_NO_PIXELS = "a cohort keeps no pixels"


def image_quality(train: JudgedCohort, holdout: JudgedCohort, synthetic: JudgedCohort, *, seed: int) -> Findings:
    """Return ms_ssim and high_band_gap, and the drawing ``spectrum``."""
    draws = comparable_draws(train, holdout, synthetic, seed=seed)
    sides = {"train": train, "holdout": holdout, "synthetic": synthetic}
    problem = draws.problem
    if any(min(side.pixels.shape[2:], default=0) < MINIMUM_EDGE for side in sides.values()):
        problem = _NO_PIXELS + f", or only images of fewer than {MINIMUM_EDGE} pixels along an edge"
    if problem:
        return Findings(
            [_diversity_record(Estimate.absent(problem), synthetic.name), _band_record(problem, synthetic.name)]
        )
    band, spectrum = _spectra(sides, draws)
    return Findings([_diversity(sides, draws), band], {"spectrum": spectrum})


def _diversity(sides: dict[str, JudgedCohort], draws: ComparableDraws) -> MetricRecord:
    """Return the mean likeness of random pairs; every record is in one pair of its draw, so pairs are independent."""
    means, values = {}, []
    for role, rows in (("train", draws.train), ("holdout", draws.holdout), ("synthetic", draws.synthetic)):
        found = []
        for order, drawn in enumerate(rows):
            chosen = np.random.default_rng(draws.seed + order).permutation(drawn[: draws.count])
            half = len(chosen) // 2
            images = sides[role].images(chosen[: 2 * half])
            found.append(pairwise_ms_ssim(images[:half], images[half:]).numpy())
        means[role] = float(np.mean(found))
        values = found
    point = means["synthetic"]
    halves = half_samples(len(values[0]), NUM_REPLICATES, seed=draws.seed)
    replicates = np.array(
        [
            values[place % len(values)][half].mean() - values[place % len(values)].mean() + point
            for place, half in enumerate(halves)
        ]
    )
    low, high = interval(point, replicates, num_groups=len(values[0]), bounds=(0.0, 1.0))
    estimate = Estimate(point, low, high, draws.count)
    return _diversity_record(estimate, sides["synthetic"].name, means, len(values), len(values[0]))


def _diversity_record(
    estimate: Estimate, cohort: str, means: dict[str, float] | None = None, num_draws: int = 0, num_pairs: int = 0
) -> MetricRecord:
    reading = "-"
    if means:
        reading = (
            f"Two synthetic images picked at random resemble each other by {means['synthetic']:.3f} of 1; two training "
            f"patients by {means['train']:.3f}, two held-out patients by {means['holdout']:.3f}. Clearly above says "
            "that the images are all alike (mode collapse), clearly below that they are noise."
        )
    return MetricRecord.of(
        estimate,
        cohort=cohort,
        family="fidelity",
        name="ms_ssim",
        better="lower",
        floor=means["holdout"] if means else None,
        ceiling=means["train"] if means else None,
        estimator=(
            f"mean multi-scale structural similarity of {num_pairs} random pairs of different patients, {num_draws} "
            "draws; floor: pairs of held-out patients, ceiling: pairs of training patients; interval from random "
            "halves of the pairs of one draw"
        ),
        reading=reading,
    )


def _spectra(sides: dict[str, JudgedCohort], draws: ComparableDraws) -> tuple[MetricRecord, dict[str, Any]]:
    """Return the gap in fine detail in decibels, and the mean spectra of the cohorts."""
    power = {}
    for role, side in sides.items():
        frequencies, power[role] = radial_power_spectrum(side.pixels)
    shares = {role: high_band_share(frequencies, rings) for role, rings in power.items()}

    def gap(real: np.ndarray, other: np.ndarray, role: str) -> np.ndarray:
        means = [max(float(share.mean()), 1e-12) for share in (shares["train"][real], shares[role][other])]
        return np.array([10 * np.log10(means[1] / means[0])])

    found = draws.compare(gap)
    estimate = found.estimate(0)
    record = _band_record(estimate, sides["synthetic"].name, float(found.floors[0]), draws.describe())
    scale = float(np.average(power["train"].sum(1), weights=sides["train"].weights))
    curves = {}
    for role, rings in power.items():
        mean = np.average(rings, axis=0, weights=sides[role].weights) / max(scale, 1e-12)
        curves["real" if role == "train" else role] = [float(f"{value:.4g}") for value in mean]
    return record, {"frequency": [float(value) for value in frequencies], **curves}


def _band_record(found: Estimate | str, cohort: str, floor: float | None = None, how: str = "") -> MetricRecord:
    """Return the line of the unsigned gap; the reading says in which direction it points."""
    reading = "-"
    if isinstance(found, str) or found.value is None or found.low is None or found.high is None:
        estimate = Estimate.absent(found if isinstance(found, str) else found.note)
    else:
        inside = found.low <= 0 <= found.high
        ends = sorted((abs(found.low), abs(found.high)))
        estimate = Estimate(abs(found.value), 0.0 if inside else ends[0], ends[1], found.n)
        percent = 100 * (10 ** (found.value / 10) - 1)
        other = 100 * (10 ** ((floor or 0.0) / 10) - 1)
        direction = "more (grain, checkerboards)" if percent > 0 else "less (blur)"
        reading = (
            f"The synthetic images hold {abs(percent):.0f} % {direction} fine detail than the training images; other "
            f"real patients {abs(other):.0f} % {'more' if other > 0 else 'less'}."
        )
    return MetricRecord.of(
        estimate,
        cohort=cohort,
        family="fidelity",
        name="high_band_gap",
        better="lower",
        floor=None if floor is None else abs(floor),
        ceiling=0.0,
        estimator=(
            "difference, without sign and in decibels, of the share of spectral energy at or above a quarter cycle per "
            f"pixel (radial power spectrum, Hann window); {how}"
        ),
        reading=reading,
    )
