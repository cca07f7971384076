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


def test_rules_hold_for_every_row_and_would_be_broken_by_others():
    """Two labels and their numbers, judged by hand."""
    rows, rules = draw_rows(4000, seed=3, variant="findings"), phantom_schema("findings").rules
    assert not rules.broken(rows).any()
    others = rows.assign(findings=rows["findings"].sample(frac=1, random_state=0).to_numpy())
    large, wet = (others["findings"].str.contains(name) for name in ("Cardiomegaly", "Effusion"))
    ratio, volume = others["cardiothoracic_ratio"], others["effusion_ml"]
    expected = [large & (ratio <= 0.55), ~large & (ratio > 0.55), wet & (volume <= 0), ~wet & (volume > 0)]
    assert rules.broken(others).sum(axis=1).tolist() == [int(rows.sum()) for rows in expected]
    assert all(rows.any() for rows in expected)


def test_refuses_an_unknown_variant():
    with pytest.raises(ValueError, match="choose one of paper, wide, two_site, findings"):
        phantom_schema("big")
