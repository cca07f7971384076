"""Everything that is known about how an image looks, side by side and in one scale: what detectors look at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monai_hybridsynth.evaluation.judged_cohort import JudgedCohort
from monai_hybridsynth.metrics import radial_power_spectrum

__all__ = ["image_appearance", "judging_spaces", "standardised"]

# One absurd image must not decide a distance of populations.
MAXIMUM_DEVIATIONS = 5.0
# In the encoder of a generator its own images look best; what learned the labels ignores how images look.
APPEARANCE_SPACES = ("texture",)


def standardised(sides: Sequence[np.ndarray], *, limit: float = np.inf) -> list[np.ndarray]:
    """Return features in standard deviations of the first (training) side, cut at ``limit`` deviations."""
    centre, spread = sides[0].mean(0), sides[0].std(0)
    spread = np.where(spread > 1e-12, spread, 1.0)
    return [np.clip((side - centre) / spread, -limit, limit) for side in sides]


def judging_spaces(sides: Sequence[JudgedCohort]) -> dict[str, list[np.ndarray]]:
    """Return the features of the cohorts (the training cohort first) by space; ``judge`` is the evaluation's own.

    The judge's features come as they are; other spaces in standard deviations of the training images.
    """
    spaces = {"judge": [side.features for side in sides]}
    for name in sides[0].spaces:
        if all(name in side.spaces for side in sides):
            spaces[name] = standardised([side.spaces[name] for side in sides], limit=MAXIMUM_DEVIATIONS)
    return spaces


def image_appearance(sides: Sequence[JudgedCohort]) -> list[np.ndarray]:
    """Return judge, texture and spectrum of every image side by side, in deviations of the training (first) side.

    Spectra enter as logarithms; they are left out where a cohort keeps no pixels.
    """
    parts = [[side.features for side in sides]]
    parts += [
        [side.spaces[name] for side in sides]
        for name in APPEARANCE_SPACES
        if all(name in side.spaces for side in sides)
    ]
    if all(len(side.pixels) and side.pixels.shape[2] >= 4 for side in sides):
        parts.append([np.log10(radial_power_spectrum(side.pixels)[1] + 1e-3) for side in sides])
    scaled = [standardised(part) for part in parts]
    return [np.hstack(columns) for columns in zip(*scaled, strict=True)]
