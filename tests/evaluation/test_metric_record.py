from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from monai_hybridsynth.evaluation import MetricRecord, metrics_schema, read_metrics, write_metrics
from monai_hybridsynth.metrics import Estimate

jsonschema = pytest.importorskip("jsonschema", reason="the JSON Schema is checked where jsonschema is installed")


def record(estimate: Estimate | None = None, **changes) -> MetricRecord:
    given = {"cohort": "c", "family": "utility", "name": "auroc", "reading": "One sentence.", "estimator": "e"}
    return MetricRecord.of(estimate or Estimate(0.7, 0.6, 0.8, 30), **{**given, **changes})


def test_a_written_file_fits_its_schema_and_comes_back(tmp_path):
    records = [
        record(column="sex", dimensions={"arm": "real", "volume": 5.0}, floor=0.5, ceiling=0.8),
        record(Estimate.absent("too few patients", n=3)),
    ]
    cohorts = {"c": {"role": "synthetic", "records": 10, "patients": None, "manifest": {"seed": 1}}}
    document = write_metrics(tmp_path / "metrics.json", records, cohorts=cohorts, seconds={"read": 1.23456})
    jsonschema.validate(document, metrics_schema())
    assert json.loads((tmp_path / "metrics.json").read_text()) == document
    found = read_metrics(tmp_path / "metrics.json")
    assert found.metrics == records
    assert found.cohorts == cohorts


@pytest.mark.parametrize(
    "damage",
    [{"value": None}, {"family": "beauty"}, {"note": None}, {"low": "0.1"}, {"extra": 1}, {"reading": ""}],
)
def test_the_schema_refuses_damage(damage):
    document = {"version": 1, "metrics": [{**asdict(record()), **damage}], "cohorts": {}, "seconds": {}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, metrics_schema())


def test_no_value_needs_a_reason_and_never_is_nan():
    absent = record(Estimate.absent("3 patients"))
    assert (absent.value, absent.low, absent.note) == (None, None, "3 patients")
    assert absent.reading == "Not estimable here: 3 patients."
    shaky = record(Estimate(0.7, float("nan"), float("nan"), 1))
    assert shaky.value is None
    assert "so few patients" in shaky.note
    with pytest.raises(ValueError, match="say why"):
        MetricRecord(**{**asdict(absent), "note": ""})
    with pytest.raises(ValueError, match="needs its interval"):
        MetricRecord(**{**asdict(record()), "low": None})
    with pytest.raises(ValueError, match="not all finite"):
        MetricRecord(**{**asdict(record()), "floor": float("nan")})
    with pytest.raises(ValueError, match="unknown"):
        record(family="beauty")


def test_an_interval_without_width_is_called_too_narrow():
    perfect = record(Estimate(1.0, 1.0, 1.0, 4))
    assert "these 4 patients agree" in perfect.note
    assert record().note == ""


def test_another_version_is_refused(tmp_path):
    (tmp_path / "metrics.json").write_text('{"version": 2}')
    with pytest.raises(ValueError, match="reads version 1"):
        read_metrics(tmp_path / "metrics.json")
