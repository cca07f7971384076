"""What an attacker can look at: images, rows and both together of all real patients and of a synthetic cohort."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from torch.nn import functional

from monai_hybridsynth.data import RecordSchema
from monai_hybridsynth.data.row_texts import row_texts
from monai_hybridsynth.evaluation.judged_cohort import JudgedCohort
from monai_hybridsynth.evaluation.prediction_targets import label_sets
from monai_hybridsynth.metrics import (
    atypicality,
    closest_ratio_score,
    closest_score,
    density_ratio_score,
    match_score,
    maximal_pixel_correlation,
    moment_ratio_score,
    neighbourhood_score,
    pixel_moves,
)
from monai_hybridsynth.transforms import RecordEncoder

__all__ = [
    "ENCODER_ATTACK",
    "ENCODER_ROW_ATTACK",
    "VIEWS",
    "MembershipView",
    "RealPatients",
    "encoder_attacks",
    "membership_views",
    "rare_patients",
    "real_patients",
]

VIEWS = ("image", "table", "record")
# Of whoever has the generator's encoder beside the synthetic records; there where --encoder was given.
ENCODER_ATTACK, ENCODER_ROW_ATTACK = "encoder moments", "encoder and row moments"
MAXIMUM_ROWS = 3000
MAXIMUM_SYNTHETIC = 10_000
EDGE = 32
CORRELATION_EDGE = 16
NUM_BLIND = 16
# A moved copy is found by the copies' own search; here a coarse one suffices to rank patients.
SHIFTS = (-2 / 64, 0.0, 2 / 64)
RESIDUAL_RIDGE = 10.0
RARE_PATIENTS, RARE_SHARE = 5, 0.02


@dataclass(frozen=True)
class RealPatients:
    """Records of members (training patients) and of others (held-out patients), one below the other.

    Attributes:
        sides: the training cohort, then the held-out one; of large ones a random part of the patients.
        member: bool ``(rows,)``.
        groups: patient of each row, object ``(rows,)``.
    """

    sides: tuple[JudgedCohort, JudgedCohort]
    member: np.ndarray
    groups: np.ndarray


@dataclass(frozen=True)
class MembershipView:
    """What every attack says about every real record.

    Attributes:
        name: ``image``, ``table`` or ``record``.
        scores: of each attack ``(rows,)``; higher is more likely a member.
        blind: what the records look like, without any synthetic record, ``(rows, F)``.
        atypical: how far each record lies from other real patients, ``(rows,)``.
        reason: why there is nothing to attack.
    """

    name: str
    scores: dict[str, np.ndarray] = field(default_factory=dict)
    blind: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    atypical: np.ndarray = field(default_factory=lambda: np.zeros(0))
    reason: str = ""


def real_patients(train: JudgedCohort, holdout: JudgedCohort, *, seed: int) -> RealPatients:
    """Return members and others; beyond 3,000 records of a side, whole patients are left out at random."""
    sides = tuple(_some_patients(side, seed=seed) for side in (train, holdout))
    groups = np.concatenate(
        [
            np.array([f"{role} {group}" for group in side.groups], dtype=object)
            for role, side in zip("ab", sides, strict=True)
        ]
    )
    return RealPatients((sides[0], sides[1]), np.repeat([True, False], [len(side) for side in sides]), groups)


def _some_patients(side: JudgedCohort, *, seed: int) -> JudgedCohort:
    if len(side) <= MAXIMUM_ROWS:
        return side
    patients, codes = np.unique(side.groups.astype(str), return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(patients))
    kept = order[np.cumsum(np.bincount(codes)[order]) <= MAXIMUM_ROWS]
    return side.subset(np.flatnonzero(np.isin(codes, kept)))


def membership_views(real: RealPatients, synthetic: JudgedCohort, *, seed: int) -> list[MembershipView]:
    """Return the attacks' scores on images, rows and records.

    Features and encodings are fitted on members and others together or not at all. The features that judge images
    elsewhere are not used here, nor the space ``encoder``: their components were fitted on members, which alone sets
    members apart from others. The encoder's codes as they are were fitted on none of these patients.
    """
    synthetic = synthetic.limited(MAXIMUM_SYNTHETIC, seed=seed)
    cohorts = (*real.sides, synthetic)
    images, rows = _images(cohorts), _rows(train_schema := real.sides[0].cohort.schema, cohorts, real.groups)
    views = []
    image_reason = "" if images[0].shape[1] else "the cohorts hold no pixels"
    table_reason = "" if rows[0].shape[1] else "no clinical column varies"
    if image_reason:
        views.append(MembershipView("image", reason=image_reason))
    else:
        views.append(_view("image", *images, real.groups, _image_attacks(cohorts, real)))
    if table_reason:
        views.append(MembershipView("table", reason=table_reason))
    else:
        texts = [row_texts(train_schema, side.table) for side in cohorts]
        matches = match_score(np.vstack(texts[:2]), texts[2], real.groups)
        views.append(_view("table", *rows, real.groups, {"matches": matches}))
    if image_reason or table_reason:
        views.append(MembershipView("record", reason=image_reason or table_reason))
    else:
        both = [np.hstack(pair) for pair in zip(_unit(images), _unit(rows), strict=True)]
        more = {"residual": _residual_attack(images, rows, real.groups), **_encoder_attacks(cohorts, rows)}
        views.append(_view("record", both[0], both[1], real.groups, more))
    return views


def encoder_attacks(real: RealPatients, synthetic: JudgedCohort) -> dict[str, np.ndarray]:
    """Return the scores of the attacks on records that only somebody with the encoder can make, by attack.

    All synthetic records are used. Without codes there are none, and without rows that vary none of codes and rows.
    """
    cohorts = (*real.sides, synthetic)
    rows = _rows(real.sides[0].cohort.schema, cohorts, real.groups)
    return _encoder_attacks(cohorts, rows if rows[0].shape[1] else None)


def _view(
    name: str, real: np.ndarray, made: np.ndarray, groups: np.ndarray, more: dict[str, np.ndarray]
) -> MembershipView:
    scores = {
        "closest": closest_score(real, made),
        "ratio": closest_ratio_score(real, made, groups),
        "neighbourhood": neighbourhood_score(real, made),
        "density ratio": density_ratio_score(real, made, groups),
        **more,
    }
    return MembershipView(name, scores, _components(real), atypicality(real, groups))


def _components(real: np.ndarray) -> np.ndarray:
    """Return the first principal components of real records: what is known of them without a synthetic cohort."""
    centred = real - real.mean(0)
    _, spread, directions = np.linalg.svd(centred, full_matrices=False)
    kept = directions[:NUM_BLIND][spread[:NUM_BLIND] > 1e-9 * max(float(spread[0]), 1e-12)]
    return centred @ kept.T if len(kept) else np.zeros((len(real), 1))


def _images(cohorts: Sequence[JudgedCohort]) -> tuple[np.ndarray, np.ndarray]:
    """Return images at 32 pixels, each without its mean brightness and contrast, real and synthetic."""
    if any(not len(side.pixels) for side in cohorts):
        return np.zeros((len(cohorts[0]) + len(cohorts[1]), 0)), np.zeros((len(cohorts[2]), 0))
    found = []
    for side in cohorts:
        edge = min(EDGE, *side.pixels.shape[2:])
        small = torch.cat(
            [functional.adaptive_avg_pool2d(torch.from_numpy(part).float(), edge) for part in _blocks(side.pixels)]
        )
        flat = small.flatten(1).double().numpy()
        flat = flat - flat.mean(1, keepdims=True)
        found.append(flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-9))
    return np.vstack(found[:2]), found[2]


def _blocks(pixels: np.ndarray, count: int = 512) -> list[np.ndarray]:
    return [np.ascontiguousarray(pixels[start : start + count]) for start in range(0, len(pixels), count)]


def _rows(schema: RecordSchema, cohorts: Sequence[JudgedCohort], groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return clinical rows as vectors, the encoding fitted on all real patients alike, real and synthetic."""
    names = schema.feature_names
    if not names:
        return np.zeros((len(groups), 0)), np.zeros((len(cohorts[2]), 0))
    real = pd.concat([side.table[names] for side in cohorts[:2]], ignore_index=True)
    encoder = RecordEncoder(RecordSchema([schema[name] for name in names], schema.image), minimum_patients=1)
    encoder.fit(real, patients=groups)
    return encoder.transform(real).astype(float), encoder.transform(cohorts[2].table[names]).astype(float)


