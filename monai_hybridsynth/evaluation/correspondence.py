"""Do image and row belong together? Agreement per clinical column, forward and reverse, linear and kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from monai_hybridsynth.evaluation.judged_cohort import JudgedCohort
from monai_hybridsynth.evaluation.kernel_map import LandmarkKernel
from monai_hybridsynth.evaluation.metric_record import MetricRecord
from monai_hybridsynth.evaluation.pairing_direction import with_directions
from monai_hybridsynth.evaluation.prediction_targets import (
    PredictionTarget,
    ordered_scale,
    prediction_targets,
    target_matrix,
)
from monai_hybridsynth.evaluation.probe_scores import (
    PatientCrossfit,
    ProbeSide,
    ScoreTable,
    Statistic,
    average_tables,
    shuffled_transfer_scores,
    transfer_scores,
)
from monai_hybridsynth.metrics import (
    REFIT_CONTRACTION,
    Estimate,
    agreement_estimate,
    weighted_auroc,
    weighted_order_score,
)

__all__ = ["AgreementScores", "class_patients", "correspondence_metrics", "probe_features", "too_few_patients"]

MINIMUM_TRAIN_PATIENTS = 10
MINIMUM_TEST_PATIENTS = 4
CHANCE = 0.5

_READINGS = {
    "agreement_forward": (
        "A predictor that learned {what} from synthetic images finds {percent} of what one trained on real pairs "
        "finds in real patients."
    ),
    "agreement_reverse": (
        "A predictor that learned {what} from real images finds {percent} of what it finds in real patients when it "
        "looks at synthetic records."
    ),
}


@dataclass(frozen=True)
class AgreementScores:
    """Scores behind one direction and predictor.

    Attributes:
        matched: with synthetic pairs.
        shuffled: trained on real pairs after shuffling them.
        real: with real pairs.
        estimator: how they were obtained.
    """

    matched: ScoreTable
    shuffled: ScoreTable
    real: ScoreTable
    estimator: str


def class_patients(values: np.ndarray, groups: np.ndarray, *, binary: bool) -> int:
    """Return the patients behind an outcome: those of the rarer class, or all that have a number."""
    present = ~np.isnan(values)
    if not binary:
        return len(np.unique(groups[present]))
    return min(len(np.unique(groups[present & (values == level)])) for level in (0.0, 1.0))


def too_few_patients(train: int, test: int, *, binary: bool) -> str:
    """Return why an outcome cannot be scored, or an empty text."""
    if train >= MINIMUM_TRAIN_PATIENTS and test >= MINIMUM_TEST_PATIENTS:
        return ""
    return _too_few(binary, f"{train} in train and {test} in the holdout")


def _too_few(binary: bool, counts: str) -> str:
    what = "patients with the rarer outcome" if binary else "patients with a value"
    needed = f"{MINIMUM_TRAIN_PATIENTS} to learn from and {MINIMUM_TEST_PATIENTS} to test on are needed"
    return f"too few {what}: {counts}; {needed}"


def probe_features(train: np.ndarray, *others: np.ndarray, predictor: str, seed: int) -> list[np.ndarray]:
    """Return the features of several cohorts as the named predictor sees them; the kernel's landmarks are real."""
    if predictor == "linear":
        return [train, *others]
    kernel = LandmarkKernel().fit(train, seed=seed)
    return [kernel(side) for side in (train, *others)]


def _sides(
    targets: Sequence[PredictionTarget], cohorts: Sequence[JudgedCohort], *, predictor: str, seed: int
) -> list[ProbeSide]:
    """Return train, holdout and synthetic cohort for the predictors; numbers as their place among training values."""
    reference = target_matrix(targets, cohorts[0].table)
    matrices = [target_matrix(targets, cohort.table) for cohort in cohorts]
    for column, target in enumerate(targets):
        if not target.is_binary:
            for matrix in matrices:
                matrix[:, column] = ordered_scale(matrix[:, column], reference[:, column])
    features = probe_features(*(cohort.features for cohort in cohorts), predictor=predictor, seed=seed)
    return [
        ProbeSide(seen, matrix, cohort.groups) for seen, matrix, cohort in zip(features, matrices, cohorts, strict=True)
    ]


