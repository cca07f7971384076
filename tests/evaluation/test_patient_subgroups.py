from __future__ import annotations

import numpy as np

from monai_hybridsynth.evaluation.patient_subgroups import patient_subgroups


def test_categories_and_bands_of_age_with_enough_patients(judged):
    sides = judged("train", 300, 1), judged("holdout", 100, 2)
    found = patient_subgroups(
        sides[0].cohort.schema,
        [side.table for side in sides],
        [side.groups for side in sides],
        minimum_patients=20,
    )
    names = [subgroup.name for subgroup in found]
    assert names[:2] == ["sex = f", "sex = m"]
    assert "age 40 to 60" in names
    assert "age below 18" not in names, "hardly anybody is that young here"
    assert {"smoker = no", "smoker = yes", "smoker = former"} <= set(names)
    band = found[names.index("age 40 to 60")]
    ages = sides[0].table["age"]
    assert (band.members(sides[0].table) == ((ages >= 40) & (ages < 60)).to_numpy()).all()


def test_missing_values_belong_nowhere(judged):
    side = judged("train", 60, 1)
    subgroup = patient_subgroups(side.cohort.schema, [side.table], [side.groups], minimum_patients=2)[0]
    side.table["sex"] = None
    assert not subgroup.members(side.table).any()


def test_patients_count_once(judged):
    side = judged("train", 60, 1)
    alone = np.array(["one"] * 60, dtype=object)
    assert patient_subgroups(side.cohort.schema, [side.table], [alone], minimum_patients=2) == []
