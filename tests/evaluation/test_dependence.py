from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from monai_hybridsynth.evaluation.dependence import dependence_findings
from monai_hybridsynth.evaluation.verdict import find_record


@pytest.fixture(scope="module")
def sides(judged):
    return judged("train", 240, 1), judged("holdout", 140, 2)


def test_strangers_differ_as_little_as_the_holdout_and_shuffled_records_lose_the_link(sides, judged):
    for shuffled in (False, True):
        synthetic = judged("synthetic", 300, 3, shuffled=shuffled)
        found = dependence_findings(*sides, synthetic, seed=0).metrics
        for column in ("sex", "age", None):
            level = find_record(found, "synthetic", "dependence", column=column, space="judge")
            gap = find_record(found, "synthetic", "dependence_difference", column=column, space="judge")
            assert level.floor == 0
            assert gap.floor >= 0
            assert gap.low <= gap.value <= gap.high
            if shuffled:
                assert level.low < 0 < level.high
                assert gap.low > 0
                assert "weaker than in real" in gap.reading
            else:
                assert level.low < level.ceiling < level.high
                assert gap.low == 0


def test_a_caricature_depends_more_strongly(sides, judged):
    synthetic = judged("synthetic", 300, 3)
    features = synthetic.features.copy()
    features[:, 0] += np.where(synthetic.table["sex"] == "m", 3.0, -3.0)
    found = dependence_findings(*sides, replace(synthetic, features=features), seed=0).metrics
    sex = find_record(found, "synthetic", "dependence_difference", column="sex", space="judge")
    assert sex.low > 0
    assert "stronger than in real" in sex.reading


def test_the_drawing_names_the_columns_and_the_encoder_is_labelled(sides, judged):
    three = [
        replace(side, spaces={"encoder": side.features[:, ::-1]}) for side in (*sides, judged("synthetic", 200, 3))
    ]
    found = dependence_findings(*three, seed=0)
    drawing = found.drawings["dependence"]
    assert {"sex", "age", "labels"} <= set(drawing["columns"])
    assert len(drawing["columns"]) == len(drawing["real"]) == len(drawing["synthetic"])
    assert set(found.drawings) == {"dependence", "dependence_encoder"}
    own = [record for record in found.metrics if record.dimensions["space"] == "encoder"]
    assert own
    assert all("generator's own encoder" in record.note for record in own)
    by_space = {
        space: find_record(found.metrics, "synthetic", "dependence", column="age", space=space).value
        for space in ("judge", "encoder")
    }
    assert by_space["judge"] == pytest.approx(by_space["encoder"])  # the same features in another order


def test_what_never_varies_says_so(sides, judged):
    synthetic = judged("synthetic", 100, 3)
    synthetic.table["sex"] = "f"
    found = dependence_findings(*sides, synthetic, seed=0).metrics
    record = find_record(found, "synthetic", "dependence", column="sex", space="judge")
    assert record.value is None
    assert "never varies" in record.note
    tiny = dependence_findings(judged("train", 8, 1), judged("holdout", 3, 2), judged("synthetic", 5, 3), seed=0)
    assert all(record.value is None and "not estimable because" in record.note for record in tiny.metrics)
