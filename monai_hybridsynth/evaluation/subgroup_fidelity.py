"""Are all kinds of patients drawn equally well: image distances within women, within an age band, within one view."""

from __future__ import annotations

import numpy as np

from monai_hybridsynth.evaluation.comparable_draws import MINIMUM_PATIENTS, comparable_draws
from monai_hybridsynth.evaluation.image_distances import distance_records, distance_statistics
from monai_hybridsynth.evaluation.judged_cohort import JudgedCohort
from monai_hybridsynth.evaluation.metric_record import MetricRecord
from monai_hybridsynth.evaluation.patient_subgroups import patient_subgroups

__all__ = ["subgroup_fidelity"]

WANTED = ("kernel_distance", "recall", "coverage")
MINIMUM_SUBGROUP_PATIENTS = 20
NUM_DRAWS = 4
NUM_REPLICATES = 48


def subgroup_fidelity(
    train: JudgedCohort, holdout: JudgedCohort, synthetic: JudgedCohort, *, seed: int
) -> list[MetricRecord]:
    """Return kernel_distance, recall and coverage in the judge's features for each subgroup with enough patients.

    Synthetic records of a subgroup are compared with training patients of the same subgroup; a subgroup that the
    synthetic cohort hardly holds has lines without a value that say so.
    """
    real = (train, holdout)
    subgroups = patient_subgroups(
        train.cohort.schema,
        [side.table for side in real],
        [side.groups for side in real],
        minimum_patients=MINIMUM_SUBGROUP_PATIENTS,
    )
    records = []
    for subgroup in subgroups:
        dimensions = {"features": "judge", "subgroup": subgroup.name}
        rows = [np.flatnonzero(subgroup.members(side.table)) for side in (train, holdout, synthetic)]
        if len(rows[2]) < MINIMUM_PATIENTS:
            problem = (
                f"only {len(rows[2])} of {len(synthetic)} synthetic records belong to {subgroup.name}, which "
                f"{len(np.unique(train.groups[rows[0]]))} training patients do; {MINIMUM_PATIENTS} are needed"
            )
            records += distance_records(problem, synthetic.name, WANTED, dimensions, "", shrunk=False)
            continue
        parts = [side.subset(kept) for side, kept in zip((train, holdout, synthetic), rows, strict=True)]
        draws = comparable_draws(parts[0], parts[1], parts[2], seed=seed, num_draws=NUM_DRAWS)
        features = {role: part.features for role, part in zip(("train", "holdout", "synthetic"), parts, strict=True)}
        found = draws.compare(distance_statistics(features, wanted=WANTED), num_replicates=NUM_REPLICATES)
        how = draws.describe(num_replicates=NUM_REPLICATES)
        records += distance_records(found, synthetic.name, WANTED, dimensions, how, shrunk=False)
    return records
