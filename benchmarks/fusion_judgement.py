"""One synthesizer on one split of a cohort: fit, draw five times the records, decode, judge as ``evaluate`` does."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from fusion_cohorts import ImageCodec, Split, inner_cohorts, without_images

from monai_hybridsynth.data import RecordSchema
from monai_hybridsynth.evaluation.copies import copy_metrics
from monai_hybridsynth.evaluation.correspondence import (
    class_patients,
    forward_scores,
    probe_features,
    reverse_scores,
    too_few_patients,
)
from monai_hybridsynth.evaluation.judged_cohort import JudgedCohort
from monai_hybridsynth.evaluation.membership import membership_findings
from monai_hybridsynth.evaluation.membership_views import encoder_attacks, real_patients
from monai_hybridsynth.evaluation.metric_record import MetricRecord
from monai_hybridsynth.evaluation.nearness import nearness_metrics, row_texts
from monai_hybridsynth.evaluation.prediction_targets import ordered_scale, prediction_targets, target_matrix
from monai_hybridsynth.evaluation.probe_scores import ProbeSide, score_columns
from monai_hybridsynth.evaluation.table_fidelity import table_fidelity
from monai_hybridsynth.evaluation.train_on_synthetic import utility_sides
from monai_hybridsynth.evaluation.training_arms import TrainingArm, arm_scores
from monai_hybridsynth.fusion import latent_columns
from monai_hybridsynth.metrics import (
    REFIT_CONTRACTION,
    agreement_ratio,
    exact_rows,
    interval,
    weighted_auroc,
    weighted_order_score,
)

__all__ = ["inner_score", "judge", "moment_attacks", "random_holdouts"]

VOLUME = 5
# The fastest on one core.
BATCH = 64
# As many records as `make demo` writes; an attack and a search for copies cost the most.
ATTACKED = 1000
# Fewer bootstrap samples say nothing of an interval and are drawn for the point estimate alone.
ENOUGH_REPLICATES = 40


def judge(
    split: Split, table: pd.DataFrame, codec: ImageCodec, synthesizer: Any, *, seed: int, num_replicates: int
) -> dict[str, Any]:
    """Return every figure of one cell, JSON values.

    Args:
        split: patients and judges.
        table: latent table of the training patients.
        codec: what made its latents and decodes those of records.
        synthesizer: not fitted yet.
        seed: of fit, draw and evaluation.
        num_replicates: bootstrap samples with refitted predictors.
    """
    schema = split.train.cohort.schema
    clock = _Clock()
    synthesizer.fit(table, schema, seed=seed)
    clock("fit")
    records = synthesizer.sample(VOLUME * len(table), seed=seed + 1)
    clock("sample")
    names = latent_columns(records)
    latents = records[names].to_numpy(dtype=np.float32)
    images = torch.cat([codec.decode(latents[start : start + BATCH]) for start in range(0, len(latents), BATCH)])
    # The texture of all records would take as long as everything else; see ATTACKED.
    plain = replace(split, embeddings={"": split.embeddings[""]})
    made = plain.drawn(records.drop(columns=names), images)
    clock("decode")
    result: dict[str, Any] = {
        "agreement": _agreement(split.train, split.holdout, made, seed=seed, num_replicates=num_replicates),
        "utility": _utility(split.train, split.holdout, made, seed=seed, num_replicates=num_replicates),
        "table": _fidelity(split.train, split.holdout, made, seed=seed),
    }
    # Whoever gets the records can have the encoder too: every attack is also made by somebody who does.
    made = replace(made, codes=codec.encode(made.images()).astype(float))
    tables = (table, split.table(codec, "holdout"))
    real = [
        replace(side, codes=rows[names].to_numpy(float))
        for side, rows in zip((split.train, split.holdout), tables, strict=True)
    ]
    attacked = made.limited(ATTACKED, seed=seed)
    texture = [split.embeddings["texture"](part).double() for part in attacked.images().split(BATCH)]
    attacked = replace(attacked, spaces={"texture": torch.cat(texture).numpy()})
    sides = (*real, attacked)
    found = [
        *nearness_metrics(*sides, seed=seed),
        *copy_metrics(*sides, seed=seed).metrics,
        *membership_findings(*sides, seed=seed).metrics,
    ]
    privacy = _chosen(found, _privacy_key) | moment_attacks(*real, made)
    clock("judge")
    return result | {"privacy": privacy, "seconds": clock.seconds}


def moment_attacks(members: JudgedCohort, others: JudgedCohort, released: JudgedCohort) -> dict[str, list]:
    """Return the AUROC, every patient counted once, of attacks by moments of all released records.

    Patients, members and others with their codes, count as a member's the more likely they are for a normal
    distribution with the moments of the released records' codes, or codes and rows, than for one with those of all
    patients alike. The evaluation makes the same attacks on as many records as it is given.
    """
    patients = real_patients(members, others, seed=0)
    weights = np.concatenate([side.weights for side in patients.sides])[None]
    truth = patients.member.astype(float)
    return {
        f"membership {attack}": [round(float(weighted_auroc(score, truth, weights)[0]), 5), None, None, 0.5]
        for attack, score in encoder_attacks(patients, released).items()
    }


def inner_score(split: Split, table: pd.DataFrame, synthesizer: Any, *, seed: int) -> dict[str, float]:
    """Score a configuration on an inner split of the training patients, by the latents alone.

    ``score`` is the mean of forward and reverse agreement of linear probes on the latents, each at most 1, plus the
    column shapes, minus the exact rows beyond those that held-out patients have.
    """

    def draw(rows: pd.DataFrame, schema: RecordSchema) -> pd.DataFrame:
        records: pd.DataFrame = synthesizer.fit(rows, schema, seed=seed).sample(VOLUME * len(rows), seed=seed + 1)
        return records

    train, holdout, made = inner_cohorts(split, table, draw, seed=seed)
    agreement = _agreement(train, holdout, made, seed=seed, num_replicates=2)
    gains = [[np.array([score]) for score in agreement[f"{way} linear"]["mean"]] for way in ("forward", "reverse")]
    both = [min(float(agreement_ratio(*one)), 1.0) for one in gains]
    shape = _fidelity(train, holdout, made, seed=seed)["column_shape"][0]
    exact = _chosen(nearness_metrics(train, holdout, made, seed=seed), _privacy_key)["exact rows"]
    excess = max(exact[0] - exact[3], 0.0)
    found = {"forward": both[0], "reverse": both[1], "shape": shape, "exact rows above holdout": excess}
    return {name: round(value, 3) for name, value in {"score": sum(both) / 2 + shape - excess, **found}.items()}


def random_holdouts(split: Split, *, count: int, seed: int) -> list[list[float]]:
    """Return column shapes, pair trends and exact rows of held-out patients drawn at random ``count`` times.

    The splits themselves are stratified, so that their held-out patients resemble the others more than chance does; and
    where a dozen patients are held out, five splits say little of how often a row of theirs is that of another.
    """
    cohort = split.train.cohort
    table = pd.concat([cohort.table, split.holdout.cohort.table], ignore_index=True)
    groups = np.concatenate([split.train.groups, split.holdout.groups])
    patients, rng = np.unique(groups), np.random.default_rng(seed)

    def side(role: str, rows: np.ndarray) -> JudgedCohort:
        part = without_images(cohort, table[rows].reset_index(drop=True))
        return JudgedCohort(role, role, part, np.zeros((len(part), 1)), groups[rows])

    found = []
    for _ in range(count):
        held = np.isin(groups, rng.permutation(patients)[: split.holdout.num_groups])
        train, others = side("train", ~held), side("holdout", held)
        figures = _chosen(table_fidelity(train, others, others, seed=seed).metrics, _fidelity_key)
        same = exact_rows(*(row_texts(cohort.schema, one.table) for one in (others, train)))
        share = float(np.average(same, weights=others.weights))
        found.append([figures["column_shape"][0], figures["pair_trend"][0], share])
    return found


class _Clock:
    """Processor seconds since the last call, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.last = time.process_time()

    def __call__(self, name: str) -> None:
        now = time.process_time()
        self.seconds[name], self.last = round(now - self.last, 2), now


