from __future__ import annotations

import numpy as np
import pytest

from monai_hybridsynth.evaluation.prediction_targets import PredictionTarget
from monai_hybridsynth.evaluation.probe_scores import ScoreTable
from monai_hybridsynth.evaluation.utility_records import REAL, UtilityOutcome, UtilityWriter
from monai_hybridsynth.evaluation.verdict import find_record


def table(point: float, offset: np.ndarray) -> ScoreTable:
    return ScoreTable(np.array([point]), point + offset[:, None])


@pytest.fixture
def writer(schema):
    outcome = UtilityOutcome(PredictionTarget("sex", "m", schema["sex"]), 80, 0.4)
    return UtilityWriter("c", {"predictor": "linear", "input": "image"}, [outcome], 100, "test", contraction=1.0)


def tables(both: float, *, shared: bool) -> dict:
    rng = np.random.default_rng(0)
    luck = rng.normal(scale=0.04, size=400)
    own = luck if shared else rng.normal(scale=0.04, size=400)
    noise = rng.normal(scale=0.004, size=400)
    return {
        REAL: {"auroc": table(0.8, luck), "calibration_error": table(0.01, 0.1 * luck)},
        ("synthetic", 2.0): {"auroc": table(0.7, luck), "calibration_error": table(-0.002, 0.1 * luck)},
        ("both", 2.0): {"auroc": table(both, own + noise)},
    }


def test_a_gain_is_paired_and_named_only_when_its_interval_excludes_zero(writer):
    paired = find_record(
        writer.records(tables(0.83, shared=True)), "c", "auroc_gain", column="sex", label="m", arm="both"
    )
    assert paired.value == pytest.approx(0.03)
    assert 0 < paired.low < paired.high < 0.06
    assert "raises" in paired.reading
    loose = find_record(
        writer.records(tables(0.83, shared=False)), "c", "auroc_gain", column="sex", label="m", arm="both"
    )
    assert loose.low < 0 < loose.high
    assert "neither raises nor lowers" in loose.reading
    worse = find_record(
        writer.records(tables(0.75, shared=True)), "c", "auroc_gain", column="sex", label="m", arm="both"
    )
    assert "lowers auroc" in worse.reading


def test_the_ratio_compares_gains_over_chance(writer):
    records = writer.records(tables(0.8, shared=True))
    assert find_record(records, "c", "utility_ratio", column="sex", label="m").value == pytest.approx(0.2 / 0.3)


def test_calibration_is_the_root_of_what_chance_does_not_explain(writer):
    records = writer.records(tables(0.8, shared=True))
    real, made = (
        find_record(records, "c", "calibration_error", column="sex", label="m", arm=arm)
        for arm in ("real", "synthetic")
    )
    assert real.value == pytest.approx(0.1)
    assert real.better == "lower"
    assert real.floor == pytest.approx(0.1)
    assert made.value == 0
    assert made.low == 0
    assert made.high > 0