def forward_scores(
    sides: Sequence[ProbeSide], statistics: Sequence[Statistic], *, num_replicates: int, seed: int
) -> AgreementScores:
    """Train on synthetic pairs and on real pairs, test both on held-out patients; sides in order A, B, C."""
    train, holdout, synthetic = sides
    tables = transfer_scores(
        {"real": (train,), "synthetic": (synthetic,)},
        holdout,
        {"score": statistics},
        num_replicates=num_replicates,
        seed=seed,
    )
    floor = shuffled_transfer_scores(
        train, holdout, statistics, num_shuffles=10, num_replicates=num_replicates, seed=seed
    )
    estimator = (
        "ridge probes on image features, trained on synthetic or on real training pairs, scored on holdout patients "
        f"against 10 shuffles; patient-level bootstrap with refits, {num_replicates} replicates"
    )
    return AgreementScores(tables["synthetic"]["score"], floor, tables["real"]["score"], estimator)


def reverse_scores(
    sides: Sequence[ProbeSide], statistics: Sequence[Statistic], *, num_replicates: int, seed: int
) -> AgreementScores:
    """Cross-fit on all real patients, test on the patients left out and on synthetic records; sides A, B, C."""
    train, holdout, synthetic = sides
    crossfit = PatientCrossfit(
        train.joined(holdout), {"synthetic": synthetic}, statistics, num_replicates=num_replicates, seed=seed
    )
    tables, floors = crossfit.matched(), crossfit.shuffled(10)
    estimator = (
        "ridge probes on image features, cross-fitted over real patients (5 folds, predictions pooled), scored on "
        f"synthetic records against 10 shuffles; patient-level bootstrap with refits, {num_replicates} replicates"
    )
    floor = average_tables([floors["real"], floors["synthetic"]])
    return AgreementScores(tables["synthetic"], floor, tables["real"], estimator)


def correspondence_metrics(
    train: JudgedCohort,
    holdout: JudgedCohort,
    synthetic: JudgedCohort,
    *,
    seed: int,
    num_replicates: int = 150,
) -> list[MetricRecord]:
    """Return agreement_forward and agreement_reverse per clinical column and for their mean.

    Args:
        train: patients the generator was fitted on.
        holdout: patients it never saw.
        synthetic: the cohort that is judged.
        seed: seed of folds, shuffles and samples.
        num_replicates: bootstrap samples.
    """
    columns = train.cohort.schema.feature_names
    targets = prediction_targets(train.cohort.schema, columns, train.table)
    keys = [(target.column, target.label) for target in targets]
    records: list[MetricRecord] = []
    for predictor in ("linear", "kernel"):
        dimensions: dict[str, str | float] = {"predictor": predictor, "volume": round(len(synthetic) / len(train), 2)}
        for name, score in (("agreement_forward", forward_scores), ("agreement_reverse", reverse_scores)):
            reasons, patients = _reasons(targets, train, holdout, name=name)
            kept = [target for target, reason in zip(targets, reasons, strict=True) if not reason]
            scores = None
            if kept:
                statistics = [weighted_auroc if target.is_binary else weighted_order_score for target in kept]
                sides = _sides(kept, (train, holdout, synthetic), predictor=predictor, seed=seed)
                scores = score(sides, statistics, num_replicates=num_replicates, seed=seed)
            tested = holdout.num_groups + (train.num_groups if name == "agreement_reverse" else 0)
            known = dict(zip(keys, patients, strict=True))
            summary = _Summary(name, synthetic.name, dimensions, kept, known, scores)
            records += summary.records(columns, dict(zip(keys, reasons, strict=True)), tested)
    return with_directions(records)


