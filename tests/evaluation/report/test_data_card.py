from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from monai_hybridsynth.data import RecordField
from monai_hybridsynth.evaluation.report.data_card import HOUSE, card_sections, column_summary, share_text
from monai_hybridsynth.evaluation.thresholds import Thresholds
from monai_hybridsynth.evaluation.verdict import family_verdicts


@pytest.mark.parametrize("count", range(0, 201, 7))
def test_no_share_tells_few_patients_or_few_exceptions(count):
    text = share_text(count, 200, 10)
    if count < 10:
        assert text == "< 5 %"
    elif 190 < count < 200:
        assert text == "> 95 %"
    else:
        assert float(text.removesuffix(" %")) == pytest.approx(100 * count / 200, abs=0.5)


def test_patients_count_once_and_rare_values_are_not_named():
    groups = np.array([f"p{row // 2}" for row in range(200)])
    values = pd.Series(["common"] * 150 + ["usual"] * 48 + ["Fabry disease"] * 2)
    text = column_summary(RecordField("d", kind="categorical"), values, groups, 10)
    assert text == "common: 75 %, usual: 24 %, 1 rarer value not stated"


def test_percentiles_rest_on_enough_patients_and_show_no_extreme():
    groups = np.arange(200).astype(str)
    values = pd.Series(np.r_[np.arange(199.0), 98765.0])
    field = RecordField("x", "number", kind="continuous")
    assert column_summary(field, values, groups, 10) == "percentiles 10 %: 20, 50 %: 100, 90 %: 180"
    assert column_summary(field, values[:30], groups[:30], 10) == "percentiles 50 %: 14"
    assert column_summary(field, values[:5], groups[:5], 10) == "too few patients to state"
    assert column_summary(field, values * np.nan, groups, 10) == "never known"


def test_no_percentile_is_the_value_of_one_patient():
    """A single patient in the middle with a value of its own moves the median by a tenth of it, and is not shown."""
    groups = np.arange(41).astype(str)
    values = pd.Series(np.r_[np.full(20, 10.0), 44.0, np.full(20, 90.0)])
    text = column_summary(RecordField("x", "number", kind="continuous"), values, groups, 10)
    assert "44" not in text


def test_the_card_names_no_patient_file_or_folder(sides, draw, tmp_path):
    page = draw(tmp_path / "report", "honest")
    text = (page.parent / "data_card.md").read_text(encoding="utf-8")
    train = sides["train"]
    assert not any(patient in text for patient in train.groups)
    assert str(train.cohort.folder) not in text
    assert ".png" not in text
    assert text.count(HOUSE) >= 8
    extreme = train.table["age"].astype(float).max()
    assert f"{extreme:.4g}" not in text
    for word in (
        "Identification",
        "Not intended",
        "Source population",
        "Generation",
        "Evaluation",
        "Privacy",
        "Licence",
    ):
        assert word in text


def test_two_cohorts_have_a_card_each_and_tables_stay_whole(both):
    cards = sorted(path.name for path in both.parent.glob("*.md"))
    assert cards == ["data_card_1.md", "data_card_2.md"]
    for line in (both.parent / cards[0]).read_text(encoding="utf-8").splitlines():
        if line.startswith("| sex"):
            assert line.count("|") == 5


def test_units_and_a_balanced_column_are_told(sides):
    def card(**manifest):
        synthetic = dataclasses.replace(sides["honest"], manifest={"synthetic": True, **manifest})
        verdicts = family_verdicts([], "honest")
        return card_sections(
            sides["train"],
            sides["holdout"],
            synthetic,
            verdicts,
            thresholds=Thresholds.defaults(),
            versions={},
            seed=0,
            judge="pixels",
        )

    balanced = {"column": "labels=wet", "shares": {"with": 0.5, "without": 0.5}}
    sections = {section.title: section for section in card(balanced=balanced)}
    schema = sides["train"].cohort.schema
    kinds = {row[0]: row[1] for row in sections["Source population"].tables[0].rows}
    units = {name: schema[name].unit for name in schema.feature_names if schema[name].unit}
    assert units == {"age": "a", "crp": "mg/L"}
    assert all(unit in kinds[name].split(", ") for name, unit in units.items())
    told = dict(sections["Generation"].items)["Balanced column"]
    assert told.startswith("labels=wet: with 50 %, without 50 %")
    assert "by design" in told
    stated = {"epsilon": 3.0, "delta": 1e-5, "unit": "one patient", "assumed_public": ["schema"]}
    for privacy, start, end in (
        (stated, "epsilon 3, delta 1e-05; unit: one patient", "not of what this card and the report say of patients"),
        (stated | {"epsilon": None}, "none stated", "assumed public: schema"),
    ):
        sections = {section.title: section for section in card(differential_privacy=privacy)}
        told = dict(sections["Generation"].items)["Differential privacy"]
        assert told.startswith(start)
        assert told.endswith(end)
    plain = {section.title: section for section in card(balanced=None)}
    assert "Balanced column" not in dict(plain["Generation"].items)


def test_a_red_light_stands_in_the_use_section(sides):
    verdicts = family_verdicts([], "honest")
    red = [type(v)(v.family, "bad", v.headline, v.checks, v.rule) if v.family == "privacy" else v for v in verdicts]
    for given, told in ((verdicts, False), (red, True)):
        sections = card_sections(
            sides["train"],
            sides["holdout"],
            sides["honest"],
            given,
            thresholds=Thresholds.defaults(),
            versions={},
            seed=0,
            judge="PCA",
        )
        use = next(section for section in sections if section.title == "Use")
        assert ("red for privacy" in dict(use.items)["Intended"]) == told
