from __future__ import annotations

import json
import math

from monai_hybridsynth.evaluation.report.figure import Figure, cohort_colour, compact, slug


def test_numbers_are_rounded_and_what_is_not_finite_is_a_gap():
    found = compact({"x": [1.23456789, math.nan, math.inf, 3, True], "y": ({"z": 123456.0},)})
    assert found == {"x": [1.235, None, None, 3, True], "y": [{"z": 123500.0}]}
    json.dumps(found, allow_nan=False)


def test_a_plain_figure_holds_data_and_layout_only():
    figure = Figure("a", "title", "alt", [{"y": [1.0]}], {"height": 5}, "hint")
    assert figure.plain() == {"data": [{"y": [1.0]}], "layout": {"height": 5}}


def test_neighbouring_cohorts_differ_in_colour_and_ids_are_plain():
    assert len({cohort_colour(order) for order in range(4)}) == 4
    assert slug("Shape", 'p < 0.5 / "x"', "") == "shape-p-0-5-x-x"
