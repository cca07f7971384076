"""Controls on real patients: a third set of patients corresponds, shuffled records do not, copies are found."""

from __future__ import annotations

import numpy as np
import pytest

from monai_hybridsynth.data import CohortWriter, read_cohort
from monai_hybridsynth.evaluation import evaluate_cohorts, read_metrics
from monai_hybridsynth.evaluation.verdict import family_verdicts, find_record
from monai_hybridsynth.transforms import load_images
from monai_hybridsynth.workflows import prepare_cohort

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def metrics(real_data, tmp_path_factory):
    root = tmp_path_factory.mktemp("nih")
    targets = ["View Position", "Patient Gender", "Finding_Labels"]
    prepare_cohort(real_data / "nih_cxr14_sample", root / "whole", targets=targets, holdout=0.5)
    prepare_cohort(root / "whole" / "holdout", root / "half", holdout=0.4, schema=root / "whole" / "schema.json")
    strangers = read_cohort(root / "whole" / "train")
    copied = read_cohort(root / "half" / "train")
    rng = np.random.default_rng(0)
    for name, cohort, rows in (
        ("strangers", strangers, np.arange(len(strangers))),
        ("unmatched", strangers, np.arange(len(strangers))),
        ("copied", copied, rng.integers(0, len(copied), 5 * len(copied))),
    ):
        images = load_images([cohort.image_paths[row] for row in rows], cohort.schema.image, spatial_size=64)
        pixels = ((images.numpy() + 1) * 127.5).round().astype(np.uint8)
        order = rng.permutation(len(rows)) if name == "unmatched" else np.arange(len(rows))
        with CohortWriter(root / name, cohort.schema) as writer:
            writer.append(cohort.table[cohort.schema.feature_names].iloc[rows].reset_index(drop=True), pixels[order])
            writer.close({"generator": "control"})
    judged = [root / name for name in ("strangers", "unmatched", "copied")]
    evaluate_cohorts(root / "half" / "train", root / "half" / "holdout", judged, root / "out", num_replicates=60)
    return read_metrics(root / "out" / "metrics.json").metrics


@pytest.mark.parametrize("name", ["agreement_forward", "agreement_reverse"])
def test_the_mean_column_tells_strangers_from_shuffled_records(metrics, name):
    strangers = find_record(metrics, "strangers", name, predictor="kernel")
    unmatched = find_record(metrics, "unmatched", name, predictor="kernel")
    assert strangers.low < 1 < strangers.high
    assert strangers.low > 0.4
    assert unmatched.low < 0 < unmatched.high


def test_copies_are_found_and_strangers_are_not_accused(metrics):
    assert family_verdicts(metrics, "copied")[3].light == "bad"
    assert family_verdicts(metrics, "strangers")[3].light != "bad"
    assert find_record(metrics, "copied", "exact_rows_share").value == 1.0
    assert find_record(metrics, "copied", "copies_share", measure="any").value > 0.95
    attacked = {"view": "record", "attack": "strongest", "stratum": "all"}
    assert find_record(metrics, "copied", "membership_auroc", **attacked).value > 0.95
    fresh = find_record(metrics, "strangers", "membership_auroc", **attacked)
    assert fresh.low <= 0.5 <= fresh.high
    coincidence = find_record(metrics, "strangers", "exact_rows_share")
    assert coincidence.value == pytest.approx(coincidence.floor, abs=0.15)


def test_fidelity_of_strangers_is_at_its_floor_and_shuffling_does_not_change_it(metrics):
    for name in ("column_shape", "pair_trend", "kernel_distance", "coverage"):
        strangers, unmatched = (find_record(metrics, cohort, name) for cohort in ("strangers", "unmatched"))
        # The split balances the targets, so held-out patients resemble the training patients a shade more than others.
        near = {"higher": strangers.high + 0.02 >= strangers.floor, "lower": strangers.low <= strangers.floor}
        reached = near[strangers.better]
        assert reached, name
        assert strangers.value == pytest.approx(unmatched.value, abs=0.03)
