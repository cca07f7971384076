from __future__ import annotations

import pytest

from monai_hybridsynth.evaluation.column_views import column_views
from monai_hybridsynth.evaluation.report.table_figures import score_figure, shape_figures, table_figures


def test_scores_stand_beside_those_of_strangers(make_line):
    metrics = [
        make_line("column_shape", value, cohort, family="fidelity", column="sex", floor=0.95)
        for cohort, value in (("a", 0.9), ("b", 0.7))
    ]
    figure = score_figure(metrics, ["a", "b"], "column_shape")
    assert [side["name"] for side in figure.data] == ["a", "b", "held-out patients"]
    assert [side["x"] for side in figure.data] == [[0.9], [0.7], [0.95]]
    assert score_figure([], ["a"], "column_shape") is None


def test_lower_is_better_for_missing_values(make_line):
    low = make_line("missingness", 0.1, "a", family="fidelity", column="sex", better="lower")
    assert score_figure([low], ["a"], "missingness").layout["shapes"][0]["x0"] == 0.0


def test_shares_of_a_column_add_up(judged, schema):
    sides = [judged("train", 60, 1), judged("synthetic", 50, 2, name="c")]
    figures = shape_figures(column_views(schema, [side.table for side in sides]), sides)
    titles = [figure.title for figure in figures]
    assert [title.split(" [")[0] for title in titles] == schema.feature_names
    for figure in figures:
        if figure.title != "labels":
            assert [sum(side["y"]) for side in figure.data] == pytest.approx([1, 1], abs=1e-3)
    crp = figures[schema.feature_names.index("crp")]
    assert crp.data[0]["x"][-1] == "missing"
    assert crp.title == "crp [mg/L]"


def test_cooccurrence_shows_real_once_on_one_scale(make_drawings):
    figures = table_figures([], ["a", "b"], {name: make_drawings([]) for name in ("a", "b")})
    assert [figure.title.split(": ")[1] for figure in figures] == ["real patients", "a", "b"]
    assert {(figure.data[0]["zmin"], figure.data[0]["zmax"]) for figure in figures} == {(0, 1)}
    assert figures[0].data[0]["z"] == [[1, 0.2], [0.3, 1]]
