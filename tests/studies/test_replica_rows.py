"""Bookkeeping of replicas, checked by brute force over rows and patients; planted leaks are refused."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from monai_hybridsynth.data import CohortError, read_cohort
from monai_hybridsynth.studies.supplementation.replica_rows import TRAINING, VALIDATION


def test_supplements_are_the_replicas_of_exactly_the_real_rows(make_cohorts, folders):
    cohorts = make_cohorts()
    table = pd.read_csv(folders["train"] / "records.csv")
    drawn = pd.read_csv(folders["own"] / "records.csv")
    aside = set(table["patient_id"][cohorts.aside])
    before: set[int] = set()
    for real_percent in (25, 50, 100):
        rows = set(cohorts.real_rows(real_percent, seed=3).tolist())
        assert before <= rows, "a smaller share is part of a larger one"
        before = rows
        patients = {table["patient_id"][row] for row in rows}
        assert not patients & aside
        assert rows == {row for row in range(48) if table["patient_id"][row] in patients}, "whole patients"
        for percent in (100, 200, 300):
            expected = [n for n in range(len(drawn)) if n % 48 in rows and n // 48 < percent / 100]
            found = cohorts.added_rows("own", real_percent, percent, seed=3)
            assert found.tolist() == expected
            told = [set(signs.split("|")) for signs in drawn["signs"][found]]
            assert told == [set(table["signs"][n % 48].split("|")) for n in expected]
    assert before == set(np.flatnonzero(~cohorts.aside))


def test_every_record_carries_row_replica_seed_and_fold(make_cohorts):
    cohorts = make_cohorts()
    book = cohorts.sources["own"].table
    assert set(book) == {"row", "replica", "seed", "fold", "patient"}
    assert book["fold"].tolist() == [VALIDATION if cohorts.aside[n % 48] else TRAINING for n in range(144)]
    assert book["patient"].tolist() == [f"t{n % 48 // 2}" for n in range(144)]
    assert set(book["seed"]) == {0}


def test_replicas_of_another_hospital_follow_its_own_split(make_cohorts, folders):
    cohorts = make_cohorts()
    source = cohorts.sources["other"]
    found = cohorts.added_rows("other", 100, 200, seed=0)
    assert set(source.table["row"][found]) == set(np.flatnonzero(~source.aside))
    assert 0 < source.aside.sum() < 30
    assert set(source.table["patient"][found]) <= set(pd.read_csv(folders["other"] / "records.csv")["patient_id"])


def test_a_replica_of_a_validation_row_is_refused_by_name(make_cohorts, folders):
    cohorts = make_cohorts()
    leak = int(np.flatnonzero(cohorts.aside)[0])
    rows = [*cohorts.real_rows(25, seed=0), leak]
    with pytest.raises(CohortError, match="only replicas of training rows") as caught:
        cohorts.sources["own"].of_rows(rows, percent=100)
    problem = caught.value.problems[0]
    assert (problem.row, problem.column, problem.value) == (leak + 2, "patient_id", f"t{leak // 2}")
    assert problem.file == str(folders["train"] / "records.csv")


@pytest.mark.parametrize(("percent", "match"), [(150, "multiples of 100"), (0, "multiples of 100"), (400, "draw more")])
def test_impossible_shares_are_refused(make_cohorts, percent, match):
    with pytest.raises(ValueError, match=match):
        make_cohorts().added_rows("own", 100, percent, seed=0)


def test_replicas_of_training_rows_alone_are_understood(make_cohorts, draw_from, tmp_path):
    cohorts = make_cohorts()
    rows = np.flatnonzero(~cohorts.aside)
    folder = draw_from("train", tmp_path / "part", replicas=2, rows=rows.tolist())
    book = make_cohorts(synthetic={"part": {"folder": folder}}).sources["part"]
    assert book.table["row"].tolist() == [*rows, *rows]
    assert book.of_rows(rows[:3], percent=200).tolist() == [0, 1, 2, *(len(rows) + np.arange(3))]


def test_a_cohort_drawn_for_other_patients_is_refused(make_cohorts, draw_from, tmp_path):
    rows = list(range(48))
    folder = draw_from("holdout", tmp_path / "leak", replicas=1, rows=rows)
    with pytest.raises(CohortError, match="does not repeat row 2 of") as caught:
        make_cohorts(synthetic={"leak": {"folder": folder}})
    problem = caught.value.problems[0]
    told = read_cohort(folder).table[problem.column][problem.row - 2]
    assert (problem.file, problem.value) == (str(folder / "records.csv"), str(told))


def test_a_changed_label_is_refused(make_cohorts, folders, tmp_path):
    folder = shutil.copytree(folders["own"], tmp_path / "changed")
    table = pd.read_csv(folder / "records.csv")
    table.loc[70, "signs"] = "noise" if table.loc[70, "signs"] != "noise" else "patch"
    table.to_csv(folder / "records.csv", index=False)
    with pytest.raises(
        CohortError, match=f"row 72, column 'signs': '{table.loc[70, 'signs']}' does not repeat row 24 of"
    ):
        make_cohorts(synthetic={"own": {"folder": folder}})


def test_a_cohort_without_account_of_its_rows_is_refused(make_cohorts, folders, tmp_path):
    folder = shutil.copytree(folders["own"], tmp_path / "anonymous")
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "replicas": 5}))
    with pytest.raises(ValueError, match="5 replicas of 48 rows for 144 records"):
        make_cohorts(synthetic={"own": {"folder": folder}})
