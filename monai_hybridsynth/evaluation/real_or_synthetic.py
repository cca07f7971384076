"""Can a classifier tell synthetic images from real ones? Linear, boosted trees and a small network, cross-fitted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from monai_hybridsynth.evaluation.image_appearance import image_appearance
from monai_hybridsynth.evaluation.judged_cohort import JudgedCohort
from monai_hybridsynth.evaluation.metric_record import MetricRecord
from monai_hybridsynth.metrics import Estimate, bootstrap_weights, interval, record_weights, weighted_auroc

__all__ = ["real_or_synthetic"]

NUM_FOLDS = 4
NUM_REPLICATES = 200
MAXIMUM_RECORDS = 1000
MINIMUM_PATIENTS = 2 * NUM_FOLDS
EPOCHS = 8
BATCH_SIZE = 64
# A smaller edge leaves nothing after three strides.
MINIMUM_EDGE = 16

# Takes training inputs, training labels (1 is synthetic), test inputs and a seed; returns test scores.
Detector = Callable[[np.ndarray, np.ndarray, np.ndarray, int], np.ndarray]


@dataclass(frozen=True)
class Mixture:
    """Real and other records side by side.

    Attributes:
        appearance: what linear and boosted detectors look at, ``(rows, F)``.
        pixels: what the network looks at, uint8 ``(rows, C, S, S)``; empty where none were kept.
        labels: 1 for the other side.
        groups: patient of each row.
    """

    appearance: np.ndarray
    pixels: np.ndarray
    labels: np.ndarray
    groups: np.ndarray

    @property
    def num_patients(self) -> int:
        """Patients or records of the smaller side."""
        return min(len(np.unique(self.groups[self.labels == label])) for label in (0, 1))


def real_or_synthetic(
    train: JudgedCohort, holdout: JudgedCohort, synthetic: JudgedCohort, *, seed: int
) -> list[MetricRecord]:
    """Return real_or_synthetic_auroc per classifier; the floor tells held-out from training patients."""
    mixtures = [_mixture(train, other, seed=seed) for other in (synthetic, holdout)]
    records = []
    detectors = {"linear": _linear, "boosted": _boosted, "network": _network}
    for name, detect in detectors.items():
        estimates = []
        for mixture in mixtures:
            inputs = mixture.pixels if name == "network" else mixture.appearance
            estimates.append(_auroc(mixture, inputs, detect, seed=seed))
        records.append(_record(estimates[0], synthetic.name, name, estimates[1].value))
    return records


def _mixture(train: JudgedCohort, other: JudgedCohort, *, seed: int) -> Mixture:
    """Return equally many rows of both sides, as far as there are."""
    count = min(len(train), len(other), MAXIMUM_RECORDS)
    parts = [train.limited(count, seed=seed), other.limited(count, seed=seed + 1)]
    appearance = image_appearance(parts)
    kept = all(len(part.pixels) and part.pixels.shape[2] >= MINIMUM_EDGE for part in parts)
    pixels = np.concatenate([part.pixels for part in parts]) if kept else np.zeros((2 * count, 0), dtype=np.uint8)
    labels = np.repeat([0, 1], [len(part) for part in parts])
    groups = np.array([f"{side} {group}" for side, part in enumerate(parts) for group in part.groups], dtype=object)
    return Mixture(np.vstack(appearance), pixels, labels, groups)


def _auroc(mixture: Mixture, inputs: np.ndarray, detect: Detector, *, seed: int) -> Estimate:
    """Return the area of scores given to patients that the classifier was not fitted on."""
    from sklearn.model_selection import StratifiedGroupKFold

    units = mixture.num_patients
    if units < MINIMUM_PATIENTS:
        note = f"the smaller side has {units} patients or records, and {MINIMUM_PATIENTS} are needed"
        return Estimate.absent(note, n=units)
    if inputs.shape[1] == 0:
        return Estimate.absent(f"a cohort keeps no pixels, or fewer than {MINIMUM_EDGE} along an edge", n=units)
    labels = mixture.labels
    scores = np.zeros(len(labels))
    folds = StratifiedGroupKFold(NUM_FOLDS, shuffle=True, random_state=seed)
    for fold, (fitted, tested) in enumerate(folds.split(inputs, labels, mixture.groups)):
        found = detect(inputs[fitted], labels[fitted], inputs[tested], seed + fold)
        # Classifiers of two folds differ in scale; ranks within a fold do not.
        scores[tested] = found.argsort(kind="stable").argsort(kind="stable") / len(found)
    base = record_weights(mixture.groups)
    draws = np.ones((NUM_REPLICATES, len(labels)))
    for label in (0, 1):
        rows = np.flatnonzero(labels == label)
        draws[:, rows] = bootstrap_weights(mixture.groups[rows], NUM_REPLICATES, seed=seed + label)
    value = float(weighted_auroc(scores, labels, base))
    low, high = interval(value, weighted_auroc(scores, labels, draws * base), num_groups=units, bounds=(0.0, 1.0))
    return Estimate(value, low, high, units)


def _record(estimate: Estimate, cohort: str, classifier: str, floor: float | None) -> MetricRecord:
    looked = "pixels" if classifier == "network" else "judge, texture and spectrum side by side"
    told = "" if floor is None else f"; other real patients are told from training patients in {100 * floor:.0f} %"
    won = "" if estimate.value is None else f"{100 * estimate.value:.0f}"
    return MetricRecord.of(
        estimate,
        cohort=cohort,
        family="fidelity",
        name="real_or_synthetic_auroc",
        dimensions={"classifier": classifier},
        better="lower",
        floor=floor,
        ceiling=0.5,
        estimator=(
            f"{_HOW[classifier]} on {looked}, {NUM_FOLDS}-fold cross-fitted by patient, equally many records of both "
            "sides, ranks within a fold; interval by patient-level bootstrap without refitting; floor: holdout against "
            "training patients; n counts the smaller side"
        ),
        reading=(
            f"Shown a real and a synthetic image, a {_WORDS[classifier]} points out the synthetic one in {won} % of "
            f"pairs (50 % is guessing){told}."
        ),
    )


_HOW = {
    "linear": "logistic regression",
    "boosted": "gradient-boosted trees",
    "network": f"convolutional network of three layers, {EPOCHS} epochs",
}
_WORDS = {"linear": "linear classifier", "boosted": "classifier of boosted trees", "network": "small neural network"}


def _linear(inputs: np.ndarray, labels: np.ndarray, tested: np.ndarray, seed: int) -> np.ndarray:
    from sklearn.linear_model import LogisticRegression

    centre, spread = inputs.mean(0), np.maximum(inputs.std(0), 1e-12)
    fitted = LogisticRegression(C=0.02, max_iter=200).fit((inputs - centre) / spread, labels)
    return fitted.decision_function((tested - centre) / spread)


def _boosted(inputs: np.ndarray, labels: np.ndarray, tested: np.ndarray, seed: int) -> np.ndarray:
    from sklearn.ensemble import HistGradientBoostingClassifier

    fitted = HistGradientBoostingClassifier(
        max_iter=50, max_leaf_nodes=8, learning_rate=0.15, max_bins=63, early_stopping=False, random_state=seed
    ).fit(inputs, labels)
    return fitted.decision_function(tested)


def _network(inputs: np.ndarray, labels: np.ndarray, tested: np.ndarray, seed: int) -> np.ndarray:
    from monai.networks.nets import Classifier

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Classifier(
            in_shape=inputs.shape[1:], classes=1, channels=(8, 16, 32), strides=(2, 2, 2), num_res_units=0, act="RELU"
        )
    images, truth = _as_images(inputs), torch.from_numpy(labels).float()
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3, weight_decay=1e-4)
    order = torch.Generator().manual_seed(seed)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(images), generator=order).split(BATCH_SIZE):
            optimizer.zero_grad()
            loss = torch.nn.functional.binary_cross_entropy_with_logits(network(images[batch])[:, 0], truth[batch])
            loss.backward()
            optimizer.step()
    network.eval()
    with torch.no_grad():
        return np.concatenate([network(part)[:, 0].numpy() for part in _as_images(tested).split(BATCH_SIZE)])


def _as_images(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels).float().div_(127.5).sub_(1.0)