def _agreement(
    train: JudgedCohort, holdout: JudgedCohort, made: JudgedCohort, *, seed: int, num_replicates: int
) -> dict[str, dict[str, list]]:
    """Return the scores behind agreement per direction and predictor, then per column (``mean`` for all).

    Scores are matched, shuffled and real, averaged over a column's outcomes, to be summed over splits before they are
    divided: one split's ratio says little where the real link is weak. With enough replicates the interval of the mean
    column's ratio is there too.
    """
    cohorts = (train, holdout, made)
    targets = []
    for target in prediction_targets(train.cohort.schema, train.cohort.schema.feature_names, train.table):
        counts = [class_patients(target.values(c.table), c.groups, binary=target.is_binary) for c in cohorts[:2]]
        if not too_few_patients(*counts, binary=target.is_binary):
            targets.append(target)
    if not targets:
        return {}
    matrices = [target_matrix(targets, cohort.table) for cohort in cohorts]
    for place in [place for place, target in enumerate(targets) if not target.is_binary]:
        known = matrices[0][:, place].copy()
        for matrix in matrices:
            matrix[:, place] = ordered_scale(matrix[:, place], known)
    statistics = [weighted_auroc if target.is_binary else weighted_order_score for target in targets]
    names = [target.column for target in targets]
    columns = list(dict.fromkeys(names))
    average = np.array([[(name == column) / names.count(column) for name in names] for column in columns])
    found: dict[str, dict[str, list]] = {}
    for predictor in ("linear", "kernel"):
        features = probe_features(*(cohort.features for cohort in cohorts), predictor=predictor, seed=seed)
        sides = [ProbeSide(*part) for part in zip(features, matrices, (c.groups for c in cohorts), strict=True)]
        for way, score in (("forward", forward_scores), ("reverse", reverse_scores)):
            scores = score(sides, statistics, num_replicates=num_replicates, seed=seed)
            tables = (scores.matched, scores.shuffled, scores.real)
            points = [np.nan_to_num(table.point, nan=0.5) @ average.T for table in tables]
            drawn = [np.nan_to_num(table.replicates, nan=0.5) @ average.T for table in tables]
            gains = dict(zip(columns, np.round(points, 5).T.tolist(), strict=True))
            gains["mean"] = np.round(np.mean(points, axis=1), 5).tolist()
            if num_replicates >= ENOUGH_REPLICATES:
                value = float(agreement_ratio(*points))
                limits = interval(
                    value,
                    agreement_ratio(*drawn),
                    num_groups=holdout.num_groups,
                    contraction=REFIT_CONTRACTION,
                )
                gains["interval"] = [round(number, 5) for number in (value, *limits)]
            found[f"{way} {predictor}"] = gains
    return found


