"""The thorough form of the utility comparison: networks trained in place on each arm, tested on holdout images."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.networks.utils import eval_mode, train_mode
from torch import nn
from tqdm.auto import tqdm

from monai_hybridsynth.evaluation.findings import Findings
from monai_hybridsynth.evaluation.judged_cohort import JudgedCohort
from monai_hybridsynth.evaluation.metric_record import MetricRecord
from monai_hybridsynth.evaluation.occlusion_agreement import (
    absent_agreement,
    agreement_record,
    main_outcome,
    map_drawings,
)
from monai_hybridsynth.evaluation.prediction_targets import target_matrix
from monai_hybridsynth.evaluation.probe_scores import ProbeSide, ScoreTable
from monai_hybridsynth.evaluation.train_on_synthetic import UtilitySides, utility_sides
from monai_hybridsynth.evaluation.utility_records import (
    ARMS,
    REAL,
    ArmKey,
    UtilityOutcome,
    UtilityWriter,
    label_dimension,
    ratio_record,
)
from monai_hybridsynth.features import SupervisedFeatures
from monai_hybridsynth.metrics import (
    Estimate,
    bootstrap_estimate,
    bootstrap_weights,
    map_agreement,
    supplement_weight,
    weighted_auroc,
    weighted_average_precision,
    weighted_r2,
)

__all__ = ["estimated_seconds", "network_arm_predictions", "network_findings", "occlusion_maps"]

logger = logging.getLogger(__name__)

NUM_SEEDS = 2
MAX_EPOCHS, PATIENCE, FEWEST_EPOCHS = 40, 8, 8
BATCH = 32
# Occlusion looks at this many holdout images at most, and hides an eighth of the edge at a time.
MAPPED_IMAGES, PATCHES = 48, 8
NUM_REPLICATES = 1000
NETWORK: dict[str, str | float] = {"predictor": "network", "input": "image"}


@dataclass(frozen=True)
class _Material:
    """What networks learn from: images ``(N, C, S, S)``, outcomes ``(N, columns)``, patients ``(N,)``."""

    images: torch.Tensor
    targets: np.ndarray
    groups: np.ndarray

    def supplemented(self, made: _Material) -> _Material:
        """Return both, real rows as often as it takes to be as many as synthetic ones (see `supplement_weight`)."""
        times = max(1, round(1 / supplement_weight(len(self.images), len(made.images))))
        return _Material(
            torch.cat([*[self.images] * times, made.images]),
            np.concatenate([*[self.targets] * times, made.targets]),
            np.concatenate([*[self.groups] * times, made.groups]),
        )


def network_findings(train: JudgedCohort, holdout: JudgedCohort, synthetic: JudgedCohort, *, seed: int) -> Findings:
    """Return scores of networks per arm, what synthetic records add, and the agreement of occlusion maps.

    Every arm trains the same small DenseNet from two seeds on all targets at once and stops early on a fifth of its own
    patients (the synthetic arm on synthetic records). Says beforehand how long it can take.

    Args:
        train: patients the generator was fitted on.
        holdout: patients it never saw; every arm is tested on them.
        synthetic: the cohort that is judged.
        seed: the first seed.
    """
    sides = utility_sides(train, holdout, synthetic, seed=seed)
    if not sides.outcomes:
        return Findings([])
    if any(not len(cohort.pixels) for cohort in sides.cohorts):
        return _absent("no pixels were kept, so no network can be trained", sides)
    training, unseen, made = (_material(cohort, sides.outcomes) for cohort in sides.cohorts)
    seconds = estimated_seconds(training, made, unseen)
    message = f"networks: {len(ARMS)} arms x {NUM_SEEDS} seeds take at most about {max(1, round(seconds / 60))} minutes"
    logger.info(message)
    tqdm.write(message)
    binary = np.array([outcome.target.is_binary for outcome in sides.outcomes])
    try:
        networks = [_networks(training, made, binary, seed=seed + repeat) for repeat in range(NUM_SEEDS)]
    except ValueError as error:  # too few patients or pixels to train on: said, not raised
        return _absent(str(error), sides)
    records = _score_records(sides, networks, seed=seed)
    main = main_outcome(sides.outcomes)
    if main is None:
        return Findings(records)
    try:
        others = [
            _trained(unseen, binary, _epochs(training, unseen), seed=seed + repeat) for repeat in range(NUM_SEEDS)
        ]
    except ValueError as error:
        return Findings([*records, absent_agreement(str(error), synthetic.name, main, NETWORK)])
    compared = {arm: [each[arm].network for each in networks] for arm in ("real", "synthetic")}
    compared["holdout"] = [judge.network for judge in others]
    agreement, drawings = _map_agreement(sides, compared, main, training.images.mean(0), seed=seed)
    return Findings([*records, agreement], {"occlusion": drawings})


def network_arm_predictions(sides: UtilitySides, *, seed: int) -> dict[str, np.ndarray]:
    """Return predictions of all outcomes for the holdout, ``(rows, outcomes)``, per arm; one network each."""
    training, _, made = (_material(cohort, sides.outcomes) for cohort in sides.cohorts)
    binary = np.array([outcome.target.is_binary for outcome in sides.outcomes])
    images = sides.cohorts[1].images()
    return {arm: found.predicted(images) for arm, found in _networks(training, made, binary, seed=seed).items()}


def _absent(reason: str, sides: UtilitySides) -> Findings:
    dimensions: dict[str, str | float] = {"volume": sides.volume, **NETWORK}
    target = sides.outcomes[0].target
    return Findings(
        [ratio_record(Estimate.absent(reason), sides.cohort, target, {**dimensions, **label_dimension(target)})]
    )


def _material(cohort: JudgedCohort, outcomes: list[UtilityOutcome]) -> _Material:
    targets = target_matrix([outcome.target for outcome in outcomes], cohort.table)
    return _Material(cohort.images(), np.where(np.isfinite(targets), targets, np.nan), cohort.groups)


def _epochs(training: _Material, material: _Material) -> int:
    """Return the passes at most: a larger cohort gets fewer, so that arms see about equally many images."""
    return int(np.clip(round(MAX_EPOCHS * len(training.images) / len(material.images)), FEWEST_EPOCHS, MAX_EPOCHS))


def estimated_seconds(training: _Material, made: _Material, unseen: _Material, *, num_steps: int = 3) -> float:
    """Return the seconds that all arms take if none stops early, from a few timed steps on the real images."""
    network = SupervisedFeatures(training.images.shape[1], 1).network
    batch = training.images[:BATCH]
    batch = batch if len(batch) > 1 else batch.repeat(2, 1, 1, 1)
    optimizer = torch.optim.AdamW(network.parameters())
    with torch.random.fork_rng(devices=[]), train_mode(network):
        network(batch).sum().backward()  # the first step allocates; it is not timed
        started = time.perf_counter()
        for _ in range(num_steps):
            optimizer.zero_grad()
            network(batch).pow(2).mean().backward()
            optimizer.step()
        step = (time.perf_counter() - started) / num_steps / len(batch)
    arms = [training, made, training.supplemented(made), training, unseen]
    return NUM_SEEDS * step * sum(len(arm.images) * _epochs(training, arm) for arm in arms)


@dataclass(frozen=True)
class _Trained:
    """A network and the scale of its outputs: numbers were standardised over the arm's own training records."""

    network: nn.Module
    centre: np.ndarray
    scale: np.ndarray

    def predicted(self, images: torch.Tensor) -> np.ndarray:
        """Return predictions in the outcome's unit, or logits, shape ``(N, columns)``."""
        return self.centre + self.scale * _predicted(self.network, images)