def _unit(pair: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Centre both on real records and scale them to a mean squared length of one."""
    centre = pair[0].mean(0)
    length = float(np.sqrt(((pair[0] - centre) ** 2).sum(1).mean()))
    return [(side - centre) / max(length, 1e-12) for side in pair]


def _image_attacks(cohorts: Sequence[JudgedCohort], real: RealPatients) -> dict[str, np.ndarray]:
    """Return the attack on untrained texture features, copy detection by pixel correlation, the encoder's attack."""
    scores = {}
    if all("texture" in side.spaces for side in cohorts):
        texture = [np.asarray(side.spaces["texture"], dtype=float) for side in cohorts]
        known = np.vstack(texture[:2])
        centre, spread = known.mean(0), np.maximum(known.std(0), 1e-9)
        scores["texture ratio"] = closest_ratio_score(
            (known - centre) / spread, (texture[2] - centre) / spread, real.groups
        )
    if min(cohorts[0].pixels.shape[2:]) >= CORRELATION_EDGE:
        scores["pixel correlation"] = _correlation_attack(cohorts, real.groups)
    return scores | _encoder_attacks(cohorts)


def _encoder_attacks(
    cohorts: Sequence[JudgedCohort], rows: Sequence[np.ndarray] | None = None
) -> dict[str, np.ndarray]:
    """Return the attack by moments of the encoder's codes; where rows are given, that of codes and rows together too.

    Neither replaces the other: how codes and rows hang together may give away more, and rows of few patients drown what
    the codes give away, since a category that was left out of a release sets every patient who has it far apart.
    """
    if any(len(side.codes) < 2 for side in cohorts):  # no encoder was given, or a cohort has no covariance
        return {}
    codes = [np.vstack([side.codes for side in cohorts[:2]]), cohorts[2].codes]
    scores = {ENCODER_ATTACK: moment_ratio_score(*codes)}
    if rows is not None:
        both = [np.hstack(pair) for pair in zip(_unit(codes), _unit(rows), strict=True)]
        scores[ENCODER_ROW_ATTACK] = moment_ratio_score(*both)
    return scores


def _correlation_attack(cohorts: Sequence[JudgedCohort], groups: np.ndarray) -> np.ndarray:
    """Return the highest correlation with a synthetic image minus that with another patient's image."""
    moves = pixel_moves(shifts=SHIFTS, scales=(1.0,))
    known = torch.cat([side.images() for side in cohorts[:2]])
    codes = np.unique(groups.astype(str), return_inverse=True)[1]
    made = maximal_pixel_correlation(known, cohorts[2].images(), moves=moves, edge=CORRELATION_EDGE)
    # As many as it takes to reach an image of somebody else.
    wanted = min(int(np.bincount(codes).max()) + 1, len(known))
    among = maximal_pixel_correlation(known, known, moves=moves, num_best=wanted, edge=CORRELATION_EDGE)
    stranger = codes[among.index.numpy()] != codes[:, None]
    return made.correlation[:, 0].numpy() - np.where(stranger, among.correlation.numpy(), -1.0).max(1)


def _residual_attack(images: Sequence[np.ndarray], rows: Sequence[np.ndarray], groups: np.ndarray) -> np.ndarray:
    """Return the ratio attack on what an image shows beyond what its row predicts.

    Finds a patient whose peculiarities were put on another patient's row, which no nearest record shows.
    """
    from sklearn.linear_model import Ridge

    counts = np.unique(groups.astype(str), return_inverse=True, return_counts=True)
    weights = 1.0 / counts[2][counts[1]]
    expected = Ridge(alpha=RESIDUAL_RIDGE).fit(rows[0], images[0], sample_weight=weights)
    real, made = (image - expected.predict(row) for image, row in zip(images, rows, strict=True))
    return closest_ratio_score(real, made, groups)


def rare_patients(real: RealPatients) -> tuple[np.ndarray, str]:
    """Return whose rows hold a category or label that few patients have, bool ``(rows,)``, and the rule in words."""
    schema = real.sides[0].cohort.schema
    table = pd.concat([side.table for side in real.sides], ignore_index=True)
    codes = np.unique(real.groups.astype(str), return_inverse=True)[1]
    most = max(RARE_PATIENTS, int(RARE_SHARE * (codes.max() + 1)))
    rare = np.zeros(codes.max() + 1, dtype=bool)
    for name in schema.feature_names:
        entry = schema[name]
        if entry.is_numeric:
            continue
        if entry.kind == "multilabel":
            values = label_sets(table[name], entry)
        else:
            values = [None if pd.isna(value) else {str(value)} for value in table[name]]
        holders: dict[str, set[int]] = {}
        for code, labels in zip(codes, values, strict=True):
            for label in labels or ():
                holders.setdefault(label, set()).add(int(code))
        for found in holders.values():
            if len(found) <= most:
                rare[list(found)] = True
    return rare[codes], f"patients with a category or label that at most {most} of {len(rare)} patients have"
