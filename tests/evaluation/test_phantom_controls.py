"""Controls on the embedded cohort: strangers, broken pairing and copies must be told apart by the whole evaluation."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest

from monai_hybridsynth.data import write_phantom_cohort
from monai_hybridsynth.evaluation import evaluate_cohorts, read_metrics
from monai_hybridsynth.evaluation.verdict import family_verdicts, find_record

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def metrics(tmp_path_factory):
    root = tmp_path_factory.mktemp("phantom")
    for seed, (name, count) in enumerate({"train": 240, "holdout": 160, "strangers": 240}.items()):
        write_phantom_cohort(root / name, count, seed=seed + 1, spatial_size=64)
    rng = np.random.default_rng(0)
    for name, origin in (("unmatched", "strangers"), ("copied", "train")):
        shutil.copytree(root / origin, root / name)
        table = pd.read_csv(root / name / "records.csv", dtype=str, keep_default_na=False)
        if name == "unmatched":
            table["image"] = table["image"].to_numpy()[rng.permutation(len(table))]
        else:
            table = table.iloc[rng.permutation(len(table))]
        table.to_csv(root / name / "records.csv", index=False)
    judged = [root / name for name in ("strangers", "unmatched", "copied")]
    evaluate_cohorts(root / "train", root / "holdout", judged, root / "out", num_replicates=40)
    return read_metrics(root / "out" / "metrics.json").metrics


@pytest.mark.parametrize("predictor", ["linear", "kernel"])
@pytest.mark.parametrize("name", ["agreement_forward", "agreement_reverse"])
def test_strangers_correspond_and_a_broken_pairing_does_not(metrics, name, predictor):
    strangers = find_record(metrics, "strangers", name, predictor=predictor)
    unmatched = find_record(metrics, "unmatched", name, predictor=predictor)
    assert strangers.value == pytest.approx(1, abs=0.2)
    assert strangers.low < 1 < strangers.high
    # One shuffled cohort scores 0 only on average: what a predictor learns from it by chance can also point the wrong
    # way in all columns at once, since columns hang together. No credit may come of it.
    assert unmatched.low < 0
    assert abs(unmatched.value) < 0.5
    assert unmatched.high < strangers.low


def test_the_anatomy_that_the_row_sets_is_found(metrics):
    for column in ("cardiothoracic_ratio", "view"):
        assert find_record(metrics, "strangers", "agreement_forward", column=column, predictor="kernel").low > 0.5
        assert find_record(metrics, "unmatched", "agreement_forward", column=column, predictor="kernel").value < 0.4


def test_shuffling_changes_neither_rows_nor_images(metrics):
    for name in ("column_shape", "pair_trend", "kernel_distance", "exact_rows_share"):
        pair = [find_record(metrics, cohort, name).value for cohort in ("strangers", "unmatched")]
        assert pair[0] == pytest.approx(pair[1], abs=0.02)


def test_copies_raise_the_alarm_and_strangers_do_not(metrics):
    assert find_record(metrics, "copied", "exact_rows_share").value == 1.0
    assert find_record(metrics, "strangers", "exact_rows_share").value < 0.02
    assert find_record(metrics, "copied", "copies_share", measure="any").value == 1.0
    for view in ("image", "table", "record"):
        attacked = {"view": view, "attack": "strongest", "stratum": "all"}
        assert find_record(metrics, "copied", "membership_auroc", **attacked).value > 0.95
        for cohort in ("strangers", "unmatched"):
            record = find_record(metrics, cohort, "membership_auroc", **attacked)
            assert record.low <= 0.5 <= record.high
    lights = {cohort: family_verdicts(metrics, cohort)[3].light for cohort in ("strangers", "unmatched", "copied")}
    assert lights == {"strangers": "good", "unmatched": "good", "copied": "bad"}
    assert find_record(metrics, "copied", "agreement_reverse", predictor="kernel").low > 1
