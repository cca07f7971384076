from __future__ import annotations

import json

from monai_hybridsynth.evaluation.image_fidelity import image_fidelity


def test_every_figure_is_there_with_floor_or_reason(pictured):
    found = image_fidelity(pictured("train", 120, 1), pictured("holdout", 60, 2), pictured("synthetic", 90, 3), seed=0)
    assert {record.name for record in found.metrics} == {
        "kernel_distance",
        "frechet_distance",
        "precision",
        "recall",
        "density",
        "coverage",
        "ms_ssim",
        "high_band_gap",
        "broken_images",
        "real_or_synthetic_auroc",
    }
    assert set(found.drawings) == {"spectrum", "broken"}
    assert found.metrics[0].dimensions == {"features": "judge"}
    for record in found.metrics:
        assert (record.value is None and record.note) or record.floor is not None
    json.dumps(found.drawings, allow_nan=False)


def test_a_handful_of_records_gives_statements_and_no_error(judged):
    found = image_fidelity(judged("train", 4, 1), judged("holdout", 2, 2), judged("synthetic", 3, 3), seed=0)
    assert all(record.value is None and record.note for record in found.metrics)
