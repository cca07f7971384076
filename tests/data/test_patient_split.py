"""Patients stay whole, targets stay balanced, and a given split is checked."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from monai_hybridsynth.data import CohortError, RecordField, RecordSchema, split_patients
from monai_hybridsynth.data.patient_split import given_split, is_stratified_split, note_split, target_classes


def cohort(seed: int, patients: int = 60):
    generator = np.random.default_rng(seed)
    ids = np.repeat([f"p{number}" for number in range(patients)], generator.integers(1, 6, patients))
    rare = {f"p{number}" for number in generator.choice(patients, 3, replace=False)}
    common = set(generator.choice(ids, patients // 2))
    classes = pd.DataFrame({"rare": [p in rare for p in ids], "common": [p in common for p in ids]})
    return pd.Series(ids), classes


def patients_of(ids, sides, side):
    return set(ids[(sides == side).to_numpy()])


@pytest.mark.parametrize("seed", range(8))
def test_patients_are_whole_counted_and_stratified(seed):
    ids, classes = cohort(seed)
    sides = split_patients(ids, classes, holdout=0.25, seed=seed)
    train, holdout = patients_of(ids, sides, "train"), patients_of(ids, sides, "holdout")
    assert not train & holdout
    assert len(holdout) == 15
    for name in classes:
        having = set(ids[classes[name].to_numpy()])
        assert abs(len(having & holdout) - 0.25 * len(having)) <= 1
        assert having & holdout
        assert having & train


def test_a_class_of_two_patients_is_on_both_sides():
    for seed in range(10):
        ids = pd.Series([f"p{number}" for number in range(40)])
        classes = pd.DataFrame({"a": [n < 2 for n in range(40)], "b": [n in (1, 2, 3) for n in range(40)]})
        sides = split_patients(ids, classes, seed=seed)
        assert set(sides[:2]) == {"train", "holdout"}


def test_random_dealing_would_often_miss_a_rare_class():
    ids, classes = cohort(0)
    having = set(ids[classes["rare"].to_numpy()])
    missed = [not having & patients_of(ids, split_patients(ids, seed=seed), "holdout") for seed in range(30)]
    assert 0 < sum(missed) < 30


def test_one_seed_gives_one_split_and_row_order_does_not_matter():
    ids, classes = cohort(3)
    first = split_patients(ids, classes, seed=5)
    assert first.equals(split_patients(ids, classes, seed=5))
    assert not first.equals(split_patients(ids, classes, seed=6))
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    order = np.random.default_rng(0).permutation(len(ids))
    shuffled = split_patients(ids.iloc[order], classes.iloc[order], seed=5)
    assert dict(zip(ids, first, strict=True)) == dict(zip(ids.iloc[order], shuffled, strict=True))
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002


def test_impossible_splits():
    with pytest.raises(ValueError, match="at least two"):
        split_patients(["p1", "p1"])
    with pytest.raises(ValueError, match="holdout is 1.5"):
        split_patients(["p1", "p2"], holdout=1.5)
    assert sorted(split_patients(["p1", "p2"], holdout=0.01)) == ["holdout", "train"]


def test_classes_of_targets():
    schema = RecordSchema(
        [
            RecordField("sex", kind="binary", enum=("f", "m"), role="target"),
            RecordField("age", "number", kind="continuous", role="target"),
            RecordField("found", kind="multilabel", separator="|", role="target"),
            RecordField("site", kind="categorical"),
        ]
    )
    table = pd.DataFrame(
        {
            "sex": ["m", "m", "f", None],
            "age": [10.0, 20.0, 30.0, np.nan],
            "found": ["A", "A|B", None, "B"],
            "site": list("xyzx"),
        }
    )
    classes = target_classes(table, schema)
    assert classes["sex: f"].tolist() == [False, False, True, False]
    assert classes["found: A"].tolist() == [True, True, False, False]
    assert classes["found: B"].tolist() == [False, True, False, True]
    assert not any(name.startswith("site") or name == "sex: m" for name in classes)
    assert not classes.filter(like="age").iloc[3].any()


def test_a_given_split_is_used():
    sides = given_split(pd.Series(["train", " holdout", "train"]), pd.Series(["a", "b", "a"]), file="f", rows=[2, 3, 4])
    assert sides.tolist() == ["train", "holdout", "train"]


def test_every_fault_of_a_given_split_is_named():
    values = pd.Series(["train", "holdout", "test", "", "train"])
    patients = pd.Series(["a", "a", "b", "c", "d"])
    with pytest.raises(CohortError) as caught:
        given_split(values, patients, file="records.csv", rows=[2, 3, 4, 5, 6])
    told = [str(problem) for problem in caught.value.problems]
    assert len(told) == 3
    assert "row 4, column 'split': 'test' is neither" in told[0]
    assert "row 5, column 'split': is blank" in told[1]
    assert "'a' is in train (row 2) and in holdout (row 3)" in told[2]


def test_a_given_split_with_an_empty_side():
    with pytest.raises(CohortError, match="leaves holdout empty"):
        given_split(pd.Series(["train"]), pd.Series(["a"]), file="records.csv", rows=[2])


def test_a_split_says_whether_it_was_dealt_by_targets(tmp_path):
    train, holdout = tmp_path / "train", tmp_path / "holdout"
    assert not is_stratified_split(train, holdout), "no prepared cohort"
    (tmp_path / "schema.json").write_text('{"version": 1, "fields": [{"name": "größe"}]}', encoding="utf-8")
    assert not is_stratified_split(train, holdout), "prepared without a note"
    note_split(tmp_path, stratified_by=["sex"])
    assert is_stratified_split(train, holdout)
    assert is_stratified_split(str(train) + "/", holdout)
    assert not is_stratified_split(holdout, train), "the other way round it is another split"
    assert not is_stratified_split(train, tmp_path / "elsewhere" / "holdout")
    note_split(tmp_path, stratified_by=[])
    assert not is_stratified_split(train, holdout)
