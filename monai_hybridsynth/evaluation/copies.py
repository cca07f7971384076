"""Do synthetic images copy training images? Counted by three measures, beside the same count for held-out patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from monai_hybridsynth.evaluation.findings import Findings
from monai_hybridsynth.evaluation.judged_cohort import JudgedCohort, limited_rows
from monai_hybridsynth.evaluation.metric_record import MetricRecord
from monai_hybridsynth.metrics import Estimate, nearest_records
from monai_hybridsynth.metrics.copy_share import CopyRule, copy_rule, hit_share, share_beside_floor
from monai_hybridsynth.metrics.nearest_patients import NearestPatients, nearest_by_features, nearest_by_pixels

__all__ = ["ALLOWED_FALSE_ALARMS", "copy_metrics", "nearest_training"]

# One in a hundred; with fewer than a hundred patients in a half, the closest held-out patient sets the threshold.
ALLOWED_FALSE_ALARMS = 0.01
# A share needs no more records; a bank beyond this is cut to the images nearest to anything that is judged.
MAXIMUM_RECORDS, MAXIMUM_BANK = 3000, 4000
GALLERY = 12
NAMES = ("copies_share", "memorised_share")
WORDS = {
    "any": "any of the measures",
    "pixels": "pixel correlation over moves, sizes and mirror images",
    "judge": "the judge's features",
    "texture": "texture features",
}
ESTIMATOR = (
    "nearest training patient's distance over the mean of the next ten patients'; threshold from one half of the "
    "holdout patients, false alarms (floor) on the other half, both ways; Newcombe interval with exact limits, which "
    "holds the floor's uncertainty"
)


def copy_metrics(train: JudgedCohort, holdout: JudgedCohort, synthetic: JudgedCohort, *, seed: int) -> Findings:
    """Return copies_share and memorised_share by measure, and the closest pairs for the gallery.

    The measures: ``pixels`` sees through moves, sizes, mirroring and grey-value curves; ``judge`` and ``texture`` are
    distances in the embeddings; ``any`` accuses what one of them accuses, its floor counted the same way.
    """
    rows = limited_rows(len(synthetic), MAXIMUM_RECORDS, seed=seed)
    if len(rows) < len(synthetic):
        synthetic = synthetic.subset(rows)
    reason = _too_few(train, holdout)
    if reason:
        return Findings([_absent(reason, synthetic.name, name) for name in NAMES])
    found = nearest_training(train, (holdout, synthetic))
    rules = {
        name: copy_rule(sides[0].contrast, holdout.groups, rate=ALLOWED_FALSE_ALARMS, seed=seed)
        for name, sides in found.items()
    }
    accused = {name: rules[name].accused(sides[1].contrast) for name, sides in found.items()}
    hit = {name: [_patients(train, found[name][1].index[side]) for side in accused[name]] for name in found}
    if len(found) > 1:
        rules = {"any": _any(list(rules.values())), **rules}
        hit = {"any": [set().union(*(sides[half] for sides in hit.values())) for half in (0, 1)], **hit}
        accused = {"any": np.any(list(accused.values()), axis=0), **accused}
    records = []
    for measure, rule in rules.items():
        records += _records(measure, rule, accused[measure], hit[measure], (train, holdout, synthetic))
    if "pixels" not in found:
        absent = [_absent("the cohorts keep no pixels", synthetic.name, n, "pixels") for n in NAMES]
        return Findings(records + absent)
    drawings = {
        "copies": _gallery(found["pixels"][1], "synthetic", rows),
        "copies_holdout": _gallery(found["pixels"][0], "holdout", np.arange(len(holdout))),
        "copy_threshold": float(rules["pixels"].thresholds.mean()),
    }
    return Findings(records, drawings)


def nearest_training(train: JudgedCohort, sides: tuple[JudgedCohort, ...]) -> Mapping[str, tuple[NearestPatients, ...]]:
    """Return by measure, for each side, the nearest training image of every record."""
    spaces = {"judge": [train.features, *(side.features for side in sides)]}
    if all("texture" in side.spaces for side in (train, *sides)):
        texture = [side.spaces["texture"] for side in (train, *sides)]
        deviation = np.maximum(texture[0].std(axis=0), 1e-12)
        spaces["texture"] = [space / deviation for space in texture]
    found: dict[str, tuple[NearestPatients, ...]] = {}
    if all(len(side.pixels) == len(side) for side in (train, *sides)):
        found["pixels"] = _by_pixels(train, sides)
    for name, (real, *others) in spaces.items():
        found[name] = tuple(nearest_by_features(other, real, train.groups) for other in others)
    return found


def _by_pixels(train: JudgedCohort, sides: tuple[JudgedCohort, ...]) -> tuple[NearestPatients, ...]:
    rows = _shortlist(train, sides)
    parts = [nearest_by_pixels(side.pixels, train.pixels[rows], train.groups[rows]) for side in sides]
    return tuple(replace(part, index=rows[part.index]) for part in parts)


def _shortlist(train: JudgedCohort, sides: tuple[JudgedCohort, ...]) -> np.ndarray:
    """Return the training rows whose pixels are compared: all, or of a large cohort those nearest to any candidate."""
    if len(train) <= MAXIMUM_BANK:
        return np.arange(len(train))
    candidates = torch.from_numpy(np.concatenate([side.features for side in sides]))
    distances = nearest_records(torch.from_numpy(train.features), candidates)[0][:, 0].numpy()
    return np.sort(np.argsort(distances, kind="stable")[:MAXIMUM_BANK])


def _any(rules: Sequence[CopyRule]) -> CopyRule:
    """Return the rule that accuses whom one of the rules accuses; it has no threshold of its own."""
    alarms = np.max([rule.alarms for rule in rules], axis=0)
    return CopyRule(np.full(2, np.nan), alarms, rules[0].weights, sum(rule.expected for rule in rules))


def _patients(train: JudgedCohort, rows: np.ndarray) -> set[Any]:
    return set(train.groups[rows].tolist())


def _too_few(train: JudgedCohort, holdout: JudgedCohort) -> str:
    if holdout.num_groups < 4:
        return f"the threshold needs at least 4 holdout patients, and there are {holdout.num_groups}"
    return "" if train.num_groups >= 3 else f"train has {train.num_groups} patients; at least 3 are needed to compare"


def _records(
    measure: str,
    rule: CopyRule,
    accused: np.ndarray,
    hit: list[set[Any]],
    cohorts: tuple[JudgedCohort, JudgedCohort, JudgedCohort],
) -> list[MetricRecord]:
    """Return both shares of one measure."""
    train, _, synthetic = cohorts
    alarms = rule.false_alarms
    floor, low, high = (float(part or 0.0) for part in (alarms.value, alarms.low, alarms.high))
    share = float(accused.mean())
    patients = train.num_groups
    copies = share_beside_floor(share, len(synthetic), floor, (low, high))
    expected = [hit_share(part, len(synthetic), patients) for part in (floor, low, high)]
    memorised_share = float(np.mean([len(side) for side in hit])) / patients
    memorised = share_beside_floor(memorised_share, patients, expected[0], (expected[1], expected[2]))
    note = (
        f"false alarms {100 * floor:.1f} % [{100 * low:.1f}, {100 * high:.1f}] of {rule.num_patients} holdout patients"
    )
    if rule.expected > 2 * ALLOWED_FALSE_ALARMS and measure != "any":
        note += f"; too few for {100 * ALLOWED_FALSE_ALARMS:.0f} %: such a threshold gives {100 * rule.expected:.0f} %"
    if len(synthetic) >= MAXIMUM_RECORDS:
        note += f"; {MAXIMUM_RECORDS} synthetic images drawn at random, so more patients may come back in the rest"
    if len(train) > MAXIMUM_BANK and measure in ("any", "pixels"):
        note += f"; pixels compared with the {MAXIMUM_BANK} training images that come nearest in the judge's features"
    # Each threshold gives a whole number; their mean may lie between two.
    parts = ((share, len(synthetic)), (memorised_share, patients))
    counts = [f"{round(part * units, 1):g} of {units}" for part, units in parts]
    readings = {
        "copies_share": (
            f"{100 * share:.1f} % of the synthetic images ({counts[0]}) copy a "
            f"training image by {WORDS[measure]}; of patients who were never used, {100 * floor:.1f} % are accused too."
        ),
        "memorised_share": (
            f"{100 * memorised_share:.1f} % of the training patients ({counts[1]}) "
            f"come back in some synthetic image by {WORDS[measure]}; as many strangers' images seem to bring back "
            f"up to {100 * expected[0]:.1f} %."
        ),
    }
    rows = (("copies_share", copies, floor), ("memorised_share", memorised, expected[0]))
    return [
        _record(estimate, synthetic.name, name, measure, floor=base, reading=readings[name], note=note)
        for name, estimate, base in rows
    ]


def _record(
    estimate: Estimate, cohort: str, name: str, measure: str, *, floor: float | None, reading: str, note: str = ""
) -> MetricRecord:
    return MetricRecord.of(
        estimate,
        cohort=cohort,
        family="privacy",
        name=name,
        better="lower",
        dimensions={"view": "image", "measure": measure},
        floor=floor,
        ceiling=1.0,
        reading=reading,
        estimator=ESTIMATOR,
        note=note,
    )


def _absent(reason: str, cohort: str, name: str, measure: str = "any") -> MetricRecord:
    return _record(Estimate.absent(reason), cohort, name, measure, floor=None, reading="-")


def _gallery(nearest: NearestPatients, side: str, rows: np.ndarray) -> list[dict[str, Any]]:
    """Return the closest pairs, no training image twice as long as there are others."""
    order = np.argsort(nearest.contrast, kind="stable")
    first = set(order[np.unique(nearest.index[order], return_index=True)[1]].tolist())
    chosen = sorted(order.tolist(), key=lambda row: row not in first)[:GALLERY]
    assert nearest.correlation is not None
    assert nearest.move is not None
    return [
        {
            side: int(rows[row]),
            "train": int(nearest.index[row]),
            "correlation": round(float(nearest.correlation[row]), 4),
            "distance": round(float(nearest.contrast[row]), 4),
            "transform": nearest.move[row],
        }
        for row in chosen
    ]