def _scaled(network: nn.Module, targets: np.ndarray, binary: np.ndarray) -> _Trained:
    known = np.isfinite(targets)
    count = np.maximum(known.sum(0), 1)
    mean = np.where(known, targets, 0).sum(0) / count
    spread = np.sqrt(np.where(known, (targets - mean) ** 2, 0).sum(0) / count)
    return _Trained(network, np.where(binary, 0.0, mean), np.where(binary | (spread == 0), 1.0, spread))


def _trained(
    material: _Material,
    binary: np.ndarray,
    max_epochs: int,
    *,
    seed: int,
    start: Mapping[str, np.ndarray] | None = None,
) -> SupervisedFeatures:
    judge = SupervisedFeatures(material.images.shape[1], len(binary), max_epochs=max_epochs, patience=PATIENCE)
    return judge.fit(material.images, material.targets, material.groups, is_binary=binary, seed=seed, start=start)


def _networks(training: _Material, made: _Material, binary: np.ndarray, *, seed: int) -> dict[str, _Trained]:
    """Train one network per arm."""

    def trained(material: _Material, start: Mapping[str, np.ndarray] | None = None) -> SupervisedFeatures:
        return _trained(material, binary, _epochs(training, material), seed=seed, start=start)

    synthetic, both = trained(made), training.supplemented(made)
    return {
        "real": _scaled(trained(training).network, training.targets, binary),
        "synthetic": _scaled(synthetic.network, made.targets, binary),
        "both": _scaled(trained(both).network, both.targets, binary),
        "finetuned": _scaled(trained(training, synthetic.weights()).network, training.targets, binary),
    }


