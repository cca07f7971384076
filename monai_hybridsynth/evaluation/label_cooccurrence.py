"""Which findings come together, P(column | row), in the real and in the synthetic cohort."""

from __future__ import annotations

import numpy as np
import pandas as pd

from monai_hybridsynth.data import RecordSchema
from monai_hybridsynth.evaluation.findings import Findings
from monai_hybridsynth.evaluation.judged_cohort import JudgedCohort
from monai_hybridsynth.evaluation.metric_record import MetricRecord
from monai_hybridsynth.evaluation.prediction_targets import (
    NEGATIVE_LEVELS,
    PredictionTarget,
    prediction_targets,
    target_matrix,
)
from monai_hybridsynth.evaluation.table_draws import TableDraws
from monai_hybridsynth.metrics import Estimate, conditional_shares, cooccurrence_gap

__all__ = ["label_cooccurrence"]

MAXIMUM_LABELS = 20
# Shares among fewer patients than this are noise.
MINIMUM_PATIENTS = 5


def label_cooccurrence(draws: TableDraws) -> Findings:
    """Return label_cooccurrence, and the drawing ``cooccurrence``: both matrices of P(column | row)."""
    train, _, synthetic = draws.sides
    targets = _findings(train)
    if len(targets) < 2:
        reason = f"the table names {len(targets)} findings of at least {MINIMUM_PATIENTS} patients, and two are needed"
        return Findings([_record(Estimate.absent(reason), synthetic.name, None, draws)])

    def statistic(first: pd.DataFrame, second: pd.DataFrame, *weights: np.ndarray) -> np.ndarray:
        sides = [target_matrix(targets, table) for table in (first, second)]
        return cooccurrence_gap(sides[0], sides[1], weights[0], weights[1])

    found = draws.compare(statistic)
    labels = [f"{target.column}: {target.label}" for target in targets]
    if len({target.column for target in targets}) == 1:
        labels = [str(target.label) for target in targets]
    matrices = [conditional_shares(target_matrix(targets, side.table), side.weights) for side in (train, synthetic)]
    drawn = [
        [[None if np.isnan(share) else round(float(share), 4) for share in row] for row in matrix]
        for matrix in matrices
    ]
    record = _record(found.estimate(""), synthetic.name, found.floor, draws)
    return Findings([record], {"cooccurrence": {"labels": labels, "real": drawn[0], "synthetic": drawn[1]}})


def _findings(train: JudgedCohort) -> list[PredictionTarget]:
    """Return labels of multi-label columns and the yes of yes-or-no columns, held by enough training patients."""
    schema: RecordSchema = train.cohort.schema
    chosen = [name for name in schema.feature_names if schema[name].kind in ("binary", "multilabel")]
    found = []
    for target in prediction_targets(schema, chosen, train.table):
        levels = {str(value).lower() for value in train.table[target.column].dropna()}
        if target.field.kind == "binary" and not levels & set(NEGATIVE_LEVELS):
            continue
        patients = len(np.unique(train.groups[target.values(train.table) == 1]))
        if patients >= MINIMUM_PATIENTS:
            found.append((patients, target))
    kept = sorted(found, key=lambda pair: -pair[0])[:MAXIMUM_LABELS]
    return [target for _, target in kept]


def _record(estimate: Estimate, cohort: str, floor: float | None, draws: TableDraws) -> MetricRecord:
    value = "" if estimate.value is None else f"{100 * estimate.value:.1f}"
    other = "unknown" if floor is None or not np.isfinite(floor) else f"{100 * floor:.1f}"
    return MetricRecord.of(
        estimate,
        cohort=cohort,
        family="fidelity",
        name="label_cooccurrence",
        better="lower",
        floor=floor,
        ceiling=0.0,
        estimator=(
            "mean absolute difference of P(column | row) over pairs of findings, rows weighted by their frequency in "
            f"train; a finding that the other side lacks keeps nothing; {draws.describe()}"
        ),
        reading=(
            f"Among records with one finding, the share that has another one differs from the real share by {value} "
            f"points on average (other real patients: {other})."
        ),
    )
