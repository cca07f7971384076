from __future__ import annotations

import json

import plotly.graph_objects as go

from monai_hybridsynth.evaluation.report.image_figures import image_figures


def test_every_drawing_becomes_a_plot_with_real_patients_once(make_line, make_drawings):
    metrics = [
        make_line(name, value, cohort, family="fidelity", floor=0.8, features=features)
        for cohort in ("a", "b")
        for name, value in (("precision", 0.6), ("recall", 0.5))
        for features in ("pixel PCA", "encoder")
    ]
    figures = {one.id: one for one in image_figures(metrics, ["a", "b"], {n: make_drawings([]) for n in ("a", "b")})}
    assert list(figures) == ["spread", "spectrum", "record-distances", "tsne"]
    assert sorted(figures["spread"].data[0]["x"]) == [0.5, 0.6]
    assert figures["spread"].data[-1]["x"] == [0.8, 0.8]
    assert [side["name"] for side in figures["spectrum"].data] == ["real (train)", "real (held out)", "a", "b"]
    distances = figures["record-distances"].data
    assert [side["name"] for side in distances] == ["real", "a", "a, pairing broken", "b", "b, pairing broken"]
    assert distances[0]["x"] == [0.5, 1.5]
    assert [side["xaxis"] for side in figures["tsne"].data] == ["x", "x", "x2", "x2"]


def test_dots_and_bars_stand_in_the_same_space(make_line):
    """The judge's, whose record comes first: its dot beside another space's bar would contradict the summary."""
    metrics = [
        make_line("recall", value, cohort, family="fidelity", floor=floor, features=features)
        for cohort in ("a", "b")
        for features, value, floor in (("judge", 0.5, 0.8), ("texture", 0.7, 0.9))
    ]
    (figure,) = image_figures(metrics, ["a", "b"], {})
    assert [side["x"] for side in figure.data] == [[0.5], [0.5], [0.8]]


def test_plotly_accepts_them_and_nothing_gives_nothing(make_drawings):
    for figure in image_figures([], ["a"], {"a": make_drawings([])}):
        plain = {"--first": "red", "--second": "blue", "--muted": "grey", "--third": "green"}
        text = json.dumps(figure.plain())
        for name, colour in plain.items():
            text = text.replace(name, colour)
        found = json.loads(text)
        go.Figure(data=found["data"], layout=found["layout"])
    assert image_figures([], ["a"], {}) == []
