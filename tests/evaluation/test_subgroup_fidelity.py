from __future__ import annotations

import pytest

from monai_hybridsynth.evaluation.subgroup_fidelity import subgroup_fidelity
from monai_hybridsynth.evaluation.verdict import find_record


@pytest.fixture(scope="module")
def sides(judged):
    return judged("train", 240, 1), judged("holdout", 120, 2)


def test_the_badly_drawn_subgroup_is_named(sides, judged):
    synthetic = judged("synthetic", 240, 3, name="c")
    men = (synthetic.table["sex"] == "m").to_numpy()
    synthetic.features[men] *= 0.2
    records = subgroup_fidelity(*sides, synthetic, seed=0)
    distance = {
        sex: find_record(records, "c", "kernel_distance", subgroup=f"sex = {sex}", features="judge") for sex in "mf"
    }
    assert distance["m"].low > max(distance["m"].floor, 0)
    assert distance["f"].low <= max(distance["f"].floor, 0)
    coverage = find_record(records, "c", "recall", subgroup="sex = m")
    assert coverage.high < coverage.floor
    assert "Among records with sex = m" in distance["m"].reading


def test_a_subgroup_that_is_not_drawn_says_so(sides, judged):
    synthetic = judged("synthetic", 100, 3, name="c")
    synthetic.table["smoker"] = "no"
    record = find_record(subgroup_fidelity(*sides, synthetic, seed=0), "c", "recall", subgroup="smoker = former")
    assert record.value is None
    assert "only 0 of 100 synthetic records belong to smoker = former" in record.note