def _reasons(
    targets: Sequence[PredictionTarget], train: JudgedCohort, holdout: JudgedCohort, *, name: str
) -> tuple[list[str], list[int]]:
    """Return per outcome why it cannot be scored (or nothing), and the patients that its score rests on.

    Forward rests on the held-out patients alone; reverse on all real patients, who are predicted in turn.
    """
    reasons, patients = [], []
    for target in targets:
        values = [target.values(cohort.table) for cohort in (train, holdout)]
        counts = [
            class_patients(found, cohort.groups, binary=target.is_binary)
            for found, cohort in zip(values, (train, holdout), strict=True)
        ]
        if name == "agreement_reverse":
            groups = np.concatenate([train.groups, holdout.groups])
            count = class_patients(np.concatenate(values), groups, binary=target.is_binary)
            reason = (
                "" if count >= MINIMUM_TRAIN_PATIENTS else _too_few(target.is_binary, f"{count} in train and holdout")
            )
        else:
            count, reason = counts[1], too_few_patients(*counts, binary=target.is_binary)
        reasons.append(reason)
        patients.append(count)
    return reasons, patients


@dataclass(frozen=True)
class _Summary:
    """Turns scores per outcome into records per label, per column and for the mean."""

    name: str
    cohort: str
    dimensions: dict[str, str | float]
    targets: Sequence[PredictionTarget]
    patients: dict[tuple[str, str | None], int]
    scores: AgreementScores | None

    def records(
        self, columns: Sequence[str], reasons: dict[tuple[str, str | None], str], num_patients: int
    ) -> list[MetricRecord]:
        records = []
        averages = []
        for column in columns:
            members = [place for place, target in enumerate(self.targets) if target.column == column]
            labels = [key[1] for key in reasons if key[0] == column and key[1] is not None]
            if len(labels) > 1:
                records += [self._label(column, label, reasons[column, label]) for label in labels]
            if members:
                average = np.zeros(len(self.targets))
                average[members] = 1 / len(members)
                averages.append(average)
                units = max(self.patients[column, self.targets[place].label] for place in members)
                records.append(self._record(self._estimate(average[None], units), column))
            else:
                found = [reason for key, reason in reasons.items() if key[0] == column and reason]
                records.append(self._record(Estimate.absent(found[0] if found else "the column never varies"), column))
        if averages:
            records.append(self._record(self._estimate(np.array(averages), num_patients), None))
        else:
            records.append(self._record(Estimate.absent("no clinical column has enough patients"), None))
        return records

    def _label(self, column: str, label: str, reason: str) -> MetricRecord:
        if reason:
            return self._record(Estimate.absent(reason), column, label)
        average = np.zeros(len(self.targets))
        place = next(i for i, target in enumerate(self.targets) if (target.column, target.label) == (column, label))
        average[place] = 1
        return self._record(self._estimate(average[None], self.patients[column, label]), column, label)

    def _estimate(self, averages: np.ndarray, units: int) -> Estimate:
        """Return the ratio of gains summed over the rows of ``averages``, shape ``(columns, outcomes)``."""
        assert self.scores is not None
        tables = (self.scores.matched, self.scores.shuffled, self.scores.real)
        # An outcome that a sample lacks cannot be ranked: chance, on all sides.
        point = tuple(np.nan_to_num(table.point, nan=CHANCE) @ averages.T for table in tables)
        replicates = tuple(np.nan_to_num(table.replicates, nan=CHANCE) @ averages.T for table in tables)
        return agreement_estimate(
            point,  # type: ignore[arg-type]
            replicates,  # type: ignore[arg-type]
            num_groups=units,
            contraction=REFIT_CONTRACTION,
            estimator=self.scores.estimator,
        )

    def _record(self, estimate: Estimate, column: str | None, label: str | None = None) -> MetricRecord:
        what = "the clinical columns" if column is None else (f"{column} = {label}" if label else column)
        percent = "" if estimate.value is None else f"{100 * estimate.value:.0f} %"
        return MetricRecord.of(
            estimate,
            cohort=self.cohort,
            family="correspondence",
            name=self.name,
            column=column,
            dimensions={**self.dimensions, **({"label": label} if label else {})},
            floor=0.0,
            ceiling=1.0,
            reading=_READINGS[self.name].format(what=what, percent=percent),
            estimator=estimate.estimator or "ridge probes on image features",
        )