@torch.no_grad()
def _predicted(network: nn.Module, images: torch.Tensor) -> np.ndarray:
    with eval_mode(network):
        return torch.cat([network(block) for block in images.split(256)]).double().numpy()


def _score_records(sides: UtilitySides, networks: list[dict[str, _Trained]], *, seed: int) -> list[MetricRecord]:
    """Score every arm on the holdout; the score is the mean over seeds."""
    holdout = sides.cohorts[1]
    images = holdout.images()
    test = sides.probe_sides(sides.outcomes, [cohort.features for cohort in sides.cohorts])[1]
    drawn = bootstrap_weights(test.groups, NUM_REPLICATES, seed=seed) * test.weights
    tables: dict[ArmKey, dict[str, ScoreTable]] = {}
    for arm in ARMS:
        found = [_scores(sides.outcomes, each[arm].predicted(images), test, drawn) for each in networks]
        key = REAL if arm == "real" else (arm, sides.volume)
        tables[key] = {
            name: ScoreTable(
                np.mean([scores[name][0] for scores in found], axis=0),
                np.mean([scores[name][1:] for scores in found], axis=0),
            )
            for name in found[0]
        }
    estimator = (
        f"small DenseNet trained in place on each arm, all targets at once, stopped early on a fifth of the arm's own "
        f"patients; mean of {len(networks)} seeds; bootstrap of the holdout patients, {NUM_REPLICATES} samples, "
        "networks not trained again, so that luck with the training records is not in the interval; both: patients are "
        "shown about as often as records; fine-tuned: training on real records begins with the synthetic arm's weights"
    )
    writer = UtilityWriter(sides.cohort, NETWORK, sides.outcomes, holdout.num_groups, estimator, contraction=1.0)
    return writer.records(tables, together=True)


def _scores(
    outcomes: list[UtilityOutcome], predicted: np.ndarray, test: ProbeSide, drawn: np.ndarray
) -> dict[str, np.ndarray]:
    """Return scores ``(1 + samples, columns)``: on the holdout itself, then on its bootstrap samples."""
    weights = np.vstack([test.weights, drawn])
    found = {name: np.full((len(weights), len(outcomes)), np.nan) for name in ("auroc", "auprc", "r2")}
    statistics = {"auroc": weighted_auroc, "auprc": weighted_average_precision, "r2": weighted_r2}
    for place, outcome in enumerate(outcomes):
        rows = ~np.isnan(test.targets[:, place])
        values = test.targets[rows, place]
        scores = predicted[rows, place]
        for name in ("auroc", "auprc") if outcome.target.is_binary else ("r2",):
            found[name][:, place] = statistics[name](scores, values, weights[:, rows])
    return found


