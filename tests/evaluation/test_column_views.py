from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from monai_hybridsynth.data import RecordField, RecordSchema
from monai_hybridsynth.evaluation.column_views import column_views

SCHEMA = RecordSchema(
    [
        RecordField("age", "integer", kind="integer"),
        RecordField("crp", "number", kind="continuous", censored=True),
        RecordField("site", kind="categorical"),
        RecordField("findings", kind="multilabel", separator="|"),
    ]
)


def table(ages, crp, sites, findings):
    return pd.DataFrame(
        {"age": pd.array(ages, dtype="Int64"), "crp": np.array(crp, float), "site": sites, "findings": findings}
    )


TRAIN = table(list(range(10)), [-np.inf, np.inf, *range(8)], ["x"] * 9 + [None], ["A|B"] * 5 + ["B"] * 4 + [None])
OTHER = table([4, None, 99], [-np.inf, np.nan, 3], ["x", "new", None], ["C", None, "A"])


def test_every_present_value_has_one_level_and_missing_has_none():
    age, crp, site, findings = column_views(SCHEMA, [TRAIN, OTHER])
    assert age.indicators(TRAIN).sum(0).tolist() == [2, 2, 2, 2, 2]
    assert age.indicators(OTHER).sum(1).tolist() == [1, 0, 1]
    assert crp.indicators(OTHER).argmax(1)[0] == 0
    assert crp.indicators(OTHER).sum(1).tolist() == [1, 0, 1]
    assert site.levels == ("x", "new")
    assert site.indicators(OTHER).tolist() == [[1, 0], [0, 1], [0, 0]]
    assert findings.levels == ("B", "A", "C")
    assert findings.indicators(TRAIN)[0].tolist() == [1, 1, 0]
    assert findings.indicators(TRAIN)[-1].tolist() == [0, 0, 0]


def test_rare_levels_are_lumped():
    schema = RecordSchema([RecordField("code", kind="categorical")])
    codes = pd.DataFrame({"code": [f"c{i:02d}" for i in range(40)] + ["c00"] * 5})
    (view,) = column_views(schema, [codes])
    assert len(view.levels) == 20
    assert view.levels[0] == "c00"
    assert view.indicators(codes).sum(1).tolist() == pytest.approx([1] * 45)
