"""Images that no real image resembles: share above a threshold that held-out patients set, and the worst of them."""

from __future__ import annotations

import numpy as np

from monai_hybridsynth.evaluation.findings import Findings
from monai_hybridsynth.evaluation.image_appearance import image_appearance
from monai_hybridsynth.evaluation.judged_cohort import JudgedCohort
from monai_hybridsynth.evaluation.metric_record import MetricRecord
from monai_hybridsynth.metrics import Estimate, bootstrap_weights, broken_share, interval, outlier_scores

__all__ = ["broken_images"]

FALSE_ALARM = 0.05
NUM_SPLITS = 8
NUM_REPLICATES = 96
NUM_SHOWN = 12
# At 5 % false alarms, half of them hold one image beyond the threshold.
MINIMUM_PATIENTS = 40


def broken_images(train: JudgedCohort, holdout: JudgedCohort, synthetic: JudgedCohort, *, seed: int) -> Findings:
    """Return broken_images, and the drawing ``broken``: rows of the synthetic images with the worst scores."""
    appearance = image_appearance((train, holdout, synthetic))
    if appearance[0].shape[1] == 0 or len(train) < 2 or holdout.num_groups < MINIMUM_PATIENTS:
        problem = f"a threshold needs {MINIMUM_PATIENTS} held-out patients, and there are {holdout.num_groups}"
        return Findings([_record(Estimate.absent(problem), synthetic.name, None)])
    real, made = (outlier_scores(side, appearance[0]) for side in appearance[1:])
    draws = [
        np.vstack([side.weights, bootstrap_weights(side.groups, NUM_REPLICATES, seed=seed + order) * side.weights])
        for order, side in enumerate((holdout, synthetic))
    ]
    codes = np.unique(holdout.groups, return_inverse=True)[1].reshape(-1)
    shares, floors = [], []
    rng = np.random.default_rng(seed)
    for _ in range(NUM_SPLITS):
        first = (rng.permutation(holdout.num_groups) < holdout.num_groups // 2)[codes]
        for half in (first, ~first):
            limit = {"calibration": real[half], "calibration_weights": draws[0][:, half]}
            shares.append(broken_share(made, weights=draws[1], false_alarm=FALSE_ALARM, **limit))
            floors.append(float(broken_share(real[~half], real[half], holdout.weights[~half], holdout.weights[half])))
    found = np.mean(shares, axis=0)
    low, high = interval(float(found[0]), found[1:], num_groups=holdout.num_groups, bounds=(0.0, 1.0))
    estimate = Estimate(float(found[0]), low, high, len(synthetic))
    worst = np.argsort(-made, kind="stable")[:NUM_SHOWN]
    return Findings(
        [_record(estimate, synthetic.name, float(np.mean(floors)))], {"broken": [int(row) for row in worst]}
    )


def _record(estimate: Estimate, cohort: str, floor: float | None) -> MetricRecord:
    share = "" if estimate.value is None else f"{100 * estimate.value:.1f} %"
    return MetricRecord.of(
        estimate,
        cohort=cohort,
        family="fidelity",
        name="broken_images",
        better="lower",
        floor=floor,
        ceiling=0.0,
        estimator=(
            "share of synthetic images beyond the 95 % quantile of held-out images in Mahalanobis distance from the "
            "training images (judge, texture and spectrum side by side, shrunk covariance); the threshold from one "
            "half of the held-out patients, the floor from the other half, halves swapped, mean of "
            f"{NUM_SPLITS} splits; interval by bootstrap of held-out patients and synthetic records; n counts "
            "synthetic records"
        ),
        reading=(
            f"{share} of the synthetic images look unlike any real image, by a test that calls "
            f"{100 * (floor or 0.0):.1f} % of other real patients' images so; it does not see moderate blur, so "
            "read the gap in fine detail (high_band_gap) beside it."
        ),
    )
