from __future__ import annotations

import pytest
from scipy.stats import norm

from monai_hybridsynth.evaluation.metric_record import MetricRecord
from monai_hybridsynth.evaluation.thresholds import Thresholds
from monai_hybridsynth.evaluation.verdict import family_verdicts, find_record
from monai_hybridsynth.evaluation.verdict.check import joint_bound
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


def agreement(forward, reverse, column=None):
    return [
        record(f"agreement_{direction}", *values, predictor=predictor, column=column)
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


def test_a_lost_column_is_named_with_its_direction_behind_a_good_mean():
    good = (0.9, 0.8, 1.0)
    records = agreement(good, good) + agreement(good, (0.05, -0.1, 0.2), column="sex")
    verdict = family_verdicts(records, "c")[0]
    assert verdict.light == "caution"
    assert verdict.remarks == ("Lost: sex (reverse).",)


def fidelity(shape=0.95, distance=0.01, broken=0.0, recall=0.9, coverage=0.9, texture=0.9):
    return [
        record("column_shape", shape, shape - 0.02, shape + 0.02, family="fidelity", floor=0.95),
        record("pair_trend", 0.9, 0.88, 0.92, family="fidelity", floor=0.9),
        record("kernel_distance", distance, distance - 0.05, distance + 0.05, family="fidelity", better="lower"),
        record("kernel_distance", 9.0, 8.0, 10.0, family="fidelity", better="lower", features="encoder"),
        record("constraint_violations", broken, broken, broken, family="fidelity", better="lower"),
        record("recall", recall, recall - 0.05, recall + 0.05, family="fidelity", floor=0.9, features="judge"),
    ] + [
        record("coverage", value, value - 0.05, value + 0.05, family="fidelity", floor=0.9, features=space)
        for space, value in (("judge", coverage), ("texture", texture), ("encoder", 0.1))
    ]


@pytest.mark.parametrize(
    ("changes", "light"),
    [
        ({}, "good"),
        ({"distance": 0.4}, "caution"),
        ({"shape": 0.85}, "caution"),
        ({"broken": 0.01}, "caution"),
        ({"recall": 0.5}, "caution"),
        ({"recall": 0.1}, "bad"),
        ({"coverage": 0.1}, "bad"),
        ({"texture": 0.5}, "caution"),
        ({"texture": 0.1}, "bad"),
        ({"shape": 0.6}, "bad"),
        ({"broken": 0.2}, "bad"),
    ],
)
def test_fidelity_is_measured_against_strangers(changes, light):
    verdict = family_verdicts(fidelity(**changes), "c")[2]
    assert verdict.light == light
    if changes.keys() & {"recall", "coverage", "texture"}:
        assert verdict.headline.startswith("Images")
    if "shape" in changes:
        assert verdict.headline.startswith("Rows")


def test_the_share_of_broken_images_is_read_beside_the_gap_in_fine_detail():
    records = [
        record("broken_images", 0.05, 0.03, 0.07, family="fidelity", floor=0.05, better="lower"),
        record("high_band_gap", 0.4, 0.3, 0.5, family="fidelity", better="lower"),
    ]
    verdict = family_verdicts([*fidelity(), *records], "c")[2]
    broken, detail = (next(check for check in verdict.checks if check.record.name == r.name) for r in records)
    assert "does not see moderate blur" in broken.rule
    assert (verdict.light, broken.outcome, detail.outcome) == ("good", "good", "shown")


def privacy(membership=(0.5, 0.45, 0.55), copies=(0.01, 0.0, 0.02), exact=0.1, strata=0, views=0, **risk):
    found = [
        record("membership_auroc", *membership, family="privacy", floor=0.5, view="record", attack="strongest"),
        record("copies_share", *copies, family="privacy", better="lower", floor=0.01, view="image"),
        record("exact_rows_share", exact, exact, exact, family="privacy", better="lower", floor=0.1, view="table"),
        record("dcr_median", 0.0, 0.0, 0.0, family="privacy", floor=6.0, view="image"),
    ]
    found += [
        record("membership_auroc", 0.5, 0.3, 0.7, family="privacy", view="image", stratum=f"s{i}", attack="strongest")
        for i in range(strata)
    ]
    found += [
        record("membership_auroc", 0.5, 0.3, 0.7, family="privacy", view=f"v{i}", stratum="all", attack="strongest")
        for i in range(views)
    ]
    # An attack that was not chosen decides nothing.
    found.append(record("membership_auroc", 0.9, 0.8, 0.95, family="privacy", view="record", attack="classifier"))
    return found + [record(name, *values, family="privacy", better="lower") for name, values in risk.items()]


@pytest.mark.parametrize(
    ("changes", "light"),
    [
        ({}, "good"),
        ({"membership": (0.57, 0.52, 0.62)}, "caution"),
        # strata are read among themselves and lend an attack on everyone no cover; further views do
        ({"membership": (0.57, 0.501, 0.64), "strata": 8}, "caution"),
        ({"membership": (0.57, 0.501, 0.64), "views": 8}, "good"),
        ({"membership": (0.5, 0.1, 0.9)}, "caution"),
        ({"membership": (0.97, 0.95, 0.99)}, "bad"),
        ({"copies": (0.5, 0.4, 0.6)}, "bad"),
        ({"copies": (0.03, 0.015, 0.05)}, "caution"),
        ({"exact": 0.2}, "caution"),
        ({"exact": 0.9}, "bad"),
        ({"linkability": (0.3, 0.2, 0.4)}, "bad"),
        ({"singling_out": (0.01, -0.02, 0.04)}, "good"),
    ],
)
def test_privacy_raises_the_strongest_alarm(changes, light):
    verdict = family_verdicts(privacy(**changes), "c")[3]
    assert verdict.light == light
    assert "not a proof" in verdict.rule
    assert [check.outcome for check in verdict.checks if check.record.name == "dcr_median"] == ["shown"]


@pytest.mark.parametrize("missing", ["membership_auroc", "copies_share"])
def test_silence_without_an_attack_is_not_green(missing):
    verdict = family_verdicts([r for r in privacy() if r.name != missing], "c")[3]
    assert verdict.light == "caution"
    assert missing in verdict.remarks[0]


def test_strangers_raise_no_alarm_by_the_number_of_lines():
    """Each measure of copies may exceed its floor by accident; four read together must exceed it more clearly."""
    lines = [
        record("copies_share", 0.022, 0.0105, 0.04, family="privacy", better="lower", floor=0.01, measure=measure)
        for measure in ("any", "pixels", "judge", "texture")
    ]
    alone = family_verdicts([*(r for r in privacy() if r.name != "copies_share"), lines[0]], "c")[3]
    together = family_verdicts([*(r for r in privacy() if r.name != "copies_share"), *lines], "c")[3]
    assert [alone.light, together.light] == ["caution", "good"]
    titles = [check.title for check in together.checks if check.record.name == "copies_share"]
    assert len(set(titles)) == 4
    assert titles[1] == "Copies of training images, pixels"


def test_copies_buy_no_green_light():
    good = (0.9, 0.8, 1.0)
    clean = family_verdicts([*agreement(good, good), *fidelity(), *privacy()], "c")
    copied = family_verdicts([*agreement(good, good), *fidelity(), *privacy(copies=(1.0, 0.99, 1.0))], "c")
    assert [verdict.light for verdict in clean] == ["good", "unknown", "good", "good"]
    assert [verdict.light for verdict in copied] == ["caution", "unknown", "caution", "bad"]
    assert all("copies" in verdict.remarks[-1] for verdict in copied[:3])
    assert "copies" in copied[3].headline


def test_the_house_moves_the_line():
    strict = Thresholds.of({"privacy": {"membership_auroc_red": 0.51}})
    records = privacy(membership=(0.57, 0.52, 0.62))
    assert [family_verdicts(records, "c", thresholds=t)[3].light for t in (None, strict)] == ["caution", "bad"]


def test_the_joint_bound_is_the_quantile_of_bonferroni():
    value, spread = 0.55, 0.03
    one = record("x", value, value - norm.ppf(0.975) * spread, value + 0.1)
    assert joint_bound(one, 1) == pytest.approx(one.low)
    assert joint_bound(one, 10) == pytest.approx(value - norm.ppf(1 - 0.025 / 10) * spread)
    with pytest.raises(ValueError, match="too few patients"):
        joint_bound(record("x", None, None, None), 2)


def test_utility_falls_back_on_single_targets_and_nothing_is_unknown():
    single = [record("utility_ratio", 0.8, 0.6, 1.0, family="utility", column="icu", input="image", predictor="linear")]
    assert family_verdicts(single, "c")[1].light == "good"
    assert [verdict.light for verdict in family_verdicts([], "c")] == ["unknown"] * 4


def test_the_largest_volume_of_synthetic_records_decides():
    records = [
        record("utility_ratio", value, value - 0.2, value + 0.2, family="utility", input="image", volume=volume)
        for volume, value in ((5.0, 0.9), (1.0, 0.5))
    ]
    assert family_verdicts(records, "c")[1].light == "good"


def test_one_label_of_several_is_returned_only_when_named():
    records = [
        record("auroc", 0.7, 0.6, 0.8, family="utility", column="x", label="a"),
        record("auroc", 0.8, 0.7, 0.9, family="utility", column="x", label="b"),
        record("auroc", 0.9, 0.8, 1.0, family="utility", column="y", label="only"),
    ]
    assert find_record(records, "c", "auroc", column="x") is None
    assert find_record(records, "c", "auroc", column="x", label="b").value == 0.8
    assert find_record(records, "c", "auroc", column="y").value == 0.9
