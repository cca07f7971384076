"""Rows as conditions: encoded as in training, refused by name where the weights know nothing of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from monai_hybridsynth.data import RecordField, RecordSchema
from monai_hybridsynth.networks import RecordEmbedding
from monai_hybridsynth.transforms import RecordCondition, RecordEncoder, read_record_encoder, unlearned_values

SCHEMA = RecordSchema(
    [
        RecordField("age", "number", kind="continuous"),
        RecordField("sex", "string", kind="binary", enum=("F", "M")),
        RecordField("findings", "string", kind="multilabel", separator="|"),
    ]
)


def rows(count=40):
    return pd.DataFrame(
        {
            "age": np.linspace(20, 80, count),
            "sex": ["F", "M"] * (count // 2),
            "findings": ["Effusion", "Mass|Effusion", "", None] * (count // 4),
        }
    )


@pytest.fixture
def encoder():
    return RecordEncoder(SCHEMA).fit(rows())


def test_a_condition_is_the_encoders_vector(encoder):
    conditions = RecordCondition(encoder.to_dict())(rows())
    assert conditions.dtype == torch.float32
    assert torch.equal(conditions, torch.from_numpy(encoder.transform(rows())))


@pytest.mark.parametrize(
    ("column", "value", "named"),
    [
        ("age", 400.0, "'age': 400 .learned: from"),
        ("age", np.nan, "'age': a missing value"),
        ("age", np.inf, "'age': inf"),
        ("sex", "X", r"'sex': X .learned: one of \['F', 'M'\]"),
        ("sex", None, "'sex': a missing value"),
        ("findings", "Effusion|Hernia", "'findings': Hernia .learned: any of"),
    ],
)
def test_what_was_not_learned_is_refused_by_name_or_replaced(encoder, column, value, named):
    table = rows()
    table.loc[3, column] = value
    with pytest.raises(ValueError, match=named):
        RecordCondition(encoder.to_dict())(table)
    assert list(unlearned_values(encoder, table)) == [column]
    replacing = RecordCondition(encoder.to_dict(), on_unlearned="replace")
    told = replacing.told(table)
    assert not unlearned_values(encoder, told)
    assert torch.equal(replacing(table), replacing(told)), "the row says what the network was told"


def test_absent_columns_are_refused_even_where_values_are_replaced(encoder):
    with pytest.raises(ValueError, match=r"lacks the columns \['sex'\]"):
        RecordCondition(encoder.to_dict(), on_unlearned="replace")(rows().drop(columns="sex"))
    with pytest.raises(ValueError, match="on_unlearned is 'guess'"):
        RecordCondition(encoder.to_dict(), on_unlearned="guess")


def test_the_encoder_is_found_in_a_file_of_weights(encoder, tmp_path):
    network = torch.nn.ModuleDict({"embedding": RecordEmbedding(4, encoder=encoder)})
    torch.save(network.state_dict(), tmp_path / "model.pt")
    found = read_record_encoder(tmp_path / "model.pt")
    assert found.to_dict() == encoder.to_dict()
    np.testing.assert_array_equal(found.transform(rows()), encoder.transform(rows()))
    torch.save({"weight": torch.zeros(1)}, tmp_path / "other.pt")
    assert read_record_encoder(tmp_path / "other.pt") is None
    assert read_record_encoder(tmp_path / "absent.pt") is None
