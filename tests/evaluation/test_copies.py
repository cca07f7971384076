from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from monai_hybridsynth.data import read_cohort, write_phantom_cohort
from monai_hybridsynth.evaluation.copies import copy_metrics, nearest_training
from monai_hybridsynth.evaluation.judged_cohort import embed_cohort
from monai_hybridsynth.evaluation.verdict import find_record
from monai_hybridsynth.features import PixelPCA, RandomConvolutionFeatures
from monai_hybridsynth.transforms import load_images

MEASURES = ("any", "pixels", "judge", "texture")


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    """Return train, holdout and strangers, drawn from one population."""
    root = tmp_path_factory.mktemp("phantom")
    cohorts = []
    for seed, count in enumerate((150, 120, 150)):
        cohorts.append(read_cohort(write_phantom_cohort(root / str(seed), count, seed=seed + 1, spatial_size=64)))
    images = load_images(cohorts[0].image_paths, cohorts[0].schema.image, spatial_size=64)
    judge, spaces = PixelPCA().fit(images), {"texture": RandomConvolutionFeatures()}
    sides = [
        embed_cohort(cohort, judge, name=role, role=role, spatial_size=64, spaces=spaces)
        for cohort, role in zip(cohorts, ("train", "holdout", "synthetic"), strict=True)
    ]
    return (*sides, judge, spaces["texture"])


def with_images(side, images: torch.Tensor, judge, texture):
    """Return the cohort with other images, embedded anew."""
    pixels = ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).numpy()
    features = judge(images).double().numpy()
    return replace(side, pixels=pixels, features=features, spaces={"texture": texture(images).double().numpy()})


def copied(phantom, share: float = 1.0, change=lambda images: images):
    """Return strangers of whom a share carries changed training images."""
    train, _, strangers, judge, texture = phantom
    images, count = strangers.images(), round(share * len(strangers))
    picked = np.random.default_rng(0).integers(0, len(train), count)
    images[:count] = change(train.images(picked))
    return with_images(strangers, images, judge, texture), picked


def test_strangers_copy_nobody(phantom):
    found = copy_metrics(*phantom[:3], seed=0).metrics
    for name in ("copies_share", "memorised_share"):
        for measure in MEASURES:
            record = find_record(found, "synthetic", name, measure=measure)
            assert record.low <= record.floor, (name, measure)
            assert record.ceiling == 1.0
    assert find_record(found, "synthetic", "copies_share", measure="any").value < 0.15
    assert find_record(found, "synthetic", "copies_share").dimensions["measure"] == "any"


def test_training_images_under_new_names_are_all_found(phantom):
    side, picked = copied(phantom)
    findings = copy_metrics(*phantom[:2], side, seed=0)
    for measure in MEASURES:
        share = find_record(findings.metrics, "synthetic", "copies_share", measure=measure)
        assert share.value == 1.0, measure
        assert share.low > 0.9
        memorised = find_record(findings.metrics, "synthetic", "memorised_share", measure=measure)
        if measure != "any":
            patients = np.unique(phantom[0].groups[picked])
            assert memorised.value == pytest.approx(len(patients) / phantom[0].num_groups)
    pairs = findings.drawings["copies"]
    assert len(pairs) == len({pair["train"] for pair in pairs}) == 12
    assert all(pair["train"] == picked[pair["synthetic"]] and pair["transform"] == "in place" for pair in pairs)
    strangers = findings.drawings["copies_holdout"]
    assert len(strangers) == 12
    assert min(pair["distance"] for pair in strangers) > max(pair["distance"] for pair in pairs)
    assert pairs[0]["distance"] < findings.drawings["copy_threshold"]


def test_the_share_of_a_mixture_is_found(phantom):
    found = copy_metrics(*phantom[:2], copied(phantom, 0.3)[0], seed=0).metrics
    record = find_record(found, "synthetic", "copies_share", measure="pixels")
    assert record.value == pytest.approx(0.3, abs=0.03)
    assert record.low < 0.3 < record.high
    assert record.low > record.floor


CHANGES = {
    "blurred": lambda x: torch.nn.functional.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False),
    "moved": lambda x: torch.roll(x, (2, -2), (2, 3)),
    "cropped": lambda x: torch.nn.functional.interpolate(x[..., 4:-4, 4:-4], size=(64, 64), mode="bilinear"),
    "mirrored": lambda x: x.flip(-1),
    "gamma": lambda x: ((x + 1) / 2).clamp(0, 1) ** 0.6 * 2 - 1,
}


@pytest.mark.parametrize("name", sorted(CHANGES))
def test_changed_copies_are_found_and_changed_strangers_are_not(phantom, name):
    train, holdout, strangers, judge, texture = phantom
    strangers = strangers.subset(np.arange(60))
    side = with_images(strangers, CHANGES[name](train.images(slice(0, 60))), judge, texture)
    found = copy_metrics(train, holdout, side, seed=0).metrics
    assert find_record(found, "synthetic", "copies_share", measure="pixels").value > 0.9
    other = with_images(strangers, CHANGES[name](strangers.images()), judge, texture)
    metrics = copy_metrics(train, holdout, other, seed=0).metrics
    record = find_record(metrics, "synthetic", "copies_share", measure="pixels")
    assert record.low <= record.floor


def test_images_of_one_patient_do_not_vouch_for_each_other(phantom):
    """With five images of everybody, a copy has four siblings as near as itself; other patients are what counts."""
    train = phantom[0]
    doubled = train.subset(np.repeat(np.arange(len(train)), 5))
    nearest = nearest_training(doubled, (train,))
    for measure in ("pixels", "judge", "texture"):
        assert nearest[measure][0].contrast.max() < 1e-3


def test_a_large_bank_is_cut_to_what_is_near(phantom, monkeypatch):
    monkeypatch.setattr("monai_hybridsynth.evaluation.copies.MAXIMUM_BANK", 60)
    monkeypatch.setattr("monai_hybridsynth.evaluation.copies.MAXIMUM_RECORDS", 30)
    side, picked = copied(phantom, 0.2)
    findings = copy_metrics(*phantom[:2], side, seed=0)
    record = find_record(findings.metrics, "synthetic", "copies_share", measure="pixels")
    assert record.n == 30
    assert "30 synthetic images drawn at random" in record.note
    assert "60 training images" in record.note
    for pair in findings.drawings["copies"][:3]:
        assert pair["train"] == picked[pair["synthetic"]]


def test_what_cannot_be_counted_says_so(judged, phantom):
    few = copy_metrics(judged("train", 40, 1), judged("holdout", 3, 2), judged("synthetic", 20, 3, name="c"), seed=0)
    assert "at least 4 holdout patients" in find_record(few.metrics, "c", "copies_share").note
    blind = copy_metrics(judged("train", 40, 1), judged("holdout", 30, 2), judged("synthetic", 20, 3, name="c"), seed=0)
    assert find_record(blind.metrics, "c", "copies_share", measure="judge").value is not None
    assert "no pixels" in find_record(blind.metrics, "c", "copies_share", measure="pixels").note
    assert blind.drawings == {}
