"""From scores of training arms to records: per arm and target, gains over the real arm, and ratios of gains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from monai_hybridsynth.evaluation.metric_record import MetricRecord
from monai_hybridsynth.evaluation.prediction_targets import PredictionTarget
from monai_hybridsynth.evaluation.probe_scores import ScoreTable
from monai_hybridsynth.metrics import REFIT_CONTRACTION, Estimate, interval, utility_ratio_estimate

__all__ = [
    "ARMS",
    "INPUT_WORDS",
    "REAL",
    "ArmKey",
    "UtilityOutcome",
    "UtilityWriter",
    "label_dimension",
    "outcome_words",
    "ratio_record",
]

ARMS = ("real", "synthetic", "both", "finetuned")
# An arm and how many times the training cohort's size it takes from the synthetic cohort.
ArmKey = tuple[str, float]
REAL: ArmKey = ("real", 0.0)
INPUT_WORDS = {"image": "the image", "table": "the other clinical columns", "both": "image and clinical columns"}
_TRAINED = {
    "real": "real records",
    "synthetic": "synthetic records alone",
    "both": "real and synthetic records",
    "finetuned": "synthetic records and then fine-tuned on real ones",
}
_ADDED = {"both": "Adding synthetic records to the real ones", "finetuned": "Starting from the synthetic records"}
CALIBRATION = (
    "; probabilities by a logistic link fitted on out-of-fold scores of the arm's own training records, error over "
    "bins of about 30 holdout patients with the part that chance adds taken off; floor: one half for everybody"
)


@dataclass(frozen=True)
class UtilityOutcome:
    """A target that can be scored.

    Attributes:
        target: the outcome.
        patients: holdout patients behind it: those of the rarer class, or all that have a number.
        prevalence: share of the holdout patients that have the outcome; 0 for numbers.
    """

    target: PredictionTarget
    patients: int
    prevalence: float

    @property
    def main(self) -> str:
        """The score by which training sets are compared."""
        return "auroc" if self.target.is_binary else "r2"

    @property
    def names(self) -> tuple[str, ...]:
        """Every score of the outcome."""
        return ("auroc", "auprc", "calibration_error") if self.target.is_binary else ("r2",)

    def floor(self, name: str) -> float:
        """Return what a predictor that knows nothing scores."""
        return {
            "auroc": 0.5,
            "auprc": self.prevalence,
            "r2": 0.0,
            "calibration_error": abs(0.5 - self.prevalence),
        }[name]


def label_dimension(target: PredictionTarget | None) -> dict[str, str | float]:
    """Return the dimension that tells the labels of a column apart."""
    return {"label": target.label} if target is not None and target.label is not None else {}


def outcome_words(target: PredictionTarget | None) -> str:
    """Return how a reading names the outcome."""
    if target is None:
        return "the targets together"
    return target.column + (f" = {target.label}" if target.label else "")


@dataclass(frozen=True)
class UtilityWriter:
    """Writes the records of one input and predictor.

    Attributes:
        cohort: name of the synthetic cohort.
        dimensions: predictor and input.
        outcomes: one per column of the score tables.
        num_patients: holdout patients.
        estimator: how the scores were obtained.
        contraction: that of the bootstrap weights.
    """

    cohort: str
    dimensions: Mapping[str, str | float]
    outcomes: Sequence[UtilityOutcome]
    num_patients: int
    estimator: str
    contraction: float = REFIT_CONTRACTION

    @property
    def given(self) -> str:
        """What the predictors look at, in words."""
        return INPUT_WORDS[str(self.dimensions["input"])]

    def records(
        self, tables: Mapping[ArmKey, Mapping[str, ScoreTable]], *, together: bool = False
    ) -> list[MetricRecord]:
        """Return every record; the largest volume comes first.

        Args:
            tables: scores per arm.
            together: whether ratio and gain are also given for all columns together, each counted once.
        """
        volumes = sorted({volume for arm, volume in tables if arm != "real"}, reverse=True)
        records: list[MetricRecord] = []
        for place, outcome in enumerate(self.outcomes):
            keys = [REAL, *((arm, volume) for volume in volumes for arm in ARMS[1:] if (arm, volume) in tables)]
            for name in outcome.names:
                records += [
                    self._score(tables, key, name, place)
                    for key in keys
                    if name in tables[key] and name in tables[REAL]
                ]
            alone = np.eye(len(self.outcomes))[place]
            for volume in volumes:
                records += self._compared(tables, outcome.main, alone, volume, outcome.patients, outcome.target)
        binary = [outcome.target.is_binary for outcome in self.outcomes]
        if together and sum(binary) > 1:
            average = self._column_average(binary)
            for volume in volumes:
                records += self._compared(tables, "auroc", average, volume, self.num_patients, None)
        return records

    def _score(
        self, tables: Mapping[ArmKey, Mapping[str, ScoreTable]], key: ArmKey, name: str, place: int
    ) -> MetricRecord:
        outcome, table = self.outcomes[place], tables[key][name]
        estimate = self._estimate(float(table.point[place]), table.replicates[:, place], name, outcome.patients)
        ceiling = float(tables[REAL][name].point[place])
        what, floor = outcome_words(outcome.target), outcome.floor(name)
        value = float("nan") if estimate.value is None else estimate.value
        reading = (
            f"Trained on {_TRAINED[key[0]]}, a predictor of {what} from {self.given} reaches {name} {value:.2f} in "
            f"real patients it has not seen; guessing gives {floor:.2f}."
        )
        if name == "calibration_error":
            ceiling = float(np.sqrt(max(ceiling, 0.0)))
            reading = (
                f"Trained on {_TRAINED[key[0]]}, a predictor of {what} from {self.given} states probabilities that are "
                f"{100 * value:.0f} percentage points off in real patients it has not seen."
            )
        return MetricRecord.of(
            estimate,
            cohort=self.cohort,
            family="utility",
            name=name,
            better="lower" if name == "calibration_error" else "higher",
            column=outcome.target.column,
            dimensions={"arm": key[0], "volume": key[1], **self.dimensions, **label_dimension(outcome.target)},
            floor=floor,
            ceiling=ceiling,
            estimator=self.estimator + (CALIBRATION if name == "calibration_error" else ""),
            reading=reading,
        )

    def _estimate(self, value: float, replicates: np.ndarray, name: str, patients: int) -> Estimate:
        """Return the score with its interval; calibration is kept squared until here, where chance can be taken off."""
        if not np.isfinite(value):
            return Estimate.absent("the score is undefined in these patients", n=patients)
        bounds = {"r2": (-np.inf, 1.0), "calibration_error": (-np.inf, np.inf)}.get(name, (0.0, 1.0))
        low, high = interval(value, replicates, num_groups=patients, bounds=bounds, contraction=self.contraction)
        if name == "calibration_error":
            value, low, high = (float(np.sqrt(np.clip(part, 0, 1))) for part in (value, low, high))
        return Estimate(value, low, high, patients)

    def _column_average(self, binary: Sequence[bool]) -> np.ndarray:
        """Return weights that count every column once, however many labels it has."""
        columns = [outcome.target.column if yes else None for outcome, yes in zip(self.outcomes, binary, strict=True)]
        shares = np.array([0.0 if column is None else 1 / columns.count(column) for column in columns])
        return shares / shares.sum()

    def _compared(
        self,
        tables: Mapping[ArmKey, Mapping[str, ScoreTable]],
        name: str,
        average: np.ndarray,
        volume: float,
        patients: int,
        target: PredictionTarget | None,
    ) -> list[MetricRecord]:
        """Return the ratio of gains of the synthetic arm, and what the other arms add to the real one."""
        used = average > 0
        points, replicates = {}, {}
        for arm, key in ((arm, (arm, volume) if arm != "real" else REAL) for arm in ARMS):
            if key in tables:
                table = tables[key][name]
                points[arm] = float(table.point[used] @ average[used])
                replicates[arm] = table.replicates[:, used] @ average[used]
        dimensions = {"volume": volume, **self.dimensions, **label_dimension(target)}
        ratio = utility_ratio_estimate(
            points["synthetic"],
            points["real"],
            (replicates["synthetic"], replicates["real"]),
            chance=0.5 if name == "auroc" else 0.0,
            num_groups=patients,
            contraction=self.contraction,
            estimator=self.estimator,
        )
        records = [ratio_record(ratio, self.cohort, target, dimensions)]
        for arm in ("both", "finetuned"):
            if arm in points:
                gain = points[arm] - points["real"]
                low, high = interval(
                    gain, replicates[arm] - replicates["real"], num_groups=patients, contraction=self.contraction
                )
                estimate = Estimate(gain, low, high, patients, estimator=self.estimator)
                records.append(self._gain(estimate, name, arm, 1 - points["real"], target, dimensions))
        return records

    def _gain(
        self,
        estimate: Estimate,
        name: str,
        arm: str,
        possible: float,
        target: PredictionTarget | None,
        dimensions: Mapping[str, str | float],
    ) -> MetricRecord:
        value, low, high = (float(part) for part in (estimate.value, estimate.low, estimate.high))  # type: ignore[arg-type]
        shown = "raises" if low > 0 else ("lowers" if high < 0 else "")
        verdict = (
            f"{shown} {name} by {abs(value):.3f}"
            if shown
            else f"neither raises nor lowers {name} beyond what chance explains"
        )
        return MetricRecord.of(
            estimate,
            cohort=self.cohort,
            family="utility",
            name=f"{name}_gain",
            column=None if target is None else target.column,
            dimensions={"arm": arm, **dimensions},
            floor=0.0,
            ceiling=possible,
            reading=f"{_ADDED[arm]} {verdict} for {outcome_words(target)} from {self.given} ({value:+.3f}).",
            estimator=f"{self.estimator}; difference to the arm trained on real records alone",
        )


def ratio_record(
    estimate: Estimate, cohort: str, target: PredictionTarget | None, dimensions: Mapping[str, str | float]
) -> MetricRecord:
    """Return the record of a ratio of gains, or of why there is none."""
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
            f"For {outcome_words(target)}, training on synthetic records alone brings {percent} of the gain over "
            "guessing that training on the real records brings."
        ),
    )
