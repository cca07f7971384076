"""How strongly do image features hang together with each column, in synthetic records and in real ones?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from monai_hybridsynth.evaluation.findings import Findings
from monai_hybridsynth.evaluation.judged_cohort import JudgedCohort
from monai_hybridsynth.evaluation.metric_record import MetricRecord
from monai_hybridsynth.evaluation.prediction_targets import ordered_scale, prediction_targets, target_matrix
from monai_hybridsynth.metrics import Dependence, Estimate, distance_correlation

__all__ = ["dependence_findings"]

# Distances between all pairs of rows: more rows make the error smaller than any difference that matters.
MAXIMUM_RECORDS = 1000
JUDGE = "judge"
ENCODER = "encoder"
_SPACES = {JUDGE: "image features", ENCODER: "codes of the generator's own encoder"}
_ESTIMATOR = (
    "bias-corrected distance correlation between {what} and the column; intervals from its influence function, "
    "patients as a whole; {bounds}"
)


def dependence_findings(train: JudgedCohort, holdout: JudgedCohort, synthetic: JudgedCohort, *, seed: int) -> Findings:
    """Return dependence and dependence_difference per clinical column and for their mean, and their drawing.

    No predictor is trained, so links of any shape count; the agreement metrics say how useful they are. Measured in the
    judge's features and, where ``--encoder`` was given, in the generator's own encoder space, labelled so.

    Args:
        train: patients the generator was fitted on; the reference.
        holdout: patients it never saw; the floor.
        synthetic: the cohort that is judged.
        seed: of the choice of rows in large cohorts.
    """
    sides = [side.limited(MAXIMUM_RECORDS, seed=seed) for side in (train, holdout, synthetic)]
    metrics: list[MetricRecord] = []
    drawings: dict[str, object] = {}
    for space in (JUDGE, ENCODER):
        if space == ENCODER and not all(ENCODER in side.spaces for side in sides):
            continue
        found = _columns(sides, space)
        for column, values in found.items():
            metrics += _records(values, synthetic.name, space, column)
        metrics += _records(_mean(list(found.values())), synthetic.name, space, None)
        known = {name: values for name, values in found.items() if all(np.isfinite(side.error) for side in values)}
        drawings["dependence" if space == JUDGE else f"dependence_{space}"] = {
            "columns": list(known),
            **{
                role: [round(float(values[place].value), 6) for values in known.values()]
                for place, role in enumerate(("real", "holdout", "synthetic"))
            },
        }
    return Findings(metrics, drawings)


def _columns(sides: Sequence[JudgedCohort], space: str) -> Mapping[str, list[Dependence]]:
    """Return each column's dependence in train, holdout and synthetic cohort."""
    schema, reference = sides[0].cohort.schema, sides[0].table
    found: dict[str, list[Dependence]] = {}
    for name in schema.feature_names:
        targets = prediction_targets(schema, [name], reference)
        found[name] = []
        scale = target_matrix(targets, reference)
        for side in sides:
            values = target_matrix(targets, side.table)
            for place, target in enumerate(targets):
                if not target.is_binary:
                    values[:, place] = ordered_scale(values[:, place], scale[:, place])
            rows = ~np.isnan(values).any(1) if targets else np.zeros(len(side), dtype=bool)
            features = side.features if space == JUDGE else side.spaces[space]
            found[name].append(distance_correlation(features[rows], values[rows], side.groups[rows]))
    return found


def _mean(found: Sequence[list[Dependence]]) -> list[Dependence]:
    """Return the mean over the columns that are defined in all three cohorts."""
    known = [sides for sides in found if all(np.isfinite(side.error) for side in sides)]
    if not known:
        return [Dependence(float("nan"), float("nan"), 0)] * 3
    # Columns share their patients: their errors are added, not averaged out.
    return [
        Dependence(
            float(np.mean([sides[place].value for sides in known])),
            float(np.mean([sides[place].error for sides in known])),
            min(sides[place].num_groups for sides in known),
        )
        for place in range(3)
    ]


def _records(sides: Sequence[Dependence], cohort: str, space: str, column: str | None) -> list[MetricRecord]:
    """Return the synthetic cohort's dependence, and how far it lies from that of the training patients."""
    train, holdout, synthetic = sides
    what, where = _SPACES[space], "the clinical columns" if column is None else column
    level, gap = _level(synthetic), _gap(synthetic, train)
    signed = synthetic.value - train.value
    direction = "weaker" if signed < 0 else "stronger"
    known = np.isfinite(train.error)
    real = f"{train.value:.3f}" if known else "not estimable"
    shared = {"cohort": cohort, "family": "correspondence", "column": column, "dimensions": {"space": space}}
    label = "figure in the generator's own encoder space" if space == ENCODER else ""
    unlinked = known and train.value - 1.96 * train.error <= 0
    note = "; ".join(filter(None, [label, "no measurable dependence in real patients" if unlinked else ""]))
    return [
        MetricRecord.of(
            level,
            name="dependence",
            floor=0.0,
            ceiling=train.value if known else None,
            reading=f"In synthetic records {what} and {where} depend on each other with a strength of "
            f"{synthetic.value:.3f} (0: not at all, 1: wholly); in real training patients {real}.",
            estimator=_ESTIMATOR.format(what=what, bounds="floor: independence; ceiling: training patients"),
            note=note,
            **shared,  # type: ignore[arg-type]
        ),
        MetricRecord.of(
            gap,
            name="dependence_difference",
            better="lower",
            floor=abs(holdout.value - train.value) if known and np.isfinite(holdout.error) else None,
            ceiling=0.0,
            reading=f"The link between {what} and {where} is {abs(signed):.3f} {direction} than in real training "
            "patients; the floor is what other real patients differ by.",
            estimator=_ESTIMATOR.format(
                what=what, bounds="absolute difference from training patients; floor: held-out patients against them"
            ),
            note=note,
            **shared,  # type: ignore[arg-type]
        ),
    ]


def _level(side: Dependence) -> Estimate:
    if not np.isfinite(side.error):
        return Estimate.absent(_undefined("synthetic records"), n=side.num_groups)
    half = _half_width(side.error, side.num_groups)
    return Estimate(side.value, side.value - half, side.value + half, side.num_groups)


def _gap(synthetic: Dependence, train: Dependence) -> Estimate:
    """Return the absolute difference; its interval is the image of the signed difference's interval."""
    for side, what in ((synthetic, "synthetic records"), (train, "training patients")):
        if not np.isfinite(side.error):
            return Estimate.absent(_undefined(what), n=side.num_groups)
    count = min(synthetic.num_groups, train.num_groups)
    signed, half = synthetic.value - train.value, _half_width(np.hypot(synthetic.error, train.error), count)
    low, high = signed - half, signed + half
    return Estimate(abs(signed), max(low, -high, 0.0), max(abs(low), abs(high)), count)


def _half_width(error: float, count: int) -> float:
    from scipy import stats

    return float(stats.t.ppf(0.975, max(count - 1, 1)) * error)


def _undefined(what: str) -> str:
    return f"not estimable because the column never varies or is nearly always missing in {what}"
