from __future__ import annotations

import numpy as np
import pytest

from monai_hybridsynth.evaluation.findings import Findings, FinishedStages
from monai_hybridsynth.evaluation.metric_record import MetricRecord
from monai_hybridsynth.metrics import Estimate


def record(value: float) -> MetricRecord:
    return MetricRecord.of(
        Estimate(value, value - 0.1, value + 0.1, 7),
        cohort="made",
        family="fidelity",
        name="density",
        dimensions={"view": "image", "volume": 2.5},
        reading="A reading.",
        estimator="counted",
    )


@pytest.fixture
def counted():
    """Return findings with numbers that JSON must keep to the last bit, and how often they were computed."""
    calls = []

    def work() -> Findings:
        calls.append(1)
        return Findings([record(1 / 3)], {"curve": [0.1 + 0.2, 1e-17], "rows": [3, 4]})

    return work, calls


def test_a_finished_stage_is_read_back_with_every_bit(tmp_path, counted):
    work, calls = counted
    first = FinishedStages(tmp_path / "notes", {"seed": 0}).once("density", {"name": "made"}, work)
    again = FinishedStages(tmp_path / "notes", {"seed": 0}).once("density", {"name": "made"}, work)
    assert len(calls) == 1
    assert again.metrics == list(first.metrics)
    assert again.drawings == first.drawings


@pytest.mark.parametrize(
    ("settings", "stage", "cohort"),
    [({"seed": 1}, "density", "made"), ({"seed": 0}, "recall", "made"), ({"seed": 0}, "density", "other")],
)
def test_another_question_is_answered_anew(tmp_path, counted, settings, stage, cohort):
    work, calls = counted
    FinishedStages(tmp_path, {"seed": 0}).once("density", {"name": "made"}, work)
    FinishedStages(tmp_path, settings).once(stage, {"name": cohort}, work)
    assert len(calls) == 2


def test_a_stage_that_fails_leaves_no_note(tmp_path):
    def broken() -> Findings:
        raise RuntimeError("interrupted")

    finished = FinishedStages(tmp_path / "notes", {})
    with pytest.raises(RuntimeError, match="interrupted"):
        finished.once("density", {}, broken)
    assert not (tmp_path / "notes").exists()


def test_arrays_are_kept_as_they_are_and_removed(tmp_path):
    finished = FinishedStages(tmp_path / "notes", {"seed": 0})
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    arrays = {"pixels": pixels, "features": np.array([[np.pi]])}
    finished.arrays_once("embed", {}, lambda: arrays)
    stored = finished.arrays_once("embed", {}, lambda: pytest.fail("computed twice"))
    assert stored["pixels"].dtype == np.uint8
    for name, array in arrays.items():
        np.testing.assert_array_equal(stored[name], array)
    finished.remove()
    assert not (tmp_path / "notes").exists()
