"""Controls that must be reported, each on phantom patients and, where they are at hand, on real radiographs.

Further ones: test_phantom_controls, test_membership, test_copies, test_pairing_controls, test_fidelity_controls, and
tests/real.
"""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from monai_hybridsynth.data import read_cohort
from monai_hybridsynth.evaluation.copies import copy_metrics
from monai_hybridsynth.evaluation.correspondence import correspondence_metrics
from monai_hybridsynth.evaluation.image_distances import image_distances
from monai_hybridsynth.evaluation.judged_cohort import embed_cohort
from monai_hybridsynth.evaluation.membership import membership_findings, suspected_patients
from monai_hybridsynth.evaluation.nearness import nearness_metrics
from monai_hybridsynth.evaluation.prediction_targets import prediction_targets, target_matrix
from monai_hybridsynth.evaluation.table_fidelity import table_fidelity
from monai_hybridsynth.evaluation.verdict import find_record
from monai_hybridsynth.features import PixelPCA, RandomConvolutionFeatures
from monai_hybridsynth.transforms import RecordEncoder
from monai_hybridsynth.workflows import prepare_cohort

pytestmark = pytest.mark.slow

SOURCES = ("phantom", "radiographs")
# By source: a column that shows clearly in the images, the findings, and a number with limits.
WORDS = {
    "phantom": SimpleNamespace(
        shown="view", findings=["opacity_side", "device", "effusion_ml", "cardiothoracic_ratio"], number="age"
    ),
    "radiographs": SimpleNamespace(shown="View Position", findings=["Finding_Labels"], number="Patient Age"),
}


def radiographs(folder, root):
    targets = ["View Position", "Patient Gender", "Finding_Labels"]
    prepare_cohort(folder / "nih_cxr14_sample", root / "whole", targets=targets, holdout=0.4)
    prepare_cohort(root / "whole" / "train", root / "part", holdout=0.4, schema=root / "whole" / "schema.json")
    texture = RandomConvolutionFeatures(1, channels=4, num_scales=3)
    folders = {"train": root / "part" / "train", "holdout": root / "part" / "holdout", "fresh": root / "whole/holdout"}
    return [
        embed_cohort(read_cohort(path), texture, name=role, role=role, spatial_size=32, spaces={"texture": texture})
        for role, path in folders.items()
    ]


@pytest.fixture(scope="module")
def source(request, phantoms, tmp_path_factory):
    """Train, holdout and fresh patients, and what embeds images as they are embedded."""
    if request.param == "phantom":
        sides = [
            phantoms.draw(role, n, seed=s) for role, n, s in (("train", 240, 1), ("holdout", 160, 2), ("x", 300, 3))
        ]
    else:
        sides = radiographs(request.getfixturevalue("real_data"), tmp_path_factory.mktemp("nih"))
    texture = RandomConvolutionFeatures(1, channels=4, num_scales=3)
    judge = PixelPCA(32).fit(sides[0].images())

    def seen(side, pixels):
        images = torch.from_numpy(pixels).float() / 127.5 - 1
        spaces = {"texture": texture(images).double().numpy()}
        return replace(side, pixels=pixels, features=judge(images).double().numpy(), spaces=spaces)

    train, holdout, fresh = (seen(side, side.pixels) for side in sides)

    def made(rows_of, rows, pixels, **changes):
        table = rows_of.table.iloc[rows].drop(columns=rows_of.cohort.schema.group_name).reset_index(drop=True)
        cohort = replace(
            rows_of.cohort, table=table.assign(**changes), image_paths=[rows_of.cohort.image_paths[0]] * len(table)
        )
        groups = np.array([f"row {row}" for row in range(len(rows))], dtype=object)
        return seen(replace(rows_of, name="c", role="synthetic", cohort=cohort, groups=groups), pixels)

    return SimpleNamespace(train=train, holdout=holdout, fresh=fresh, made=made, words=WORDS[request.param])


on = pytest.mark.parametrize("source", SOURCES, indirect=True)
on_radiographs = pytest.mark.parametrize("source", ["radiographs"], indirect=True)


def strangers(source, **changes):
    rows = np.arange(len(source.fresh))
    return source.made(source.fresh, rows, source.fresh.pixels, **changes)


