from __future__ import annotations

import json

import plotly.graph_objects as go
import pytest

from monai_hybridsynth.evaluation.column_views import column_views
from monai_hybridsynth.evaluation.metric_record import MetricRecord
from monai_hybridsynth.evaluation.report_figures import agreement_figure, score_figure, shape_figures, utility_figure
from monai_hybridsynth.metrics import Estimate


def record(name, value, column=None, *, family="correspondence", floor=0.0, **dimensions):
    estimate = Estimate.absent("none") if value is None else Estimate(value, value - 0.1, value + 0.2, 9)
    return MetricRecord.of(
        estimate,
        cohort="c",
        family=family,
        name=name,
        column=column,
        dimensions=dimensions,
        floor=floor,
        reading="r",
        estimator="e",
    )


def test_values_stand_in_their_rows_with_their_intervals():
    records = [
        record("agreement_forward", 0.9, None, predictor="linear"),
        record("agreement_forward", 0.5, "sex", predictor="linear"),
        record("agreement_forward", None, "smoker", predictor="linear"),
        record("agreement_forward", 0.1, "labels", predictor="linear", label="wet"),
    ]
    figure = agreement_figure(records, "c")
    series = next(side for side in figure["data"] if side["name"] == "forward, linear")
    assert series["x"] == [0.9, 0.5]
    assert [round(y) for y in series["y"]] == [0, 1]
    assert series["error_x"]["array"] == pytest.approx([0.2, 0.2])
    assert series["error_x"]["arrayminus"] == pytest.approx([0.1, 0.1])
    assert figure["layout"]["yaxis"]["ticktext"] == ["mean of all columns", "sex", "smoker"]
    assert [note["y"] for note in figure["layout"]["annotations"]] == [2]


def test_arms_are_shown_and_no_target_gives_no_figure():
    records = [
        record("auroc", value, "sex", family="utility", input="image", predictor="linear", arm=arm)
        for arm, value in (("real", 0.9), ("synthetic", 0.8), ("both", 0.85))
    ]
    figure = utility_figure(records, "c")
    assert [side["x"] for side in figure["data"]] == [[0.9], [0.8], [0.85]]
    assert utility_figure([], "c") is None


def test_strangers_are_marked():
    records = [record("column_shape", 0.9, "sex", family="fidelity", floor=0.95)]
    figure = score_figure(records, ["c"], "column_shape", "shape")
    assert figure["data"][-1]["x"] == [0.95]
    assert figure["data"][-1]["name"] == "held-out patients"


def test_shares_of_a_column_add_up_and_plotly_accepts_the_figures(judged, schema):
    sides = [judged("train", 60, 1), judged("synthetic", 50, 2, name="c")]
    views = column_views(schema, [side.table for side in sides])
    figures = shape_figures(views, sides)
    assert [figure["name"] for figure in figures] == schema.feature_names
    for figure in figures:
        if figure["name"] != "labels":
            assert [sum(side["y"]) for side in figure["data"]] == pytest.approx([1, 1], abs=1e-3)
        plain = json.loads(json.dumps(figure).replace('"--first"', '"red"').replace('"--second"', '"blue"'))
        go.Figure(data=plain["data"], layout=plain["layout"])
    crp = next(figure for figure in figures if figure["name"] == "crp")
    assert crp["data"][0]["x"][-1] == "missing"
