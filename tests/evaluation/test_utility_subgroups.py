from __future__ import annotations

import numpy as np
import pytest

from monai_hybridsynth.evaluation.prediction_targets import PredictionTarget
from monai_hybridsynth.evaluation.probe_scores import ScoreTable
from monai_hybridsynth.evaluation.utility_records import REAL, UtilityOutcome
from monai_hybridsynth.evaluation.utility_subgroups import find_subgroups, subgroup_records


def test_groups_are_levels_and_bands_with_enough_patients(judged, schema):
    holdout = judged("holdout", 160, 2)
    groups = {group.name: group for group in find_subgroups(schema, holdout)}
    assert {"sex = f", "sex = m", "age 40 to 60", "smoker = former"} <= set(groups)
    assert not any("crp" in name or "labels" in name for name in groups)
    age = holdout.table["age"].to_numpy()
    assert (groups["age 40 to 60"].rows == ((age >= 40) & (age < 60))).all()
    assert all(len(set(holdout.groups[group.rows])) >= 20 for group in groups.values())
    assert find_subgroups(schema, judged("holdout", 12, 2)) == []


@pytest.fixture
def scored(judged, schema):
    holdout = judged("holdout", 160, 2)
    outcomes = [UtilityOutcome(PredictionTarget("sex", "m", schema["sex"]), 70, 0.5)]
    groups = find_subgroups(schema, holdout)
    rng = np.random.default_rng(0)
    tables = {
        key: {g.name: ScoreTable(np.array([point]), point + rng.normal(scale=0.03, size=(200, 1))) for g in groups}
        for key, point in ((REAL, 0.8), (("synthetic", 2.0), 0.7))
    }
    return outcomes, groups, tables, (holdout.table["sex"] == "m").to_numpy(float)[:, None], holdout


def test_the_difference_is_given_per_group_and_not_within_the_column_itself(scored):
    outcomes, groups, tables, targets, holdout = scored
    records = subgroup_records(
        tables, groups, outcomes, targets, holdout.groups, synthetic=("synthetic", 2.0), cohort="c",
        dimensions={"input": "image"}, estimator="test",
    )  # fmt: skip
    names = {record.dimensions["subgroup"] for record in records}
    assert names
    assert not any(name.startswith("sex") for name in names)
    lost = [record for record in records if record.name == "auroc_difference"]
    assert len(lost) == len(names)
    for record in lost:
        assert record.value == pytest.approx(-0.1)
        assert record.low < -0.1 < record.high
        assert (record.floor, record.ceiling) == (pytest.approx(-0.3), 0.0)


def test_too_few_patients_with_the_outcome_are_said(scored):
    outcomes, groups, tables, targets, holdout = scored
    rare = np.zeros_like(targets)
    rare[:3] = 1
    records = subgroup_records(
        tables, groups, outcomes, rare, holdout.groups, synthetic=("synthetic", 2.0), cohort="c",
        dimensions={"input": "image"}, estimator="test",
    )  # fmt: skip
    assert records
    assert all(record.value is None and "too few" in record.note for record in records)