def _map_agreement(
    sides: UtilitySides,
    networks: Mapping[str, list[nn.Module]],
    outcome: UtilityOutcome,
    fill: torch.Tensor,
    *,
    seed: int,
) -> tuple[MetricRecord, list[dict[str, Any]]]:
    """Compare maps of networks of training patients and of synthetic records with maps of networks of the holdout.

    Comparing with the training patients would flatter: synthetic records carry their chance, copies all of it.
    """
    whole = sides.cohorts[1]
    known = np.flatnonzero(~np.isnan(outcome.target.values(whole.table)))
    rows = np.sort(np.random.default_rng(seed).permutation(known)[:MAPPED_IMAGES])
    holdout = whole.subset(rows)
    place = sides.outcomes.index(outcome)
    maps = {
        arm: [occlusion_maps(network, holdout.images(), fill, output=place) for network in found]
        for arm, found in networks.items()
    }
    others = np.roll(np.arange(len(rows)), 1 + len(rows) // 2)
    means = {
        name: np.mean([map_agreement(own, other[order]) for own in maps["holdout"] for other in maps[arm]], axis=0)
        for name, arm, order in (
            ("value", "synthetic", slice(None)),
            ("ceiling", "real", slice(None)),
            ("floor", "synthetic", others),
        )
    }
    estimates = {name: _over_patients(found, holdout.groups, seed=seed) for name, found in means.items()}
    estimator = (
        f"small DenseNets, patches of an eighth of the edge hidden behind the mean training image, {len(rows)} holdout "
        "images; compared with networks trained on the holdout patients themselves, over pairs of seeds; ceiling: "
        "networks of the training patients; floor: maps of other images; the synthetic arm uses all its records, so "
        "that a large cohort can exceed the ceiling; bootstrap of the holdout images, networks not trained again: luck "
        "with the training records is not in the interval"
    )
    record = agreement_record(estimates, sides.cohort, outcome, NETWORK, estimator)
    drawn = map_drawings(holdout, outcome, maps["holdout"][0], maps["synthetic"][0])
    return record, [{**entry, "row": int(rows[entry["row"]])} for entry in drawn]


def _over_patients(values: np.ndarray, groups: np.ndarray, *, seed: int) -> Estimate:
    """Return the mean over images ``(rows,)`` with an interval over patients."""

    def mean(weights: np.ndarray) -> np.ndarray:
        return (weights * values).sum(-1) / weights.sum(-1)

    return bootstrap_estimate(mean, groups, seed=seed, num_replicates=NUM_REPLICATES, bounds=(-1.0, 1.0))


@torch.no_grad()
def occlusion_maps(network: nn.Module, images: torch.Tensor, fill: torch.Tensor, *, output: int) -> np.ndarray:
    """Return how much the network's output falls when a patch is hidden, float64 ``(N, P, P)``, P at most 8.

    Args:
        network: images ``(B, C, S, S)`` to ``(B, outputs)``.
        images: shape ``(N, C, S, S)``.
        fill: what hidden patches show, shape ``(C, S, S)``.
        output: which output is looked at.

    Source:
        Occlusion maps of the same images for two classifiers: DuMont Schuette et al. 2021,
        https://arxiv.org/abs/2012.03769. Differs from the paper: patches of an eighth of the edge, the mean training
        image behind them, and a number in place of a comparison by eye.
    """
    edge = images.shape[-1]
    count = min(PATCHES, edge)
    bounds = np.linspace(0, edge, count + 1).astype(int)
    whole = _predicted(network, images)[:, output]
    heat = np.zeros((len(images), count, count))
    for row in range(count):
        for column in range(count):
            hidden = images.clone()
            y, x = (slice(bounds[place], bounds[place + 1]) for place in (row, column))
            hidden[:, :, y, x] = fill[:, y, x]
            heat[:, row, column] = whole - _predicted(network, hidden)[:, output]
    return heat
