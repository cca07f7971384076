from __future__ import annotations

from monai_hybridsynth.evaluation.report.privacy_figures import privacy_figures


def test_the_strongest_attack_is_drawn_and_others_are_left_to_the_table(make_line):
    metrics = [
        make_line("membership_auroc", value, "a", family="privacy", view="image", stratum="all", attack=attack)
        for attack, value in (("classifier", 0.9), ("strongest", 0.6))
    ]
    (figure,) = privacy_figures(metrics, ["a"], {})
    assert figure.data[0]["x"] == [0.6]
    assert figure.layout["yaxis"]["ticktext"] == ["image, all"]
    assert figure.layout["shapes"][0]["x0"] == 0.5


def test_curves_and_risks(make_line, make_drawings):
    metrics = [
        make_line("linkability", 0.1, "b", family="privacy"),
        make_line("singling_out", None, "b", family="privacy"),
    ]
    roc, risks = privacy_figures(metrics, ["a", "b"], {"b": make_drawings([])})
    assert [side["name"] for side in roc.data] == ["guessing", "b record"]
    assert roc.data[1]["x"] == [0.0, 0.2, 1.0]
    assert risks.layout["yaxis"]["ticktext"] == ["linkability: all records"]
    assert privacy_figures([], ["a"], {}) == []
