from __future__ import annotations

import json

import jsonschema
import pytest

from monai_hybridsynth.evaluation.thresholds import Thresholds, default_thresholds_path, thresholds_schema


def test_every_default_has_a_reason_and_the_file_fits_its_schema():
    content = json.loads(default_thresholds_path().read_text(encoding="utf-8"))
    jsonschema.validate(content, thresholds_schema())
    for limits in Thresholds.defaults().limits.values():
        assert all(len(limit.reason) > 20 and not limit.changed for limit in limits.values())


def test_a_house_changes_one_limit_and_keeps_the_others(tmp_path):
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({"privacy": {"membership_auroc_red": {"value": 0.55, "reason": "our board"}}}))
    mine, plain = Thresholds.load(file), Thresholds.defaults()
    assert mine["privacy", "membership_auroc_red"] == 0.55
    assert mine.limits["privacy"]["membership_auroc_red"].reason == "our board"
    assert [
        (family, name)
        for family, limits in mine.limits.items()
        for name in limits
        if mine[family, name] != plain[family, name]
    ] == [("privacy", "membership_auroc_red")]


def test_what_is_written_is_read_back_the_same(tmp_path):
    file = tmp_path / "all.json"
    file.write_text(Thresholds.of({"utility": {"good_share": 0.8}}).to_json())
    jsonschema.validate(json.loads(file.read_text()), thresholds_schema())
    assert Thresholds.load(file)["utility", "good_share"] == 0.8


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"privcy": {}}, "'privcy' is no family, did you mean 'privacy'"),
        ({"privacy": {"membership_auroc_rde": 0.6}}, "did you mean 'membership_auroc_red'"),
        ({"privacy": {"copies_excess_red": "much"}}, "copies_excess_red: 'much' is no number"),
        ({"privacy": {"copies_excess_red": True}}, "True is no number"),
        ({"utility": {"good_share": float("nan")}}, "nan is no number"),
        ({"utility": {"sure_share": 0.9}}, r"sure_share \(0.9\) exceeds good_share \(0.7\)"),
        ({"utility": {"good_share": {"vlaue": 1}}}, "expected value and reason"),
        ({"version": 7}, "version 7 is not 1"),
        ([1], "holds list"),
    ],
)
def test_what_is_unknown_or_unusable_is_refused_by_name(content, told):
    with pytest.raises(ValueError, match=told):
        Thresholds.of(content)


def test_all_mistakes_are_told_at_once_and_broken_json_names_the_file(tmp_path):
    with pytest.raises(ValueError, match=r"'a' is no family.*'b' is no family"):
        Thresholds.of({"a": {}, "b": {}})
    file = tmp_path / "broken.json"
    file.write_text("{")
    with pytest.raises(ValueError, match="broken.json is no JSON"):
        Thresholds.load(file)
