from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from monai_hybridsynth.evaluation.disclosure import HALVES, LINED_UP, SAME_RECORD, disclosure_metrics
from monai_hybridsynth.evaluation.verdict import find_record

HEADLINES = [
    ("singling_out", {"attack": "multivariate"}),
    ("linkability", {"attack": HALVES}),
    ("linkability", {"attack": SAME_RECORD}),
    ("linkability", {"attack": LINED_UP}),
    ("attribute_inference", {"known": "row"}),
    ("attribute_inference", {"known": "image"}),
]


@pytest.fixture(scope="module")
def sides(judged):
    """Twice as many training as holdout patients: size alone must not look like a leak."""
    return judged("train", 360, 1), judged("holdout", 90, 2)


def made_of(train, fresh, *, images: bool, rows: bool):
    """Return a cohort of training records, five times each, shuffled; either part fresh where it is not copied."""
    order = np.random.default_rng(0).permutation(np.tile(np.arange(len(train)), 5))[: len(fresh)]
    table = train.table.drop(columns="patient_id").iloc[order].reset_index(drop=True) if rows else fresh.table
    return replace(
        fresh,
        cohort=replace(fresh.cohort, table=table),
        features=train.features[order] if images else fresh.features,
    )


@pytest.fixture(scope="module")
def found(sides, judged):
    fresh = judged("synthetic", 1800, 3, name="c")
    cohorts = {
        "strangers": fresh,
        "copied": made_of(sides[0], fresh, images=True, rows=True),
        "rows": made_of(sides[0], fresh, images=False, rows=True),
        "images": made_of(sides[0], fresh, images=True, rows=False),
    }
    return {name: disclosure_metrics(*sides, cohort, seed=0).metrics for name, cohort in cohorts.items()}


@pytest.mark.parametrize(("name", "dimensions"), HEADLINES)
def test_strangers_teach_nothing_about_members(found, name, dimensions):
    record = find_record(found["strangers"], "c", name, **dimensions)
    assert record.low < 0 < record.high
    assert (record.floor, record.ceiling, record.better) == (0.0, 1.0, "lower")
    assert record.n == 180 + 90
    assert record.high - record.low < 0.4


@pytest.mark.parametrize(("name", "dimensions"), HEADLINES)
def test_resampled_training_records_give_members_away(found, name, dimensions):
    record = find_record(found["copied"], "c", name, **dimensions)
    assert record.low > 0.05
    assert record.value > 0.2
    assert "of the training patients" in record.reading or "training patients" in record.reading
    assert "{" not in record.reading


def test_the_part_that_was_copied_is_the_part_that_leaks(found):
    def record(cohort, name, **dimensions):
        return find_record(found[cohort], "c", name, **dimensions)

    assert record("rows", "singling_out", attack="multivariate").low > 0.05
    assert record("rows", "attribute_inference", known="row").low > 0.2
    assert (
        record("rows", "attribute_inference", known="image").low
        < 0
        < record("rows", "attribute_inference", known="image").high
    )
    assert record("images", "singling_out", attack="multivariate").low < 0
    for attack in (SAME_RECORD, LINED_UP):
        for cohort in ("rows", "images"):
            assert record(cohort, "linkability", attack=attack).low < 0.02


def test_every_column_is_attacked(found, sides):
    for column in sides[0].cohort.schema.feature_names:
        for known in ("row", "image"):
            record = find_record(found["copied"], "c", "attribute_inference", column=column, known=known)
            assert record.low > 0, column
    mean = find_record(found["copied"], "c", "attribute_inference", known="image")
    assert "mean over columns" in mean.estimator


def test_one_seed_gives_the_same_values(sides, judged):
    fresh = judged("synthetic", 150, 5, name="c")
    assert disclosure_metrics(*sides, fresh, seed=3) == disclosure_metrics(*sides, fresh, seed=3)


def test_tiny_cohorts_say_so(judged):
    findings = disclosure_metrics(
        judged("train", 30, 1), judged("holdout", 1, 2), judged("synthetic", 20, 3, name="c"), seed=0
    )
    assert all("1 holdout patients" in record.note and record.value is None for record in findings.metrics)
    few = disclosure_metrics(
        judged("train", 12, 1), judged("holdout", 5, 2), judged("synthetic", 4, 3, name="c"), seed=0
    )
    assert {record.name for record in few.metrics} == {"singling_out", "linkability", "attribute_inference"}
