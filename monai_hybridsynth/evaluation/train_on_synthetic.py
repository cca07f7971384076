"""What is a synthetic cohort worth for training? Train on synthetic, on real and on both; test on held-out patients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from monai_hybridsynth.data import RecordSchema
from monai_hybridsynth.evaluation.correspondence import class_patients, probe_features, too_few_patients
from monai_hybridsynth.evaluation.judged_cohort import JudgedCohort
from monai_hybridsynth.evaluation.metric_record import MetricRecord
from monai_hybridsynth.evaluation.prediction_targets import PredictionTarget, prediction_targets, target_matrix
from monai_hybridsynth.evaluation.probe_scores import ProbeSide, ScoreTable, Statistic, transfer_scores
from monai_hybridsynth.metrics import (
    REFIT_CONTRACTION,
    Estimate,
    interval,
    utility_ratio_estimate,
    weighted_auroc,
    weighted_average_precision,
    weighted_r2,
)
from monai_hybridsynth.transforms import RecordEncoder

__all__ = ["encoded_rows", "utility_metrics"]

ARMS = ("real", "synthetic", "both")
_WORDS = {"image": "the image", "table": "the other clinical columns", "both": "image and clinical columns"}
_TRAINED = {"real": "real records", "synthetic": "synthetic records alone", "both": "real and synthetic records"}


def encoded_rows(
    schema: RecordSchema, cohorts: Sequence[JudgedCohort], *, without: str | None = None
) -> list[np.ndarray]:
    """Return the rows of several cohorts as vectors ``(rows, F)``, encoding fitted on the first (training) cohort.

    Args:
        schema: of the training cohort.
        cohorts: the training cohort, then others.
        without: a column left out, with those it is derived from, because it is to be predicted.
    """
    hidden = {without} if without else set()
    if without is not None and schema[without].derive:
        hidden.add(str(schema[without].derive["from"]))  # type: ignore[index]
    hidden |= {entry.name for entry in schema if entry.derive and entry.derive.get("from") in hidden}
    kept = RecordSchema([entry for entry in schema if entry.name not in hidden], schema.image)
    if not kept.feature_names:
        return [np.zeros((len(cohort), 0)) for cohort in cohorts]
    # Nothing of this encoding leaves the evaluation, so rare categories may stay in it.
    encoder = RecordEncoder(kept, minimum_patients=1).fit(
        cohorts[0].table[kept.feature_names], patients=cohorts[0].groups
    )
    return [encoder.transform(cohort.table[kept.feature_names]).astype(float) for cohort in cohorts]


def utility_metrics(
    train: JudgedCohort,
    holdout: JudgedCohort,
    synthetic: JudgedCohort,
    *,
    seed: int,
    num_replicates: int = 150,
) -> list[MetricRecord]:
    """Return auroc, auprc, r2 per arm and input, and utility_ratio, for every target that the schema names.

    Args:
        train: patients the generator was fitted on.
        holdout: patients it never saw; every arm is tested on them.
        synthetic: the cohort that is judged.
        seed: seed of folds and samples.
        num_replicates: bootstrap samples.
    """
    schema = train.cohort.schema
    volume = round(len(synthetic) / len(train), 2)
    if not schema.target_names:
        absent = Estimate.absent("the schema names no target; prepare the cohort with --target to measure utility")
        return [
            _ratio_record(absent, synthetic.name, None, {"predictor": "linear", "input": "image", "volume": volume})
        ]
    targets = prediction_targets(schema, schema.target_names, train.table)
    records: list[MetricRecord] = []
    kept = []
    for target in targets:
        counts = [
            class_patients(_finite(target.values(side.table)), side.groups, binary=target.is_binary)
            for side in (train, holdout)
        ]
        reason = too_few_patients(*counts, binary=target.is_binary)
        if reason:
            name = "auroc" if target.is_binary else "r2"
            records += _absent(reason, name, synthetic.name, target, volume)
        else:
            kept.append(_Outcome(target, counts[1]))
    for given, predictor, group, sides in _views(schema, kept, (train, holdout, synthetic), seed=seed):
        dimensions: dict[str, str | float] = {"predictor": predictor, "input": given}
        view = _View(synthetic.name, volume, dimensions, group, holdout.num_groups)
        records += view.records(*sides, seed=seed, num_replicates=num_replicates)
    return records


@dataclass(frozen=True)
class _Outcome:
    target: PredictionTarget
    patients: int


def _finite(values: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values), values, np.nan)


def _absent(reason: str, name: str, cohort: str, target: PredictionTarget, volume: float) -> list[MetricRecord]:
    return [
        MetricRecord.of(
            Estimate.absent(reason),
            cohort=cohort,
            family="utility",
            name=name,
            column=target.column,
            dimensions={"arm": arm, "volume": _arm_volume(arm, volume), **_label(target)},
            estimator="ridge probes tested on holdout patients",
            reading="-",
        )
        for arm in ARMS
    ]


def _label(target: PredictionTarget) -> dict[str, str | float]:
    return {"label": target.label} if target.label is not None else {}


def _arm_volume(arm: str, volume: float) -> float:
    return 0.0 if arm == "real" else volume


def _views(
    schema: RecordSchema, outcomes: Sequence[_Outcome], cohorts: Sequence[JudgedCohort], *, seed: int
) -> Iterator[tuple[str, str, list[_Outcome], list[ProbeSide]]]:
    """Yield input, predictor, outcomes and the three cohorts as that predictor sees them.

    The image alone is judged by a linear and a kernel predictor, everything else by the linear one.
    """

    def sides(group: Sequence[_Outcome], features: Sequence[np.ndarray]) -> list[ProbeSide]:
        matrices = [_finite(target_matrix([o.target for o in group], cohort.table)) for cohort in cohorts]
        return [ProbeSide(*parts) for parts in zip(features, matrices, (c.groups for c in cohorts), strict=True)]

    if not outcomes:
        return
    images = [cohort.features for cohort in cohorts]
    for predictor in ("linear", "kernel"):
        yield (
            "image",
            predictor,
            list(outcomes),
            sides(outcomes, probe_features(*images, predictor=predictor, seed=seed)),
        )
    for column in dict.fromkeys(outcome.target.column for outcome in outcomes):
        group = [outcome for outcome in outcomes if outcome.target.column == column]
        rows = encoded_rows(schema, cohorts, without=column)
        if rows[0].shape[1]:
            yield "table", "linear", group, sides(group, rows)
            both = [np.hstack(pair) for pair in zip(images, rows, strict=True)]
            yield "both", "linear", group, sides(group, both)


@dataclass(frozen=True)
class _View:
    """Scores one input with one predictor and writes the records; over columns the mean counts each column once."""

    cohort: str
    volume: float
    dimensions: dict[str, str | float]
    outcomes: list[_Outcome]
    num_patients: int

    @property
    def _given(self) -> str:
        return _WORDS[str(self.dimensions["input"])]

    def records(
        self, train: ProbeSide, holdout: ProbeSide, synthetic: ProbeSide, *, seed: int, num_replicates: int
    ) -> list[MetricRecord]:
        binary = [outcome.target.is_binary for outcome in self.outcomes]
        statistics: dict[str, list[Statistic]] = {
            "auroc": [weighted_auroc if yes else _undefined for yes in binary],
            "auprc": [weighted_average_precision if yes else _undefined for yes in binary],
            "r2": [_undefined if yes else weighted_r2 for yes in binary],
        }
        arms = {"real": (train,), "synthetic": (synthetic,), "both": (train, synthetic)}
        tables = transfer_scores(arms, holdout, statistics, num_replicates=num_replicates, seed=seed)
        estimator = (
            f"ridge probes on {self._given}, tested on holdout patients; patient-level bootstrap with refits, "
            f"{num_replicates} replicates, paired between arms"
        )
        records = []
        for place, outcome in enumerate(self.outcomes):
            names = ("auroc", "auprc") if binary[place] else ("r2",)
            prevalence = (
                float(np.average(holdout.targets[:, place] == 1, weights=holdout.weights)) if binary[place] else 0.0
            )
            for name in names:
                floor = {"auroc": 0.5, "auprc": prevalence, "r2": 0.0}[name]
                records += self._scores(tables, name, place, outcome, floor, estimator)
            main = "auroc" if binary[place] else "r2"
            alone = np.eye(len(self.outcomes))[place]
            records.append(self._ratio(tables, main, alone, outcome.patients, estimator, outcome.target))
        if self.dimensions["input"] == "image" and sum(binary) > 1:
            records.append(
                self._ratio(tables, "auroc", self._column_average(binary), self.num_patients, estimator, None)
            )
        return records

    def _scores(
        self,
        tables: dict[str, dict[str, ScoreTable]],
        name: str,
        place: int,
        outcome: _Outcome,
        floor: float,
        estimator: str,
    ) -> list[MetricRecord]:
        records = []
        ceiling = float(tables["real"][name].point[place])
        for arm in ARMS:
            table = tables[arm][name]
            value = float(table.point[place])
            bounds = (-np.inf, 1.0) if name == "r2" else (0.0, 1.0)
            low, high = interval(
                value,
                table.replicates[:, place],
                num_groups=outcome.patients,
                bounds=bounds,
                contraction=REFIT_CONTRACTION,
            )
            what = outcome.target.column + (f" = {outcome.target.label}" if outcome.target.label else "")
            records.append(
                MetricRecord.of(
                    Estimate(value, low, high, outcome.patients),
                    cohort=self.cohort,
                    family="utility",
                    name=name,
                    column=outcome.target.column,
                    dimensions={
                        "arm": arm,
                        "volume": _arm_volume(arm, self.volume),
                        **self.dimensions,
                        **_label(outcome.target),
                    },
                    floor=floor,
                    ceiling=ceiling,
                    estimator=estimator,
                    reading=(
                        f"Trained on {_TRAINED[arm]}, a predictor of {what} from {self._given} reaches {name} "
                        f"{value:.2f} in real patients it has not seen; guessing gives {floor:.2f}."
                    ),
                )
            )
        return records

    def _column_average(self, binary: Sequence[bool]) -> np.ndarray:
        """Return weights that count every column once, however many labels it has."""
        columns = [outcome.target.column if yes else None for outcome, yes in zip(self.outcomes, binary, strict=True)]
        shares = np.array([0.0 if column is None else 1 / columns.count(column) for column in columns])
        return shares / shares.sum()

    def _ratio(
        self,
        tables: dict[str, dict[str, ScoreTable]],
        name: str,
        average: np.ndarray,
        patients: int,
        estimator: str,
        target: PredictionTarget | None,
    ) -> MetricRecord:
        chance = 0.5 if name == "auroc" else 0.0
        used = average > 0
        synthetic, real = (tables[arm][name] for arm in ("synthetic", "real"))
        estimate = utility_ratio_estimate(
            float(synthetic.point[used] @ average[used]),
            float(real.point[used] @ average[used]),
            (synthetic.replicates[:, used] @ average[used], real.replicates[:, used] @ average[used]),
            chance=chance,
            num_groups=patients,
            contraction=REFIT_CONTRACTION,
            estimator=estimator,
        )
        dimensions = {"volume": self.volume, **self.dimensions, **(_label(target) if target else {})}
        return _ratio_record(estimate, self.cohort, target, dimensions)


def _undefined(predictions: np.ndarray, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.full(weights.shape[:-1], np.nan)


def _ratio_record(
    estimate: Estimate, cohort: str, target: PredictionTarget | None, dimensions: dict[str, str | float]
) -> MetricRecord:
    what = "the targets together" if target is None else target.column + (f" = {target.label}" if target.label else "")
    percent = "" if estimate.value is None else f"{100 * estimate.value:.0f} %"
    return MetricRecord.of(
        estimate,
        cohort=cohort,
        family="utility",
        name="utility_ratio",
        column=None if target is None else target.column,
        dimensions=dimensions,
        floor=0.0,
        ceiling=1.0,
        estimator=estimate.estimator or "gain over chance after training on synthetic, divided by the gain on real",
        reading=(
            f"For {what}, training on synthetic records alone brings {percent} of the gain over guessing that training "
            "on the real records brings."
        ),
    )