def strongest(source, made):
    found = membership_findings(source.train, source.holdout, made, seed=0).metrics
    return {
        (record.dimensions["view"], record.dimensions["attack"]): record
        for record in found
        if record.name == "membership_auroc" and record.dimensions["stratum"] == "all"
    }


@on_radiographs
def test_copied_rows_on_fresh_images_are_found_in_the_rows(source):
    rng = np.random.default_rng(0)
    rows, images = rng.integers(0, len(source.train), 900), rng.integers(0, len(source.fresh), 900)
    made = source.made(source.train, rows, source.fresh.pixels[images])
    assert find_record(nearness_metrics(source.train, source.holdout, made, seed=0), "c", "exact_rows_share").value == 1
    found = strongest(source, made)
    assert found["table", "strongest"].low > 0.5
    assert found["image", "strongest"].low <= 0.5 <= found["image", "strongest"].high
    copies = find_record(copy_metrics(source.train, source.holdout, made, seed=0).metrics, "c", "copies_share")
    assert copies.low <= copies.floor


@on
def test_training_records_under_new_names_are_nearly_all_copies(source):
    rows = np.random.default_rng(0).integers(0, len(source.train), 5 * len(source.train))
    made = source.made(source.train, rows, source.train.pixels[rows])
    records = copy_metrics(source.train, source.holdout, made.subset(np.arange(300)), seed=0).metrics
    assert all(r.value == 1.0 for r in records if r.name == "copies_share")


@pytest.mark.parametrize("source", ["phantom"], indirect=True)
def test_copies_that_were_encoded_and_decoded_are_found(source):
    """Images as 48 components of other patients' images give them, at 32 pixels; on radiographs see tests/real."""
    rows = np.arange(150)
    flat = torch.from_numpy(source.fresh.pixels.reshape(len(source.fresh), -1)).float()
    _, _, axes = torch.pca_lowrank(flat, q=48, niter=4)
    images = torch.from_numpy(source.train.pixels[rows].reshape(len(rows), -1)).float() - flat.mean(0)
    decoded = (images @ axes @ axes.T + flat.mean(0)).clamp(0, 255).round().to(torch.uint8).numpy()
    made = source.made(source.fresh, rows, decoded.reshape(source.train.pixels[rows].shape))
    records = copy_metrics(source.train, source.holdout, made, seed=0).metrics
    assert find_record(records, "c", "copies_share", measure="pixels").value > 0.75


@on
def test_another_patients_residual_is_told_by_membership_and_not_hidden_by_distances(source):
    """The mean image of a fresh row plus what was peculiar to some training patient."""
    train, fresh = source.train, source.fresh
    names = train.cohort.schema.feature_names
    encoder = RecordEncoder(train.cohort.schema).fit(train.table[names], patients=train.groups)
    flat = train.pixels.reshape(len(train), -1).astype(float)
    rows = encoder.transform(train.table[names])
    mean = Ridge(alpha=10).fit(rows, flat)
    rng = np.random.default_rng(0)
    other, own = rng.integers(0, len(train), 480), rng.integers(0, len(fresh), 480)
    images = mean.predict(encoder.transform(fresh.table[names].iloc[own])) + (flat - mean.predict(rows))[other]
    pixels = np.clip(images.round(), 0, 255).astype(np.uint8).reshape(-1, *train.pixels.shape[1:])
    made = source.made(fresh, own, pixels)
    found = strongest(source, made)
    assert found["record", "residual"].value > 0.9
    assert found["record", "strongest"].low > 0.5
    assert found["table", "strongest"].low <= 0.5
    near = find_record(nearness_metrics(train, source.holdout, made, seed=0), "c", "dcr_median", view="image")
    assert near.high < near.floor


