from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_hybridsynth.evaluation.image_distances import DISTANCES, image_distances
from monai_hybridsynth.evaluation.verdict import find_record
from monai_hybridsynth.metrics import frechet_distance, kernel_distance, precision_recall


@pytest.fixture(scope="module")
def sides(pictured):
    return pictured("train", 240, 1), pictured("holdout", 90, 2)


def records_of(sides, synthetic):
    return image_distances(*sides, synthetic, seed=0)


def reaches_its_floor(record):
    return record.high >= record.floor if record.better == "higher" else record.low <= record.floor


def test_strangers_reach_every_floor(sides, pictured):
    records = records_of(sides, pictured("synthetic", 400, 3, name="c"))
    assert [(r.name, r.dimensions["features"]) for r in records] == [
        (name, space) for space in ("judge", "texture") for name in DISTANCES
    ]
    assert all(reaches_its_floor(record) for record in records)


def test_values_are_those_of_the_metrics(pictured):
    sides = pictured("holdout", 40, 1), pictured("holdout", 40, 2), pictured("synthetic", 40, 3, name="c")
    found = {record.name: record for record in image_distances(*sides, seed=0)[:6]}
    real, made = sides[0].features, sides[2].features
    expected = {
        "kernel_distance": float(kernel_distance(torch.from_numpy(made), torch.from_numpy(real))),
        "frechet_distance": frechet_distance(made, real),
        **precision_recall(made, real),
    }
    assert {name: record.value for name, record in found.items()} == pytest.approx(expected)
    assert found["density"].ceiling is None
    assert "no best value" in found["density"].estimator


def test_mode_collapse_costs_recall_and_coverage_but_not_precision(sides, pictured):
    def collapse(pixels):
        grain = np.random.default_rng(0).normal(scale=6, size=pixels.shape)
        # twelve patients, over and over, with fresh grain
        return np.clip(pixels[np.arange(len(pixels)) % 12] + grain, 0, 255).astype(np.uint8)

    records = records_of(sides, pictured("synthetic", 300, 3, change=collapse, name="c"))
    precision, recall, coverage = (find_record(records, "c", name) for name in ("precision", "recall", "coverage"))
    assert precision.value > 0.8 * precision.floor
    assert recall.high < 0.6 * recall.floor
    assert coverage.high < 0.6 * coverage.floor


def test_other_images_are_farther_than_strangers(sides, pictured):
    records = records_of(sides, pictured("synthetic", 150, 3, change=lambda pixels: 255 - pixels // 2, name="c"))
    for name in DISTANCES:
        for space in ("judge", "texture"):
            record = find_record(records, "c", name, features=space)
            if name in ("kernel_distance", "frechet_distance", "precision", "coverage"):
                assert not reaches_its_floor(record), (name, space)


def test_few_patients_are_a_statement(pictured):
    records = image_distances(pictured("train", 60, 1), pictured("holdout", 6, 2), pictured("synthetic", 60, 3), seed=0)
    assert len(records) == 12
    assert all(record.value is None and "6 patients" in record.note for record in records)
