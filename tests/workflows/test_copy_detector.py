"""Planted copies of phantoms are told, strangers are not, and what is published is rounded."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_hybridsynth.data import draw_images, draw_rows
from monai_hybridsynth.transforms.copy_changes import COPY_CHANGES
from monai_hybridsynth.workflows.copy_detector import NUM_PLANTED, CopyDetector, as_pixels

EASY = ("none", "blurred, 1 px", "mirrored", "gamma 0.6", "gamma 1.6", "noise")


@pytest.fixture(scope="module")
def phantom() -> tuple[CopyDetector, np.ndarray]:
    """Return a detector of 150 phantoms' copies, and 150 strangers."""
    tables = [draw_rows(150, seed=seed) for seed in (1, 2)]
    train, strangers = (
        draw_images(table, spatial_size=64, seed=seed)[:, None] for seed, table in enumerate(tables, start=1)
    )
    return CopyDetector(train, tables[0]["patient_id"].to_numpy()), strangers


def test_copies_are_told_and_strangers_are_not(phantom):
    detector, strangers = phantom
    assert detector.copies(detector.images).all()
    alarms = detector.copies(strangers).mean()
    assert alarms < 0.1
    assert detector.false_alarms.low <= alarms + 0.02
    assert detector.false_alarms.value < 0.1
    assert detector.false_alarms.n == len(np.unique(detector.groups))


def test_sensitivity_is_the_share_of_changed_training_images_that_are_told(phantom):
    detector = phantom[0]
    assert set(detector.sensitivity) == set(COPY_CHANGES)
    assert min(detector.sensitivity[name] for name in EASY) > 0.9
    picked = np.random.default_rng(detector.seed).permutation(len(detector.images))[:NUM_PLANTED]
    scaled = torch.from_numpy(detector.images[picked]).float() / 127.5 - 1
    for name in ("cropped to 80 %", "mirrored"):
        share = detector.copies(as_pixels(COPY_CHANGES[name](scaled))).mean()
        assert detector.sensitivity[name] == pytest.approx(share, abs=0.005)


def test_an_image_is_judged_alike_alone_and_among_others(phantom):
    detector, strangers = phantom
    mixed = np.concatenate([strangers[:20], detector.images[:2]])
    alone = [bool(detector.copies(image[None])[0]) for image in mixed[18:]]
    assert detector.copies(mixed)[18:].tolist() == alone


def test_a_patients_own_images_set_no_threshold(phantom):
    """Two images of everybody would otherwise make every training image its sibling's copy, and the threshold zero."""
    detector = phantom[0]
    twins = CopyDetector(np.repeat(detector.images, 2, axis=0), np.repeat(detector.groups, 2))
    for name, threshold in detector.thresholds.items():
        assert twins.thresholds[name] == pytest.approx(threshold, abs=0.25)
        assert twins.thresholds[name] > 0.1


def test_thresholds_are_rounded_and_more_false_alarms_raise_them(phantom):
    detector = phantom[0]
    loose = CopyDetector(detector.images, detector.groups, false_alarms=0.2)
    for name, threshold in detector.thresholds.items():
        assert threshold == round(threshold, 3)
        assert loose.thresholds[name] > threshold
    assert loose.copies(phantom[1]).mean() > detector.copies(phantom[1]).mean()


def test_renderings_of_patients_are_told_only_where_they_are_known(phantom):
    """A generator that coarsens everything gives back images that are far from the originals, and still theirs."""
    detector, strangers = phantom

    def render(pixels):
        coarse = torch.nn.functional.avg_pool2d(torch.from_numpy(pixels).float(), 8)
        return torch.nn.functional.interpolate(coarse, size=64, mode="bilinear").round().to(torch.uint8).numpy()

    known = CopyDetector(detector.images, detector.groups, rendered=render(detector.images))
    assert known.copies(render(detector.images)).all()
    assert detector.copies(render(detector.images)).mean() < 0.9
    assert known.copies(detector.images).all()
    assert known.copies(render(strangers)).mean() < 0.1
    assert known.sensitivity["none"] == 1.0


def test_what_cannot_be_compared_is_refused(phantom):
    detector = phantom[0]
    with pytest.raises(ValueError, match="3 patients; a threshold needs at least 4"):
        CopyDetector(detector.images[:9], np.repeat([0, 1, 2], 3))
    with pytest.raises(ValueError, match="spatial_size of the generated images"):
        detector.copies(np.zeros((1, 1, 32, 32), dtype=np.uint8))
