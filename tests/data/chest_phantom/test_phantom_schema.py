"""The phantom's schema describes exactly what is drawn."""

from __future__ import annotations

import pandas as pd
import pytest

from monai_hybridsynth.data import RecordSchema, draw_rows, phantom_schema
from monai_hybridsynth.data.chest_phantom import VARIANTS


@pytest.mark.parametrize("variant", VARIANTS)
def test_drawn_rows_are_already_parsed(variant):
    rows = draw_rows(400, seed=2, variant=variant)
    schema = phantom_schema(variant)
    assert schema.names == list(rows.columns)
    pd.testing.assert_frame_equal(schema.parse(rows), rows)


@pytest.mark.parametrize("variant", VARIANTS)
def test_roles_units_and_reasons(variant, tmp_path):
    schema = phantom_schema(variant)
    assert schema.group_name == "patient_id"
    assert schema.image_name == "image"
    opacity = "findings" if variant == "findings" else "opacity_side"
    assert set(schema.target_names) == {"outcome", opacity, "cardiothoracic_ratio"}
    for field in schema:
        assert field.reason
        assert not field.is_numeric or field.unit
    schema.save(tmp_path / "schema.json")
    assert RecordSchema.load(tmp_path / "schema.json").to_dict() == schema.to_dict()


def test_refuses_an_unknown_variant():
    with pytest.raises(ValueError, match="choose one of paper, wide, two_site, findings"):
        phantom_schema("big")
