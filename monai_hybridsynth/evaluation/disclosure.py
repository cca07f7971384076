"""The three anonymity notions of the EU working party: singling out, linkability, inference, beyond strangers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from monai_hybridsynth.data.row_texts import row_texts
from monai_hybridsynth.evaluation.findings import Findings
from monai_hybridsynth.evaluation.judged_cohort import JudgedCohort
from monai_hybridsynth.evaluation.metric_record import MetricRecord
from monai_hybridsynth.evaluation.train_on_synthetic import encoded_rows
from monai_hybridsynth.metrics import Estimate
from monai_hybridsynth.metrics.disclosure_risk import (
    ExcessSuccess,
    excess_success,
    line_up_hits,
    link_overlap,
    nearest_ties,
    squared_gaps,
)
from monai_hybridsynth.metrics.singling_out import multivariate_predicates, singled_out, univariate_predicates

__all__ = ["disclosure_metrics"]

# Descriptions tried; a share of them fits several synthetic rows and is dropped.
NUM_PREDICATES = 1500
FEWEST_PREDICATES = 10
NUM_SPLITS = 4
LINE_UP, NUM_LINE_UPS = 20, 5
# A number counts as inferred within this many training standard deviations.
CLOSE_ENOUGH = 0.1
MAXIMUM_REAL, MAXIMUM_SYNTHETIC = 2000, 5000
HALVES = "two halves of a row"
SAME_RECORD = "nearest record by image and by row"
LINED_UP = f"image to row, line-up of {LINE_UP}"
SOURCE = (
    "success on training patients minus success on holdout patients; two-sample bootstrap over patients, at least as "
    "wide as Newcombe's interval where successes are shares"
)

Sides = tuple[JudgedCohort, JudgedCohort, JudgedCohort]


def disclosure_metrics(train: JudgedCohort, holdout: JudgedCohort, synthetic: JudgedCohort, *, seed: int) -> Findings:
    """Return singling_out, linkability and attribute_inference, each beyond what holds for strangers.

    0: nothing is learned about training patients that is not learned about everybody. 1: everything, and nothing about
    strangers. Attackers know the synthetic cohort and part of a real record.

    Source:
        Giomi et al. 2022, https://arxiv.org/abs/2211.10459 (the notions and the control cohort). Differs from the
        paper: cohorts of unequal size are compared at one size, repeated synthetic rows count once, ties are shared
        out, images take part, and intervals are over patients, not over attacks.
    """
    sides = (
        train.limited(MAXIMUM_REAL, seed=seed),
        holdout.limited(MAXIMUM_REAL, seed=seed),
        synthetic.limited(MAXIMUM_SYNTHETIC, seed=seed),
    )
    if min(sides[0].num_groups, sides[1].num_groups) < 2:
        counts = f"there are {train.num_groups} training and {holdout.num_groups} holdout patients"
        names = ("singling_out", "linkability", "attribute_inference")
        return Findings([_absent(counts, synthetic.name, name, {}) for name in names])
    rows = encoded_rows(train.cohort.schema, sides)
    return Findings([*_singling_out(sides, seed), *_linkability(sides, rows, seed), *_inference(sides, seed)])


def _singling_out(sides: Sides, seed: int) -> list[MetricRecord]:
    texts = row_texts(sides[0].cohort.schema, sides[2].table)
    distinct = np.unique(texts.astype(str), axis=0, return_index=True)[1] if texts.shape[1] else np.zeros(0, dtype=int)
    real, other, made = (
        _columns(side, rows) for side, rows in zip(sides, (None, None, np.sort(distinct)), strict=True)
    )
    attacks = {
        "univariate": univariate_predicates(made),
        "multivariate": multivariate_predicates(made, count=NUM_PREDICATES, seed=seed),
    }
    size = min(sides[0].num_groups, sides[1].num_groups)
    records = []
    for attack, predicates in attacks.items():
        dimensions = {"view": "table", "attack": attack}
        if len(predicates) < FEWEST_PREDICATES:
            reason = f"only {len(predicates)} descriptions fit a single synthetic row"
            records.append(_absent(reason, sides[2].name, "singling_out", dimensions))
            continue
        hits = [
            singled_out(predicates, columns, side.groups, num_patients=size)
            for columns, side in ((real, sides[0]), (other, sides[1]))
        ]
        patients = [np.arange(len(part)) for part in hits]
        found = excess_success(hits[0], patients[0], hits[1], patients[1], seed=seed, are_shares=False)
        reading = (
            f"Of {len(predicates)} descriptions read off synthetic rows, {{0}} fit exactly one of {size} training "
            f"patients and {{1}} exactly one of {size} strangers."
        )
        estimator = f"{attack} descriptions, both cohorts compared at {size} patients (hypergeometric); {SOURCE}"
        records.append(_record(found, sides[2].name, "singling_out", dimensions, reading, estimator))
    return records


def _columns(side: JudgedCohort, rows: np.ndarray | None) -> dict[str, np.ndarray]:
    """Return values by column: numbers as float64, the rest as text, missing as NaN or ``""``."""
    schema = side.cohort.schema
    texts = row_texts(schema, side.table)
    found: dict[str, np.ndarray] = {}
    for place, name in enumerate(schema.feature_names):
        if schema[name].is_numeric:
            values = side.table[name].astype("float64").to_numpy(dtype=float, na_value=np.nan)
        else:
            values = texts[:, place].astype(str)
        found[name] = values if rows is None else values[rows]
    return found


def _linkability(sides: Sides, rows: list[np.ndarray], seed: int) -> list[MetricRecord]:
    name = sides[2].name
    records = []
    images = [side.features for side in sides]
    by_image = [nearest_ties(squared_gaps(images[place], images[2])) for place in (0, 1)]
    by_row = [nearest_ties(squared_gaps(rows[place], rows[2])) for place in (0, 1)]
    if rows[0].shape[1] < 2:
        reason = "the rows have too few columns to link"
        absent = [({"view": "table", "attack": HALVES}), ({"view": "record", "attack": SAME_RECORD})]
        return [_absent(reason, name, "linkability", dimensions) for dimensions in absent]
    overlaps = {
        ("table", HALVES): _halves(rows, seed),
        ("record", SAME_RECORD): [link_overlap(*pair) for pair in zip(by_image, by_row, strict=True)],
    }
    readings = {
        HALVES: "Two halves of a clinical row lead to the same synthetic record for {0} of the training patients and "
        "{1} of strangers.",
        SAME_RECORD: "A patient's image and row lead to the same synthetic record for {0} of the training patients and "
        "{1} of strangers.",
        LINED_UP: f"Through the synthetic records nearest to an image, its row is picked from {LINE_UP} rows for {{0}} "
        "of the training patients and {1} of strangers.",
    }
    if min(len(sides[0]), len(sides[1])) >= LINE_UP:
        guesses = [mask @ rows[2] / mask.sum(axis=1, keepdims=True) for mask in by_image]
        overlaps["record", LINED_UP] = [
            line_up_hits(guess, row, size=LINE_UP, num_draws=NUM_LINE_UPS, seed=seed)
            for guess, row in zip(guesses, rows, strict=False)
        ]
    for (view, attack), successes in overlaps.items():
        found = _excess(sides, successes, seed)
        dimensions = {"view": view, "attack": attack}
        estimator = f"{attack}, nearest synthetic records with ties shared out; {SOURCE}"
        records.append(_record(found, name, "linkability", dimensions, readings[attack], estimator))
    return records


def _halves(rows: list[np.ndarray], seed: int) -> list[np.ndarray]:
    """Return the overlap of both halves' nearest synthetic rows, repeated rows once, over several splits of columns."""
    rng = np.random.default_rng(seed)
    made = np.unique(rows[2], axis=0)
    total = [np.zeros(len(side)) for side in rows[:2]]
    for _ in range(NUM_SPLITS):
        order = rng.permutation(made.shape[1])
        halves = order[: len(order) // 2], order[len(order) // 2 :]
        for place in (0, 1):
            masks = [nearest_ties(squared_gaps(rows[place][:, half], made[:, half])) for half in halves]
            total[place] += link_overlap(*masks) / NUM_SPLITS
    return total


def _inference(sides: Sides, seed: int) -> list[MetricRecord]:
    """Return the inference of every column from the other columns and from the image, and their means."""
    schema = sides[0].cohort.schema
    by_image = [nearest_ties(squared_gaps(side.features, sides[2].features)) for side in sides[:2]]
    records = []
    found: dict[str, list[list[np.ndarray]]] = {"row": [], "image": []}
    for column in schema.feature_names:
        success = _success(sides, column)
        rows = encoded_rows(schema, sides, without=column)
        by_row = [nearest_ties(squared_gaps(rows[place], rows[2])) for place in (0, 1)]
        for known, masks in (("row", by_row), ("image", by_image)):
            if known == "row" and rows[0].shape[1] == 0:
                continue
            parts = [success(place, mask) for place, mask in enumerate(masks)]
            found[known].append(parts)
            records.append(_inferred(sides, parts, known, column, seed))
    means = []
    for known, columns in found.items():
        if columns:
            parts = [_mean([column[place] for column in columns]) for place in (0, 1)]
            means.append(_inferred(sides, parts, known, None, seed))
    return means + records


def _mean(columns: list[np.ndarray]) -> np.ndarray:
    """Return each record's mean over the columns it has; NaN where it has none."""
    values = np.stack(columns)
    known = ~np.isnan(values)
    return np.where(known.any(axis=0), np.nansum(values, axis=0) / np.maximum(known.sum(axis=0), 1), np.nan)


def _success(sides: Sides, column: str) -> Callable[[int, np.ndarray], np.ndarray]:
    """Return a function from side and neighbours to each record's success; NaN where the truth is missing."""
    values = [_columns(side, None)[column] for side in sides]
    if values[0].dtype.kind == "f":
        known = values[0][np.isfinite(values[0])]
        width = CLOSE_ENOUGH * float(known.std()) if known.size else 0.0
        with np.errstate(invalid="ignore"):
            equal = [(np.abs(v[:, None] - values[2]) <= width) | (v[:, None] == values[2]) for v in values[:2]]
        missing = [np.isnan(side) for side in values[:2]]
    else:
        equal = [side[:, None] == values[2] for side in values[:2]]
        missing = [side == "" for side in values[:2]]

    def success(place: int, neighbours: np.ndarray) -> np.ndarray:
        share = (equal[place] & neighbours).sum(axis=1) / neighbours.sum(axis=1)
        return np.where(missing[place], np.nan, share)

    return success


def _inferred(sides: Sides, parts: list[np.ndarray], known: str, column: str | None, seed: int) -> MetricRecord:
    what = f"The value of {column}" if column else "A clinical value"
    reading = (
        f"{what} is read off the synthetic record nearest by {'the other columns' if known == 'row' else 'the image'} "
        "for {0} of the training patients and {1} of strangers."
    )
    estimator = (
        f"value of the nearest synthetic record, numbers within {CLOSE_ENOUGH} standard deviations, ties shared out"
        f"{'' if column else ', mean over columns'}; {SOURCE}"
    )
    dimensions = {"known": known}
    return _record(
        _excess(sides, parts, seed), sides[2].name, "attribute_inference", dimensions, reading, estimator, column=column
    )


def _excess(sides: Sides, successes: list[np.ndarray], seed: int) -> ExcessSuccess:
    kept = [~np.isnan(part) for part in successes]
    values = [part[keep] for part, keep in zip(successes, kept, strict=True)]
    groups = [side.groups[keep] for side, keep in zip(sides, kept, strict=False)]
    return excess_success(values[0], groups[0], values[1], groups[1], seed=seed)


def _record(
    found: ExcessSuccess,
    cohort: str,
    name: str,
    dimensions: dict[str, str],
    reading: str,
    estimator: str,
    *,
    column: str | None = None,
) -> MetricRecord:
    for place, share in enumerate((found.members, found.strangers)):
        reading = reading.replace(f"{{{place}}}", f"{100 * share:.1f} %")
    return MetricRecord.of(
        found.estimate,
        cohort=cohort,
        family="privacy",
        name=name,
        column=column,
        dimensions=dimensions,
        better="lower",
        floor=0.0,
        ceiling=1.0,
        reading=reading,
        estimator=estimator,
    )


def _absent(reason: str, cohort: str, name: str, dimensions: dict[str, str]) -> MetricRecord:
    return _record(ExcessSuccess(Estimate.absent(reason), 0.0, 0.0), cohort, name, dimensions, "-", SOURCE)
