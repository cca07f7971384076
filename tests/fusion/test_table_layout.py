"""The layout of a latent table: what is taken apart comes together again."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from monai_hybridsynth.fusion import latent_columns
from monai_hybridsynth.fusion.table_layout import TableLayout


def test_parts_join_to_the_table(table, schema):
    layout, flat, latents, patients = TableLayout.fit(table, schema, minimum_patients=5)
    assert patients.tolist() == table["patient_id"].tolist()
    layout = TableLayout.from_dict(json.loads(json.dumps(layout.to_dict())))
    joined = layout.join(flat, latents)
    assert list(joined.columns) == [name for name in table.columns if name != "patient_id"]
    names = ["sex", "view", "findings", *latent_columns(table)]
    pd.testing.assert_frame_equal(joined[names], table[names])


def test_latents_are_known_by_their_name():
    assert latent_columns(pd.DataFrame(columns=["latent_010", "latent_fat", "x", "latent_2", 3])) == [
        "latent_010",
        "latent_2",
    ]


def test_wrong_tables_are_refused(table, schema):
    broken = table.copy()
    broken.loc[7, "latent_002"] = np.nan
    with pytest.raises(ValueError, match="row 7, column 'latent_002'"):
        TableLayout.fit(broken, schema, minimum_patients=5)
    with pytest.raises(ValueError, match=r"columns \['sex'\] twice"):
        TableLayout.fit(pd.concat([table, table[["sex"]]], axis=1), schema, minimum_patients=5)
    with pytest.warns(UserWarning, match=r"does not name the columns \['hobby'\]"):
        layout, *_ = TableLayout.fit(table.assign(hobby=1.0), schema, minimum_patients=5)
    assert "hobby" not in layout.order