@on_radiographs
def test_a_planted_record_ranks_first_as_it_is_repeated(source):
    train = source.train
    patients, counts = np.unique(train.groups, return_counts=True)
    planted = np.flatnonzero(train.groups == patients[counts == 1][3])[0]
    places = []
    for times in (1, 5, 25):
        rng = np.random.default_rng(times)
        weights = np.ones(len(train))
        weights[planted] = times
        picked = rng.choice(len(train), 600, p=weights / weights.sum())
        pixels = np.clip(train.pixels[picked] + rng.normal(0, 3, train.pixels[picked].shape), 0, 255).astype(np.uint8)
        made = source.made(train, picked, pixels)
        ranking = suspected_patients(train, source.holdout, made, view="record", attack="neighbourhood")
        places.append(ranking.index.get_loc(("train", train.groups[planted])))
    assert places[2] == 0
    assert places[0] >= places[1] >= places[2]
    assert places[0] > 5


def mean_agreements(source, made):
    records = correspondence_metrics(source.train, source.holdout, made, seed=0, num_replicates=25)
    return {
        (r.column, r.name): r for r in records if r.dimensions["predictor"] == "linear" and "label" not in r.dimensions
    }


@on_radiographs
def test_shuffled_findings_are_lost_and_the_shown_column_is_kept(source):
    made, words = strangers(source), source.words
    order = np.random.default_rng(0).permutation(len(made))
    table = made.table.assign(**{name: made.table[name].to_numpy()[order] for name in words.findings})
    shuffled = replace(made, cohort=replace(made.cohort, table=table))
    found = mean_agreements(source, shuffled)
    for name in ("agreement_forward", "agreement_reverse"):
        assert found[words.shown, name].value == pytest.approx(1, abs=0.25)
        for column in words.findings:
            record = found[column, name]
            assert record.value is None or record.low <= 0 <= record.high
    pair = [image_distances(source.train, source.holdout, side, seed=0) for side in (made, shuffled)]
    for name in ("kernel_distance", "coverage"):
        assert find_record(pair[0], "c", name).value == find_record(pair[1], "c", name).value


@on_radiographs
def test_an_exaggerated_class_goes_beyond_real_pairs_in_reverse_only(source):
    made, train, shown = strangers(source), source.train, source.words.shown
    targets = prediction_targets(train.cohort.schema, [shown], train.table)
    real, own = (np.nan_to_num(target_matrix(targets, side.table)) for side in (train, made))
    flat = train.pixels.reshape(len(train), -1).astype(float)
    effect = np.linalg.lstsq(np.column_stack([real, np.ones(len(real))]), flat, rcond=None)[0][:-1]
    moved = made.pixels.reshape(len(made), -1) + 3 * (own - real.mean(0)) @ effect
    pixels = np.clip(moved, 0, 255).astype(np.uint8).reshape(made.pixels.shape)
    found = mean_agreements(source, source.made(source.fresh, np.arange(len(made)), pixels))
    plain = mean_agreements(source, made)
    assert found[shown, "agreement_reverse"].value > max(1.05, plain[shown, "agreement_reverse"].value + 0.05)
    assert found[shown, "agreement_forward"].low > 0


@on
def test_mode_collapse_is_said_by_recall_and_coverage(source):
    rows = np.random.default_rng(0).integers(0, 5, len(source.fresh))
    noise = np.random.default_rng(1).normal(0, 2, source.fresh.pixels.shape)
    pixels = np.clip(source.fresh.pixels[rows] + noise, 0, 255).astype(np.uint8)
    records = image_distances(source.train, source.holdout, source.made(source.fresh, rows, pixels), seed=0)
    for name in ("recall", "coverage"):
        record = find_record(records, "c", name, features="judge")
        assert record.high < 0.5 * record.floor


@on
def test_a_dropped_class_and_a_broken_constraint_are_named(source):
    shown, number = source.words.shown, source.words.number
    made = strangers(source)
    only = made.table[shown].value_counts().index[0]
    lost = sorted(set(source.train.table[shown].dropna()) - {only})
    made.table.loc[made.table[shown] != only, shown] = only
    made.table.loc[:9, number] = 411
    records = table_fidelity(source.train, source.holdout, made, seed=0).metrics
    kept = find_record(records, "c", "categories_kept", column=shown)
    assert kept.value < kept.floor
    assert all(level in kept.reading for level in lost)
    broken = find_record(records, "c", "constraint_violations")
    assert broken.value == pytest.approx(10 / len(made))
    assert number in broken.reading
