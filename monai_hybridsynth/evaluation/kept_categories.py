"""Which categories of the real cohort no synthetic record has."""

from __future__ import annotations

import numpy as np

from monai_hybridsynth.data import RecordField
from monai_hybridsynth.evaluation.judged_cohort import JudgedCohort
from monai_hybridsynth.evaluation.metric_record import MetricRecord
from monai_hybridsynth.evaluation.prediction_targets import label_sets
from monai_hybridsynth.metrics import Estimate, share_estimate

__all__ = ["dropped_categories", "kept_categories"]

# A category is called dropped only if a faithful cohort of that size would lack it by chance in fewer cases than this.
CHANCE = 0.05
# Of rarer categories a release should say nothing: they would point to single patients.
MINIMUM_PATIENTS = 5
MAXIMUM_NAMED = 12


def dropped_categories(train: JudgedCohort, other: JudgedCohort, column: str) -> tuple[list[str], int]:
    """Return the training categories of a column that the other cohort surely dropped, and how many it could drop.

    Categories of very few patients are left out: a release should not hold them.

    Args:
        train: real training cohort; a category's share is that of its patients.
        other: synthetic or held-out cohort.
        column: a column of categories or labels.
    """
    field = train.cohort.schema[column]
    levels = _level_sets(train, field)
    there = set().union(*_level_sets(other, field)) if len(other) else set()
    dropped, testable = [], 0
    for level in sorted(set().union(*levels) if levels else set()):
        holders = np.array([level in found for found in levels])
        share = float(np.average(holders, weights=train.weights))
        patients = len(np.unique(train.groups[holders]))
        if patients >= MINIMUM_PATIENTS and (1 - share) ** other.num_groups < CHANCE:
            testable += 1
            dropped += [] if level in there else [level]
    return dropped, testable


def _level_sets(side: JudgedCohort, field: RecordField) -> list[set[str]]:
    column = side.table[field.name]
    if field.kind == "multilabel":
        return [labels or set() for labels in label_sets(column, field)]
    return [set() if gone else {str(value)} for value, gone in zip(column, column.isna(), strict=True)]


def kept_categories(train: JudgedCohort, holdout: JudgedCohort, synthetic: JudgedCohort) -> list[MetricRecord]:
    """Return categories_kept for all columns together, and for each column that lost one."""
    schema = train.cohort.schema
    columns = [name for name in schema.feature_names if not schema[name].is_numeric]
    lost = {name: dropped_categories(train, synthetic, name) for name in columns}
    other = {name: dropped_categories(train, holdout, name) for name in columns}
    records = [_record(None, lost, other, synthetic.name)]
    return records + [
        _record(name, {name: lost[name]}, {name: other[name]}, synthetic.name) for name in columns if lost[name][0]
    ]


Losses = dict[str, tuple[list[str], int]]


def _record(column: str | None, lost: Losses, other: Losses, cohort: str) -> MetricRecord:
    testable = sum(count for _, count in lost.values())
    named = [f"{name} = {level}" for name, (levels, _) in lost.items() for level in levels]
    estimate = Estimate.absent("the table has no category frequent enough to be missed")
    if testable:
        estimate = share_estimate(testable - len(named), testable)
    testable_other = sum(count for _, count in other.values())
    floor = None
    if testable_other:
        floor = 1 - sum(len(levels) for levels, _ in other.values()) / testable_other
    shown = ", ".join(named[:MAXIMUM_NAMED]) + (
        f" and {len(named) - MAXIMUM_NAMED} more" if named[MAXIMUM_NAMED:] else ""
    )
    return MetricRecord.of(
        estimate,
        cohort=cohort,
        family="fidelity",
        name="categories_kept",
        column=column,
        floor=floor,
        ceiling=1.0,
        estimator=(
            f"share of training categories and labels of at least {MINIMUM_PATIENTS} patients that some synthetic "
            "record has, among those that a faithful cohort of its size would lack with a chance below "
            f"{100 * CHANCE:.0f} %; exact binomial interval over categories (n); floor: the same of held-out patients"
        ),
        reading=(
            f"No synthetic record has {shown}, which at least {MINIMUM_PATIENTS} real patients have."
            if named
            else f"Every category that at least {MINIMUM_PATIENTS} real patients have is in some synthetic record."
        ),
    )
