from __future__ import annotations

import json
import re

import pytest

from monai_hybridsynth.evaluation.metric_record import MetricRecord
from monai_hybridsynth.evaluation.report.metric_table import (
    dimension_text,
    interval_strip,
    metric_rows,
    number_text,
    span_text,
)
from monai_hybridsynth.metrics import Estimate


def record(value, column=None, **dimensions):
    return MetricRecord.of(
        Estimate.absent("none") if value is None else Estimate(value, value - 0.1, value + 0.2, 3),
        cohort="c",
        family="utility",
        name="auroc",
        column=column,
        dimensions=dimensions,
        floor=0.5,
        ceiling=1.0,
        reading="r",
        estimator="e",
    )


def test_numbers_on_the_page_have_no_negative_zero():
    assert number_text(-0.001) == "0.00"
    assert number_text(-0.1) == "−0.10"
    assert number_text(None) == "–"
    assert span_text(record(0.5)) == "[0.40, 0.70]"
    assert span_text(record(None)) == ""


def test_every_line_is_there_the_whole_before_columns_and_labels():
    records = [record(0.1, "x", label="a"), record(0.2, "x"), record(0.3), record(None)]
    table = metric_rows(records)
    json.dumps(table, allow_nan=False)
    place = {name: order for order, name in enumerate(table["fields"])}
    assert [row[place["value"]] for row in table["rows"]] == [0.3, None, 0.2, 0.1]
    assert table["texts"][table["rows"][-1][place["of"]]] == "label a"
    assert table["texts"].count("r") == 1


def test_dimensions_name_their_key():
    assert dimension_text({"arm": "both", "volume": 5.0}) == "arm both, volume 5"


def test_the_small_drawing_puts_value_and_marks_in_order():
    drawing = str(interval_strip(record(0.7)))
    floor = float(re.search(r'class="floor" x1="([\d.]+)"', drawing)[1])
    low, high = map(float, re.search(r'class="span" x1="([\d.]+)" x2="([\d.]+)"', drawing).groups())
    value = float(re.search(r'cx="([\d.]+)"', drawing)[1])
    assert floor < low < value < high < 120
    assert (value - floor) / (high - floor) == pytest.approx(0.2 / 0.4, abs=0.01)
    assert interval_strip(record(None)) == ""
