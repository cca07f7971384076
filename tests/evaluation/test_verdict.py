from __future__ import annotations

import pytest

from monai_hybridsynth.evaluation.metric_record import MetricRecord
from monai_hybridsynth.evaluation.verdict import family_verdicts, find_record
from monai_hybridsynth.metrics import Estimate


def record(name, value, low, high, *, family="correspondence", floor=0.0, better="higher", column=None, **dimensions):
    estimate = Estimate(value, low, high, 50) if value is not None else Estimate.absent("too few patients")
    return MetricRecord.of(
        estimate,
        cohort="c",
        family=family,
        name=name,
        column=column,
        dimensions=dimensions,
        floor=floor,
        better=better,
        reading="r",
        estimator="e",
    )


def agreement(forward, reverse):
    return [
        record(f"agreement_{direction}", *values, predictor=predictor)
        for direction, values in (("forward", forward), ("reverse", reverse))
        for predictor in ("linear", "kernel")
    ]


@pytest.mark.parametrize(
    ("forward", "reverse", "light"),
    [
        ((0.9, 0.8, 1.0), (0.95, 0.8, 1.1), "good"),
        ((0.9, 0.8, 1.0), (0.05, -0.1, 0.2), "bad"),
        ((0.5, 0.3, 0.7), (0.9, 0.8, 1.0), "caution"),
        ((1.0, 0.9, 1.1), (1.5, 1.3, 1.7), "caution"),
        ((0.9, 0.1, 1.7), (0.9, 0.8, 1.0), "caution"),
        ((None, None, None), (None, None, None), "unknown"),
    ],
)
def test_the_weaker_direction_decides_and_a_caricature_is_no_success(forward, reverse, light):
    verdict = family_verdicts(agreement(forward, reverse), "c")[0]
    assert verdict.light == light
    assert len(verdict.numbers) == 4
    if forward[0] == 1.0:
        assert "copied" in verdict.headline
    if forward[1] == 0.1:
        assert verdict.headline == "Too few patients to be sure"


def fidelity(shape=0.95, distance=0.01, broken=0.0):
    return [
        record("column_shape", shape, shape - 0.02, shape + 0.02, family="fidelity", floor=0.95),
        record("pair_trend", 0.9, 0.88, 0.92, family="fidelity", floor=0.9),
        record("kernel_distance", distance, distance - 0.05, distance + 0.05, family="fidelity", better="lower"),
        record("constraint_violations", broken, broken, broken, family="fidelity", better="lower"),
    ]


@pytest.mark.parametrize(
    ("changes", "light"),
    [
        ({}, "good"),
        ({"distance": 0.4}, "caution"),
        ({"shape": 0.85}, "caution"),
        ({"broken": 0.01}, "caution"),
        ({"shape": 0.6}, "bad"),
        ({"broken": 0.2}, "bad"),
    ],
)
def test_fidelity_is_measured_against_strangers(changes, light):
    assert family_verdicts(fidelity(**changes), "c")[2].light == light


@pytest.mark.parametrize(
    ("exact", "distance", "light"), [(0.1, 6.0, "good"), (0.4, 6.0, "caution"), (0.1, 0.5, "bad"), (1.0, 0.0, "bad")]
)
def test_privacy_speaks_of_alarms_only(exact, distance, light):
    records = [
        record("exact_rows_share", exact, exact, exact, family="privacy", better="lower", floor=0.1, view="table"),
        record("dcr_median", distance, distance, distance, family="privacy", floor=6.0, view="image"),
    ]
    verdict = family_verdicts(records, "c")[3]
    assert verdict.light == light
    assert "no proof" in verdict.rule


def test_utility_falls_back_on_single_targets_and_nothing_is_unknown():
    single = [record("utility_ratio", 0.8, 0.6, 1.0, family="utility", column="icu", input="image", predictor="linear")]
    assert family_verdicts(single, "c")[1].light == "good"
    assert [verdict.light for verdict in family_verdicts([], "c")] == ["unknown"] * 4


def test_one_label_of_several_is_returned_only_when_named():
    records = [
        record("auroc", 0.7, 0.6, 0.8, family="utility", column="x", label="a"),
        record("auroc", 0.8, 0.7, 0.9, family="utility", column="x", label="b"),
        record("auroc", 0.9, 0.8, 1.0, family="utility", column="y", label="only"),
    ]
    assert find_record(records, "c", "auroc", column="x") is None
    assert find_record(records, "c", "auroc", column="x", label="b").value == 0.8
    assert find_record(records, "c", "auroc", column="y").value == 0.9
