from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from monai_hybridsynth.data.row_texts import row_texts
from monai_hybridsynth.evaluation.nearness import nearness_metrics
from monai_hybridsynth.evaluation.verdict import find_record
from monai_hybridsynth.metrics import nearest_records


@pytest.fixture(scope="module")
def sides(judged):
    return judged("train", 150, 1), judged("holdout", 100, 2)


def copied(train, count: int, *, images: bool = True, rows: bool = True, fresh):
    picked = np.random.default_rng(0).integers(0, len(train), count)
    table = train.table.drop(columns="patient_id").iloc[picked].reset_index(drop=True) if rows else fresh.table
    features = train.features[picked] if images else fresh.features
    return replace(fresh, cohort=replace(fresh.cohort, table=table), features=features)


def test_strangers_raise_no_alarm(sides, judged):
    records = nearness_metrics(*sides, judged("synthetic", 120, 3, name="c"), seed=0)
    assert find_record(records, "c", "exact_rows_share").value == 0
    for view in ("image", "table", "record"):
        for name in ("dcr_median", "nndr_median"):
            record = find_record(records, "c", name, view=view)
            assert record.high > 0.5 * record.floor


@pytest.mark.parametrize(("images", "rows"), [(True, True), (True, False), (False, True)])
def test_copied_images_and_copied_rows_are_told_apart(sides, judged, images, rows):
    fresh = judged("synthetic", 120, 3, name="c")
    records = nearness_metrics(*sides, copied(sides[0], 120, images=images, rows=rows, fresh=fresh), seed=0)
    assert find_record(records, "c", "exact_rows_share").value == float(rows)
    assert (find_record(records, "c", "dcr_median", view="image").high < 1e-6) is images
    assert (find_record(records, "c", "dcr_median", view="table").high < 1e-6) is rows


def test_the_share_of_copied_rows_has_an_exact_interval(sides, judged):
    fresh = judged("synthetic", 100, 3, name="c")
    mixed = fresh.table.copy()
    mixed.iloc[:20] = sides[0].table.drop(columns="patient_id").iloc[:20].to_numpy()
    side = replace(fresh, cohort=replace(fresh.cohort, table=mixed))
    record = find_record(nearness_metrics(*sides, side, seed=0), "c", "exact_rows_share")
    assert record.value == pytest.approx(0.2)
    assert (record.low, record.high) == pytest.approx((0.1267, 0.2918), abs=1e-3)


def test_one_training_record_is_not_enough_for_a_distance(judged):
    records = nearness_metrics(
        judged("train", 1, 1), judged("holdout", 20, 2), judged("synthetic", 20, 3, name="c"), seed=0
    )
    assert find_record(records, "c", "dcr_median", view="image").value is None


def test_the_closest_training_record_is_found(sides):
    train = torch.from_numpy(sides[0].features)
    distances, indices = nearest_records(train[[7, 3]] + 1e-3, train)
    assert indices[:, 0].tolist() == [7, 3]
    assert (distances < 0.01).all()


def test_rows_of_one_patient_and_rows_off_in_one_column_are_counted(sides, judged):
    fresh = judged("synthetic", 100, 3, name="c")
    mixed = fresh.table.copy()
    mixed.iloc[:20] = sides[0].table.drop(columns="patient_id").iloc[:20].to_numpy()
    mixed.loc[:9, "age"] = mixed.loc[:9, "age"] + 0.125
    side = replace(fresh, cohort=replace(fresh.cohort, table=mixed))
    records = nearness_metrics(*sides, side, seed=0)
    whole = find_record(records, "c", "exact_rows_share")
    assert whole.value == pytest.approx(0.1)
    assert "rows of 5 of 75 training patients" in whole.reading
    assert find_record(records, "c", "exact_rows_share", label="rows of one patient alone").value == pytest.approx(0.1)
    near = find_record(records, "c", "exact_rows_share", label="all columns but one")
    made, other, real = (row_texts(cohort.cohort.schema, cohort.table) for cohort in (side, sides[1], sides[0]))
    shares = [np.mean([any((row != known).sum() <= 1 for known in real) for row in rows]) for rows in (made, other)]
    assert (near.value, near.floor) == pytest.approx(tuple(shares))
    assert near.low < near.value < near.high


def test_distances_say_that_they_are_diagnostics_without_a_ceiling(sides, judged):
    records = nearness_metrics(*sides, judged("synthetic", 50, 3, name="c"), seed=0)
    for name in ("dcr_median", "nndr_median"):
        record = find_record(records, "c", name, view="record")
        assert record.ceiling is None
        assert "no ceiling" in record.estimator
        assert "diagnostic" in record.reading