def _utility(
    train: JudgedCohort, holdout: JudgedCohort, made: JudgedCohort, *, seed: int, num_replicates: int
) -> dict[str, Any]:
    """Return the AUROC of image probes per arm, every target column counted once, and the interval of the gain."""
    sides = utility_sides(train, holdout, made, seed=seed)
    outcomes = [outcome for outcome in sides.outcomes if outcome.target.is_binary]
    if not outcomes:
        return {}
    a, b, c = sides.probe_sides(outcomes, [side.features for side in sides.cohorts])
    arms = {
        "real": TrainingArm((a,)),
        "synthetic": TrainingArm((c,)),
        "both": TrainingArm((a, c), supplemented=True),
        "one by one": TrainingArm((a, c)),
    }
    columns = [outcome.target.column for outcome in outcomes]
    share = np.array([1 / columns.count(column) for column in columns]) / len(set(columns))

    def score(found: Any, weights: np.ndarray) -> np.ndarray:
        return score_columns(found.scores, b.targets, weights, [weighted_auroc] * len(columns))

    tables, _ = arm_scores(arms, b, dict.fromkeys(arms, {"auroc": score}), num_replicates=num_replicates, seed=seed)
    point = {name: float(table["auroc"].point @ share) for name, table in tables.items()}
    drawn = {name: np.nan_to_num(table["auroc"].replicates, nan=0.5) @ share for name, table in tables.items()}
    limits = partial(interval, num_groups=holdout.num_groups, contraction=REFIT_CONTRACTION)
    ratio = (point["synthetic"] - 0.5) / (point["real"] - 0.5)
    ratios = (drawn["synthetic"] - 0.5) / (drawn["real"] - 0.5)
    gain = point["both"] - point["real"]
    if num_replicates < ENOUGH_REPLICATES:
        return point
    return point | {
        "ratio": [ratio, *limits(ratio, ratios)],
        "gain": [gain, *limits(gain, drawn["both"] - drawn["real"])],
    }


def _chosen(records: Any, key: Callable[[MetricRecord], str | None]) -> dict[str, list]:
    """Return value, low, high and floor of the records that have a key."""
    return {name: [*_numbers(record), record.floor] for record in records if (name := key(record))}


def _fidelity(train: JudgedCohort, holdout: JudgedCohort, made: JudgedCohort, *, seed: int) -> dict[str, list]:
    """Return column shapes and pair trends; all splits here are stratified."""
    return _chosen(table_fidelity(train, holdout, made, seed=seed, stratified=True).metrics, _fidelity_key)


def _fidelity_key(record: MetricRecord) -> str | None:
    return record.name if record.name in ("column_shape", "pair_trend") and record.column is None else None


def _privacy_key(record: MetricRecord) -> str | None:
    seen = record.dimensions
    if record.name == "membership_auroc" and seen["attack"] == "strongest":
        return f"membership {seen['view']}" if seen["stratum"] == "all" else f"{seen['stratum']} {seen['view']}"
    if record.name == "membership_auroc":
        return f"membership {seen['view']}, classifier" if seen["attack"] == "classifier" else None
    if record.name == "exact_rows_share":
        return "exact rows" if "label" not in seen else f"exact rows, {seen['label']}"
    if record.name == "copies_share":
        return "copies" if "any" in seen.values() else None
    return f"nearest {seen['view']}" if record.name == "dcr_median" else None


def _numbers(record: MetricRecord) -> list:
    return [None if value is None else round(value, 5) for value in (record.value, record.low, record.high)]
