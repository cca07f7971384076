"""What is a synthetic cohort worth for training? Train on synthetic, on real and on both; test on held-out patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from monai_hybridsynth.data import RecordSchema
from monai_hybridsynth.evaluation.boosted_trees import boosted_records
from monai_hybridsynth.evaluation.correspondence import class_patients, probe_features, too_few_patients
from monai_hybridsynth.evaluation.findings import Findings
from monai_hybridsynth.evaluation.judged_cohort import JudgedCohort
from monai_hybridsynth.evaluation.metric_record import MetricRecord
from monai_hybridsynth.evaluation.occlusion_agreement import probe_occlusion
from monai_hybridsynth.evaluation.prediction_targets import PredictionTarget, prediction_targets, target_matrix
from monai_hybridsynth.evaluation.probe_scores import ProbeSide, Statistic, score_columns
from monai_hybridsynth.evaluation.training_arms import ArmScorer, TrainingArm, arm_scores
from monai_hybridsynth.evaluation.utility_records import (
    ARMS,
    INPUT_WORDS,
    REAL,
    ArmKey,
    UtilityOutcome,
    UtilityWriter,
    label_dimension,
    outcome_words,
    ratio_record,
)
from monai_hybridsynth.evaluation.utility_subgroups import find_subgroups, subgroup_records
from monai_hybridsynth.metrics import (
    Estimate,
    reliability_curve,
    squared_calibration_error,
    weighted_auroc,
    weighted_average_precision,
    weighted_r2,
)
from monai_hybridsynth.transforms import RecordEncoder

__all__ = ["UtilitySides", "encoded_rows", "utility_findings", "utility_sides"]

# Beside the whole cohort, these multiples of the training cohort's records are drawn from it.
VOLUMES = (1.0, 2.0, 5.0)
IMAGE = {"predictor": "linear", "input": "image"}
MOST_BOOSTED_LABELS = 2
BOOSTED_REPLICATES = 1000
ARMS_EXPLAINED = (
    "; both: all records together weigh as much as the training patients; fine-tuned: the head trained on synthetic "
    "records is what the fit on real records shrinks towards, as strongly as cross-validation over the training "
    "patients asks for, whom the generator has seen: where a cohort carries them the head moves away from it too "
    "little, and this arm is scored below what it could reach"
)


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


@dataclass(frozen=True)
class UtilitySides:
    """The three cohorts with the outcomes that can be scored.

    Attributes:
        cohorts: train, holdout, synthetic.
        outcomes: of every target that the schema names.
        absent: records of those that cannot be scored, with the reason.
        volume: synthetic records divided by training records.
        smaller: synthetic rows of the volumes below that, nested, by volume.
        missing: volumes that the cohort is too small for.
    """

    cohorts: tuple[JudgedCohort, JudgedCohort, JudgedCohort]
    outcomes: list[UtilityOutcome]
    absent: list[MetricRecord]
    volume: float
    smaller: Mapping[float, np.ndarray] = field(default_factory=dict)
    missing: Sequence[float] = ()

    @property
    def schema(self) -> RecordSchema:
        """Of the training cohort."""
        return self.cohorts[0].cohort.schema

    @property
    def cohort(self) -> str:
        """Name of the synthetic cohort."""
        return self.cohorts[2].name

    def probe_sides(self, outcomes: Sequence[UtilityOutcome], features: Sequence[np.ndarray]) -> list[ProbeSide]:
        """Return train, holdout and synthetic cohort with their outcomes and the given features."""
        matrices = [_finite(target_matrix([o.target for o in outcomes], cohort.table)) for cohort in self.cohorts]
        groups = (cohort.groups for cohort in self.cohorts)
        return [ProbeSide(*parts) for parts in zip(features, matrices, groups, strict=True)]


def utility_sides(train: JudgedCohort, holdout: JudgedCohort, synthetic: JudgedCohort, *, seed: int) -> UtilitySides:
    """Find the outcomes with enough patients, and the volumes for which there are enough synthetic records."""
    schema = train.cohort.schema
    volume = round(len(synthetic) / len(train), 2)
    outcomes: list[UtilityOutcome] = []
    absent: list[MetricRecord] = []
    for target in prediction_targets(schema, schema.target_names, train.table):
        values = [_finite(target.values(side.table)) for side in (train, holdout)]
        sides = (train, holdout)
        counts = [class_patients(v, s.groups, binary=target.is_binary) for v, s in zip(values, sides, strict=True)]
        reason = too_few_patients(*counts, binary=target.is_binary)
        if reason:
            absent += _absent(reason, synthetic.name, target, volume)
        else:
            known = ~np.isnan(values[1])
            share = np.average(values[1][known] == 1, weights=holdout.weights[known]) if target.is_binary else 0.0
            outcomes.append(UtilityOutcome(target, counts[1], float(share)))
    order = np.random.default_rng(seed + 77).permutation(len(synthetic))
    sizes = {multiple: round(multiple * len(train)) for multiple in VOLUMES}
    # A cohort of nearly a multiple stands for it.
    smaller = {multiple: np.sort(order[:size]) for multiple, size in sizes.items() if size < 0.98 * len(synthetic)}
    missing = [multiple for multiple, size in sizes.items() if size > 1.02 * len(synthetic)]
    return UtilitySides((train, holdout, synthetic), outcomes, absent, volume, smaller, missing)


def utility_findings(
    train: JudgedCohort,
    holdout: JudgedCohort,
    synthetic: JudgedCohort,
    *,
    seed: int,
    num_replicates: int = 150,
) -> Findings:
    """Return scores per arm, input and volume, what synthetic records add, and scores per subgroup, for every target.

    Args:
        train: patients the generator was fitted on.
        holdout: patients it never saw; every arm is tested on them.
        synthetic: the cohort that is judged.
        seed: seed of folds and samples.
        num_replicates: bootstrap samples.
    """
    sides = utility_sides(train, holdout, synthetic, seed=seed)
    if not sides.schema.target_names:
        absent = Estimate.absent("the schema names no target; prepare the cohort with --target to measure utility")
        return Findings([ratio_record(absent, synthetic.name, None, {"volume": sides.volume, **IMAGE})])
    if not sides.outcomes:
        return Findings(sides.absent)
    study = _ProbeStudy(sides, seed, num_replicates)
    found = study.images()
    records = [*sides.absent, *found.metrics, *study.kernel_images(), *study.tables()]
    for multiple in sides.missing:
        reason = f"the cohort has only {len(synthetic)} records; {multiple:g} times {len(train)} are needed"
        records += _absent(reason, synthetic.name, sides.outcomes[0].target, multiple, arms=("synthetic",))
    drawings = dict(found.drawings)
    if any(outcome.target.is_binary for outcome in sides.outcomes):
        maps = probe_occlusion(train, holdout, synthetic, sides.outcomes, seed=seed)
        records += maps.metrics
        drawings |= maps.drawings
    return Findings(records, drawings)


@dataclass(frozen=True)
class _ProbeStudy:
    """Ridge probes on every input, with refitted bootstrap samples."""

    sides: UtilitySides
    seed: int
    num_replicates: int

    def images(self) -> Findings:
        """Return what linear probes see in image features: all volumes, calibration, subgroups."""
        outcomes = self.sides.outcomes
        train, holdout, synthetic = self.sides.probe_sides(outcomes, [c.features for c in self.sides.cohorts])
        volumes = {self.sides.volume: synthetic}
        for volume, rows in self.sides.smaller.items():
            volumes[volume] = ProbeSide(synthetic.features[rows], synthetic.targets[rows], synthetic.groups[rows])
        arms = _arms(train, volumes, calibrated=True)
        binary = np.array([outcome.target.is_binary for outcome in outcomes])
        plain = _scorers(holdout, binary)
        scorers: dict[ArmKey, dict[str, ArmScorer]] = {}
        subgroups = find_subgroups(self.sides.schema, self.sides.cohorts[1])
        for key in arms:
            # Smaller volumes show how the main score grows; the rest is said once.
            full = key == REAL or key[1] == self.sides.volume
            scorers[key] = {name: score for name, score in plain.items() if full or name != "auprc"}
            if key in (REAL, ("synthetic", self.sides.volume)):
                scorers[key] |= {group.name: _ranking(holdout, binary, group.rows) for group in subgroups}
            if arms[key].calibrated:
                scorers[key]["calibration_error"] = _calibration(holdout, binary)
        tables, found = arm_scores(arms, holdout, scorers, num_replicates=self.num_replicates, seed=self.seed)
        writer = self._writer("image", "linear", outcomes)
        records = writer.records(tables, together=True)
        records += subgroup_records(
            tables,
            subgroups,
            outcomes,
            holdout.targets,
            holdout.groups,
            synthetic=("synthetic", self.sides.volume),
            cohort=self.sides.cohort,
            dimensions=writer.dimensions,
            estimator=writer.estimator,
        )
        probabilities = {key[0]: found[key].probabilities for key, arm in arms.items() if arm.calibrated}
        return Findings(records, {"calibration": _curves(outcomes, holdout, probabilities)})

    def kernel_images(self) -> list[MetricRecord]:
        """Return what kernel probes see in image features, at the full volume."""
        images = [cohort.features for cohort in self.sides.cohorts]
        features = probe_features(*images, predictor="kernel", seed=self.seed)
        return self._scored(self.sides.outcomes, features, "image", "kernel")

    def tables(self) -> list[MetricRecord]:
        """Return what linear probes see in the other columns, and in image and columns, at the full volume."""
        records = []
        outcomes = self.sides.outcomes
        for column in dict.fromkeys(outcome.target.column for outcome in outcomes):
            group = [outcome for outcome in outcomes if outcome.target.column == column]
            rows = encoded_rows(self.sides.schema, self.sides.cohorts, without=column)
            if rows[0].shape[1]:
                records += self._scored(group, rows, "table", "linear")
                both = [np.hstack([c.features, r]) for c, r in zip(self.sides.cohorts, rows, strict=True)]
                records += self._scored(group, both, "both", "linear")
                records += self._boosted(group, both)
        return records

    def _scored(
        self, outcomes: Sequence[UtilityOutcome], features: Sequence[np.ndarray], given: str, predictor: str
    ) -> list[MetricRecord]:
        train, holdout, synthetic = self.sides.probe_sides(outcomes, features)
        arms = _arms(train, {self.sides.volume: synthetic}, calibrated=False)
        plain = _scorers(holdout, np.array([outcome.target.is_binary for outcome in outcomes]))
        tables, _ = arm_scores(
            arms, holdout, dict.fromkeys(arms, plain), num_replicates=self.num_replicates, seed=self.seed
        )
        return self._writer(given, predictor, outcomes).records(tables)

    def _boosted(self, outcomes: Sequence[UtilityOutcome], features: Sequence[np.ndarray]) -> list[MetricRecord]:
        """Grow trees for the outcomes with the most patients, at most a few per column: they take the longest."""
        kept = sorted(outcomes, key=lambda outcome: -outcome.patients)[:MOST_BOOSTED_LABELS]
        return boosted_records(
            self.sides.cohort,
            kept,
            self.sides.probe_sides(kept, features),
            volume=self.sides.volume,
            num_replicates=BOOSTED_REPLICATES,
            seed=self.seed,
        )

    def _writer(self, given: str, predictor: str, outcomes: Sequence[UtilityOutcome]) -> UtilityWriter:
        estimator = (
            f"{'ridge' if predictor == 'linear' else 'kernel ridge'} probes on {INPUT_WORDS[given]}, tested on holdout "
            f"patients; patient-level bootstrap with refits, {self.num_replicates} replicates, paired between arms"
            + ARMS_EXPLAINED
        )
        dimensions: dict[str, str | float] = {"predictor": predictor, "input": given}
        return UtilityWriter(self.sides.cohort, dimensions, outcomes, self.sides.cohorts[1].num_groups, estimator)


def _arms(train: ProbeSide, volumes: Mapping[float, ProbeSide], *, calibrated: bool) -> dict[ArmKey, TrainingArm]:
    """Return the arms of every volume; probabilities only at the first, which is the full one."""
    arms = {REAL: TrainingArm((train,), calibrated=calibrated)}
    for position, (volume, synthetic) in enumerate(volumes.items()):
        linked = calibrated and position == 0
        arms["synthetic", volume] = TrainingArm((synthetic,), calibrated=linked)
        arms["both", volume] = TrainingArm((train, synthetic), calibrated=linked, supplemented=True)
        arms["finetuned", volume] = TrainingArm((train,), (synthetic,), calibrated=linked)
    return arms


def _scorers(test: ProbeSide, binary: np.ndarray) -> dict[str, ArmScorer]:
    kinds: dict[str, list[Statistic]] = {
        "auroc": [weighted_auroc if yes else _undefined for yes in binary],
        "auprc": [weighted_average_precision if yes else _undefined for yes in binary],
        "r2": [_undefined if yes else weighted_r2 for yes in binary],
    }
    used = {name: kind for name, kind in kinds.items() if any(statistic is not _undefined for statistic in kind)}

    def scorer(statistics: Sequence[Statistic]) -> ArmScorer:
        return lambda found, weights: score_columns(found.scores, test.targets, weights, statistics)

    return {name: scorer(statistics) for name, statistics in used.items()}


def _ranking(test: ProbeSide, binary: np.ndarray, rows: np.ndarray) -> ArmScorer:
    statistics: list[Statistic] = [weighted_auroc if yes else _undefined for yes in binary]
    return lambda found, weights: score_columns(found.scores[rows], test.targets[rows], weights[rows], statistics)


def _calibration(test: ProbeSide, binary: np.ndarray) -> ArmScorer:
    statistics: list[Statistic] = [squared_calibration_error if yes else _undefined for yes in binary]
    return lambda found, weights: score_columns(found.probabilities, test.targets, weights, statistics)


def _curves(
    outcomes: Sequence[UtilityOutcome], test: ProbeSide, probabilities: Mapping[str, np.ndarray]
) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Return predicted and observed shares per target and arm."""
    drawn: dict[str, dict[str, dict[str, list[float]]]] = {}
    for place, outcome in enumerate(outcomes):
        if not outcome.target.is_binary:
            continue
        rows = ~np.isnan(test.targets[:, place])
        name = outcome_words(outcome.target)
        for arm, found in probabilities.items():
            curve = reliability_curve(found[rows, place], test.targets[rows, place], test.weights[rows])
            predicted, observed = ([round(float(part), 4) for part in side] for side in curve)
            drawn.setdefault(name, {})[arm] = {"predicted": predicted, "observed": observed}
    return drawn


def _undefined(predictions: np.ndarray, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.full(weights.shape[:-1], np.nan)


def _finite(values: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values), values, np.nan)


def _absent(
    reason: str, cohort: str, target: PredictionTarget, volume: float, *, arms: Sequence[str] = ARMS
) -> list[MetricRecord]:
    return [
        MetricRecord.of(
            Estimate.absent(reason),
            cohort=cohort,
            family="utility",
            name="auroc" if target.is_binary else "r2",
            column=target.column,
            dimensions={"arm": arm, "volume": 0.0 if arm == "real" else volume, **IMAGE, **label_dimension(target)},
            estimator="ridge probes tested on holdout patients",
            reading="-",
        )
        for arm in arms
    ]
