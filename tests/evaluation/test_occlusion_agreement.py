from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from monai_hybridsynth.evaluation.occlusion_agreement import main_outcome, probe_occlusion
from monai_hybridsynth.evaluation.prediction_targets import PredictionTarget
from monai_hybridsynth.evaluation.utility_records import UtilityOutcome


def with_pixels(cohort, *, place: tuple[int, int], seed: int):
    """Return the cohort with images of noise whose block at ``place`` is bright for one sex."""
    rng = np.random.default_rng(seed)
    pixels = rng.normal(128, 25, size=(len(cohort), 1, 32, 32))
    male = (cohort.table["sex"] == "m").to_numpy()
    y, x = place
    pixels[male, :, y : y + 8, x : x + 8] += 40
    return replace(cohort, pixels=np.clip(pixels, 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def outcome(schema):
    return UtilityOutcome(PredictionTarget("sex", "m", schema["sex"]), 70, 0.5)


@pytest.fixture(scope="module")
def real(judged):
    return tuple(
        with_pixels(judged(role, count, seed), place=(4, 4), seed=seed)
        for role, count, seed in (("train", 240, 1), ("holdout", 60, 2))
    )


def test_strangers_look_where_real_patients_do_and_a_shortcut_is_seen(real, judged, outcome):
    honest = with_pixels(judged("synthetic", 240, 3), place=(4, 4), seed=3)
    shortcut = with_pixels(judged("synthetic", 240, 4), place=(20, 20), seed=4)
    (same,) = probe_occlusion(*real, honest, [outcome], seed=0).metrics
    (other,) = probe_occlusion(*real, shortcut, [outcome], seed=0).metrics
    assert same.low <= same.value <= same.high
    assert same.low <= same.ceiling <= same.high
    assert same.low > same.floor
    assert other.value < same.low
    assert other.ceiling == pytest.approx(same.ceiling, abs=0.05)


def test_copies_of_training_patients_agree_no_better_than_the_training_patients(real, outcome):
    """Compared with the training patients themselves they would agree perfectly."""
    train = real[0]
    rows = np.random.default_rng(0).integers(0, len(train), 2 * len(train))
    copies = replace(train.subset(rows), role="synthetic", groups=np.arange(len(rows)).astype(str))
    (record,) = probe_occlusion(*real, copies, [outcome], seed=0).metrics
    assert record.value <= record.ceiling + 0.02
    assert "above the ceiling" not in record.note


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_shuffled_outcomes_reach_the_floor_and_no_more(real, judged, outcome, seed):
    made = with_pixels(judged("synthetic", 240, 3), place=(4, 4), seed=3)
    table = made.table.copy()
    table["sex"] = table["sex"].to_numpy()[np.random.default_rng(seed).permutation(len(table))]
    (record,) = probe_occlusion(
        *real, replace(made, cohort=replace(made.cohort, table=table)), [outcome], seed=seed
    ).metrics
    assert record.low < record.floor < record.high
    assert record.floor == pytest.approx(0, abs=0.1)
    assert record.value < record.ceiling


def test_the_outcome_that_shows_most_clearly_is_compared(real, judged, outcome, schema):
    """Another outcome, of which nothing shows in the images, is left alone although more patients have it."""
    hidden = UtilityOutcome(PredictionTarget("age", 60.0, schema["age"]), 200, 0.5)
    made = with_pixels(judged("synthetic", 240, 3), place=(4, 4), seed=3)
    (record,) = probe_occlusion(*real, made, [hidden, outcome], seed=0).metrics
    assert record.column == "sex"


def test_maps_are_drawn_as_json_and_peak_where_the_outcome_is(real, judged, outcome):
    found = probe_occlusion(*real, with_pixels(judged("synthetic", 240, 3), place=(4, 4), seed=3), [outcome], seed=0)
    drawn = json.loads(json.dumps(found.drawings["occlusion"], allow_nan=False))
    assert 2 <= len(drawn) <= 6
    heat = np.mean([np.abs(entry["real"]) for entry in drawn], axis=0)
    assert heat.shape == (15, 15)
    assert heat[2:6, 2:6].mean() > 2 * heat[9:, 9:].mean()


def test_what_cannot_be_occluded_is_said(real, judged, outcome):
    (record,) = probe_occlusion(*real, judged("synthetic", 50, 3), [outcome], seed=0).metrics
    assert record.value is None
    assert "no pixels" in record.note
    one_sex = with_pixels(judged("synthetic", 50, 3), place=(4, 4), seed=3)
    one_sex = one_sex.subset(np.flatnonzero(one_sex.table["sex"] == "m"))
    (record,) = probe_occlusion(*real, one_sex, [outcome], seed=0).metrics
    assert "lack one of the two outcomes" in record.note


def test_the_main_outcome_is_the_one_with_most_patients(outcome, schema):
    rare = replace(outcome, patients=5)
    number = UtilityOutcome(PredictionTarget("age", None, schema["age"]), 200, 0.0)
    assert main_outcome([rare, number, outcome]) is outcome
    assert main_outcome([number]) is None
