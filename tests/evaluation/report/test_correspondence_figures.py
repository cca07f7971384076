from __future__ import annotations

from monai_hybridsynth.evaluation.report.correspondence_figures import correspondence_figures


def agreements(line, cohort, value):
    return [
        line("agreement_forward", value, cohort, family="correspondence", predictor=predictor, **more)
        for predictor in ("linear", "kernel")
        for more in ({}, {"column": "sex"}, {"column": "labels", "label": "wet"})
    ]


def test_both_cohorts_and_predictors_are_shown_labels_left_to_the_table(make_line):
    metrics = [*agreements(make_line, "a", 0.9), *agreements(make_line, "b", 0.2)]
    metrics.append(make_line("agreement_forward", None, "a", family="correspondence", column="age", predictor="linear"))
    (figure,) = correspondence_figures(metrics, ["a", "b"], {})
    assert [side["name"] for side in figure.data] == ["a linear", "a kernel", "b linear", "b kernel"]
    assert [side["x"] for side in figure.data] == [[0.9, 0.9], [0.9, 0.9], [0.2, 0.2], [0.2, 0.2]]
    assert figure.layout["yaxis"]["ticktext"] == ["mean of all columns", "sex", "age"]
    assert [note["y"] for note in figure.layout["annotations"]] == [2]
    assert len({(side["marker"]["color"], side["marker"]["symbol"]) for side in figure.data}) == 4


def test_dependence_shows_real_once(make_drawings):
    drawings = {"a": make_drawings(["x", "y"]), "b": make_drawings(["x", "y"])}
    (figure,) = correspondence_figures([], ["a", "b"], drawings)
    assert [side["name"] for side in figure.data] == ["real patients", "a", "b"]
    assert correspondence_figures([], ["a"], {"a": {}}) == []
