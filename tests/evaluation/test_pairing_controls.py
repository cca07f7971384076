"""Controls of the pairing on the embedded cohort: strangers, shuffled columns and exaggerated classes are named so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from monai_hybridsynth.data import read_cohort, write_phantom_cohort
from monai_hybridsynth.evaluation.correspondence import correspondence_metrics
from monai_hybridsynth.evaluation.judged_cohort import embed_cohort
from monai_hybridsynth.evaluation.judges import choose_judges
from monai_hybridsynth.evaluation.pairing_direction import SENTENCES
from monai_hybridsynth.evaluation.prediction_targets import prediction_targets, target_matrix
from monai_hybridsynth.evaluation.retrieval import retrieval_findings
from monai_hybridsynth.evaluation.verdict import find_record

pytestmark = pytest.mark.slow

COUNTS = {"train": 240, "holdout": 160, "strangers": 300}
LINKED = ("view", "opacity_side", "bmi", "age")
FINDINGS = ["opacity_side", "device", "effusion_ml", "cardiothoracic_ratio"]
EXAGGERATED = ["sex", "device"]


def shuffled(side, columns, name):
    table = side.table.copy()
    order = np.random.default_rng(0).permutation(len(table))
    for column in columns:
        table[column] = table[column].to_numpy()[order]
    return replace(side, name=name, cohort=replace(side.cohort, table=table))


def exaggerated(side, train, judge, columns, *, factor, name):
    """Move images along the class differences of real images, so that classes lie ``factor`` times as far apart."""
    targets = prediction_targets(train.cohort.schema, columns, train.table)
    real, made = (np.nan_to_num(target_matrix(targets, cohort.table)) for cohort in (train, side))
    pixels = train.images().flatten(1).double().numpy()
    effect = np.linalg.lstsq(np.column_stack([real, np.ones(len(real))]), pixels, rcond=None)[0][:-1]
    moved = side.images().flatten(1).double().numpy() + (factor - 1) * (made - real.mean(0)) @ effect
    images = torch.from_numpy(moved.reshape(side.pixels.shape)).float().clamp(-1, 1)
    return replace(side, name=name, features=judge(images).double().numpy())


@pytest.fixture(scope="module")
def controls(tmp_path_factory):
    root = tmp_path_factory.mktemp("pairing")
    for seed, (name, count) in enumerate(COUNTS.items()):
        write_phantom_cohort(root / name, count, seed=seed + 1, spatial_size=64)
    cohorts = {name: read_cohort(root / name) for name in COUNTS}
    judge = choose_judges(None, cohorts["train"], spatial_size=64, seed=0).judge
    roles = {"train": "train", "holdout": "holdout", "strangers": "synthetic"}
    train, holdout, strangers = (
        embed_cohort(cohorts[name], judge, name=name, role=role, spatial_size=64) for name, role in roles.items()
    )
    judged = [
        strangers,
        shuffled(strangers, train.cohort.schema.feature_names, "shuffled"),
        shuffled(strangers, FINDINGS, "findings shuffled"),
        exaggerated(strangers, train, judge, ["sex"], factor=4.0, name="sex exaggerated"),
        exaggerated(strangers, train, judge, EXAGGERATED, factor=4.0, name="both exaggerated"),
    ]
    return {
        side.name: [
            *correspondence_metrics(train, holdout, side, seed=0, num_replicates=25),
            *retrieval_findings(train, holdout, side, seed=0).metrics,
        ]
        for side in judged
    }


def found(controls, cohort, column):
    """Return both linear agreements of a column, and the sentence that they support together."""
    pair = [
        record
        for record in controls[cohort]
        if record.name.startswith("agreement")
        and record.column == column
        and "label" not in record.dimensions
        and record.dimensions["predictor"] == "linear"
    ]
    said = [key for key, sentence in SENTENCES.items() if all(sentence in record.note for record in pair)]
    return *pair, said[0] if said else ""


def retrieval(controls, cohort):
    return find_record(controls[cohort], cohort, "retrieval_at_10")


def test_strangers_keep_the_pairing_and_are_retrieved_like_real_patients(controls):
    for column in (None, *LINKED):
        forward, reverse, said = found(controls, "strangers", column)
        assert said == "kept"
        assert (forward.value, reverse.value) == pytest.approx((1, 1), abs=0.25)
    record = retrieval(controls, "strangers")
    assert record.value == pytest.approx(record.ceiling, abs=0.08)


def test_shuffling_every_column_loses_every_pairing_and_retrieval_falls_to_chance(controls):
    for column in (None, *LINKED):
        assert found(controls, "shuffled", column)[2] == "lost"
    record = retrieval(controls, "shuffled")
    assert record.low < record.floor < record.high
    assert find_record(controls["shuffled"], "shuffled", "retrieval_p_value").value > 0.05


def test_shuffling_the_findings_names_the_findings_and_no_other_column(controls):
    for column in ("opacity_side", "cardiothoracic_ratio", "device"):
        assert found(controls, "findings shuffled", column)[2] == "lost"
    for column in ("sex", "view", "bmi", "age"):
        assert found(controls, "findings shuffled", column)[2] == "kept"
    record = retrieval(controls, "findings shuffled")
    assert record.high < record.ceiling
    assert record.low > record.floor


def test_an_exaggerated_class_is_called_a_caricature_and_the_others_are_kept(controls):
    forward, reverse, said = found(controls, "sex exaggerated", "sex")
    assert said == "exaggerated"
    assert forward.low > 0
    assert reverse.value > 1.15
    for column in (*LINKED, "device"):
        assert found(controls, "sex exaggerated", column)[2] == "kept"


def test_two_exaggerated_classes_are_both_named_and_no_other(controls):
    """A device drawn four times as plainly hides a tenth of the view and of the opacities: that is said of them."""
    for column in EXAGGERATED:
        assert found(controls, "both exaggerated", column)[2] == "exaggerated"
    for column in LINKED:
        assert found(controls, "both exaggerated", column)[2] in ("kept", "blurred")
        assert found(controls, "both exaggerated", column)[1].value > 0.8
