from __future__ import annotations

from monai_hybridsynth.evaluation.report.utility_figures import utility_figures


def scores(line, cohort, **more):
    return [
        line("auroc", value, cohort, family="utility", column="sex", input="image", arm=arm, volume=volume, **more)
        for arm, value in (("real", 0.9), ("synthetic", 0.8), ("both", 0.85))
        for volume in (1.0, 5.0)
    ]


def test_the_real_arm_is_shown_once_and_the_largest_volume_counts(make_line):
    figures = utility_figures([*scores(make_line, "a"), *scores(make_line, "b")], ["a", "b"], {})
    (arms,) = figures
    assert [side["name"] for side in arms.data] == [
        "trained on real",
        "trained on synthetic (a)",
        "trained on both (a)",
        "trained on synthetic (b)",
        "trained on both (b)",
    ]
    assert all(len(side["x"]) == 1 for side in arms.data)


def test_volumes_and_subgroups_have_their_own_plots(make_line):
    ratios = [
        make_line("utility_ratio", value, "a", family="utility", input="image", volume=volume)
        for volume, value in ((5.0, 0.9), (1.0, 0.6))
    ]
    figures = {one.id: one for one in utility_figures([*ratios, *scores(make_line, "a", subgroup="f")], ["a"], {})}
    assert set(figures) == {"utility-volume", "utility-subgroup"}
    assert figures["utility-volume"].data[0]["x"] == [1.0, 5.0]
    assert figures["utility-volume"].data[0]["y"] == [0.6, 0.9]
    assert figures["utility-subgroup"].layout["yaxis"]["ticktext"] == ["sex | f"]
    assert utility_figures(ratios[:1], ["a"], {}) == []


def test_calibration_is_drawn_per_target(make_drawings):
    (figure,) = utility_figures([], ["a", "b"], {name: make_drawings([]) for name in ("a", "b")})
    assert [side["name"] for side in figure.data] == [
        "calibrated",
        "trained on real",
        "trained on synthetic (a)",
        "trained on synthetic (b)",
    ]
    assert figure.data[1]["y"] == [0.3, 0.7]


def test_calibration_of_common_targets_comes_first():
    def curve(share):
        return {"real": {"predicted": [share], "observed": [share]}}

    shares = {"rare": 0.02, "common": 0.45, "usual": 0.9}
    figures = utility_figures([], ["a"], {"a": {"calibration": {name: curve(s) for name, s in shares.items()}}})
    assert [figure.title.split(": ")[1] for figure in figures] == ["common", "usual", "rare"]
