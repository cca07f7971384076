from __future__ import annotations

import pytest

from monai_hybridsynth.evaluation.kept_categories import dropped_categories, kept_categories
from monai_hybridsynth.evaluation.verdict import find_record


@pytest.fixture
def sides(judged):
    return judged("train", 200, 1), judged("holdout", 150, 2), judged("synthetic", 150, 3, name="c")


def test_a_dropped_class_is_named(sides):
    table = sides[2].table
    table["smoker"] = table["smoker"].replace("former", "no")
    table["labels"] = [value.replace("|dry", "").replace("dry", "none") for value in table["labels"]]
    records = kept_categories(*sides)
    whole = find_record(records, "c", "categories_kept")
    assert whole.value == pytest.approx(6 / 8)
    assert "smoker = former" in whole.reading
    assert "labels = dry" in whole.reading
    assert whole.floor == 1
    assert "former" in find_record(records, "c", "categories_kept", column="smoker").reading
    assert find_record(records, "c", "categories_kept", column="sex") is None


def test_strangers_keep_everything(sides):
    (record,) = kept_categories(*sides)
    assert record.value == record.floor == 1


def test_a_rare_category_is_neither_asked_of_few_records_nor_where_it_names_patients(sides, judged):
    sides[0].table.loc[[0, 2, 4, 6], "smoker"] = "pipe"
    assert dropped_categories(sides[0], sides[2], "smoker") == ([], 3), "four patients"
    sides[0].table.loc[[8, 10], "smoker"] = "pipe"
    assert dropped_categories(sides[0], sides[2], "smoker") == (["pipe"], 4)
    assert dropped_categories(sides[0], judged("synthetic", 40, 3), "smoker") == ([], 3), "missing by chance"
