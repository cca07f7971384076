"""Do synthetic images look like real ones: as populations, one by one, to a classifier, and in every subgroup?"""

from __future__ import annotations

from monai_hybridsynth.evaluation.broken_images import broken_images
from monai_hybridsynth.evaluation.findings import Findings
from monai_hybridsynth.evaluation.image_distances import image_distances
from monai_hybridsynth.evaluation.image_quality import image_quality
from monai_hybridsynth.evaluation.judged_cohort import JudgedCohort
from monai_hybridsynth.evaluation.real_or_synthetic import real_or_synthetic
from monai_hybridsynth.evaluation.subgroup_fidelity import subgroup_fidelity

__all__ = ["image_fidelity"]


def image_fidelity(train: JudgedCohort, holdout: JudgedCohort, synthetic: JudgedCohort, *, seed: int) -> Findings:
    """Return every figure of image fidelity, synthetic against train, with holdout against train as its floor.

    Metrics: kernel_distance, frechet_distance, precision, recall, density, coverage (dimension ``features``; kernel
    distance, recall and coverage also per ``subgroup``), ms_ssim, high_band_gap, broken_images, and
    real_or_synthetic_auroc (dimension ``classifier``). Drawings: ``spectrum``, ``broken``.
    """
    sides = (train, holdout, synthetic)
    quality = image_quality(*sides, seed=seed)
    broken = broken_images(*sides, seed=seed)
    return Findings(
        [
            *image_distances(*sides, seed=seed),
            *quality.metrics,
            *broken.metrics,
            *real_or_synthetic(*sides, seed=seed),
            *subgroup_fidelity(*sides, seed=seed),
        ],
        {**quality.drawings, **broken.drawings},
    )
