"""Which records are asked for, and that what cannot be drawn is refused before anything is drawn."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from monai_hybridsynth.data import CohortError, RecordField, RecordSchema
from monai_hybridsynth.workflows import RecordRequests

SCHEMA = RecordSchema(
    [
        RecordField("age", "number", kind="continuous", unit="a", minimum=0, maximum=120),
        RecordField("sex", kind="binary", enum=("F", "M")),
        RecordField("note", role="excluded"),
        RecordField("findings", kind="multilabel", separator="|", enum=("A", "B", "None"), empty_label="None"),
        *[RecordField(f"day_{number}", "integer", kind="integer", unit="d") for number in range(3)],
    ],
    rules=[
        {"if": {"column": "sex", "equals": "M"}, "then": {"column": "age", "maximum": 90}},
        {"ascending": ["day_0", "day_1", "day_2"]},
    ],
)


def test_free_records_fix_nothing():
    requests = RecordRequests(3, SCHEMA)
    assert (len(requests), requests[2], requests.fixed_columns, requests.block(0, 5)) == (3, {}, [], None)
    assert requests.describe() == {}


def test_a_mapping_holds_for_every_record_and_is_parsed():
    requests = RecordRequests(2, SCHEMA, conditions={"age": "060Y", "sex": "M", "latent_003": 1})
    assert requests[0] == requests[1] == {"age": 60.0, "sex": "M", "latent_003": 1.0}
    assert requests.block(0, 256) == requests[0]
    with pytest.raises(IndexError):
        requests[2]


@pytest.mark.parametrize("suffix", ["frame", "csv", "parquet"])
def test_a_table_fixes_row_by_row_and_starts_again_after_its_end(tmp_path, suffix):
    table = pd.DataFrame({"sex": ["F", "M", "F"], "age": [1.0, 2.0, None]})
    conditions = table
    if suffix != "frame":
        conditions = tmp_path / f"conditions.{suffix}"
        table.to_csv(conditions, index=False) if suffix == "csv" else table.to_parquet(conditions)
    requests = RecordRequests(None, SCHEMA, conditions=conditions)
    assert len(requests) == 3
    assert requests[1] == {"sex": "M", "age": 2.0}
    block = requests.block(2, 3)
    assert block["sex"].tolist() == ["F", "F", "M"]
    assert pd.isna(block["age"][0])
    assert list(pd.read_csv(pd.io.common.StringIO(requests.describe()))["sex"]) == ["F", "M", "F"]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"num_records": 0}, ValueError, "num_records is 0"),
        ({"num_records": None}, ValueError, "num_records is None"),
        ({"num_records": 2.5}, TypeError, "num_records is 2.5; give a whole number"),
        ({"num_records": "10"}, TypeError, "num_records is '10'; give a whole number"),
        ({"num_records": 2, "conditions": ["sex"]}, TypeError, "give a mapping of columns to values"),
        (
            {"num_records": 1, "conditions": pd.DataFrame([["F", "M"]], columns=["sex", "sex"])},
            ValueError,
            r"has the columns \['sex'\] twice",
        ),
        ({"num_records": 2, "conditions": {"findings": "A|None"}}, ValueError, "'A|None' .* 'None' stands alone"),
        ({"num_records": 2, "conditions": {"day_0": 9, "day_2": 4}}, CohortError, "'day_0' is 9, 'day_2' is 4"),
        ({"num_records": 2, "conditions": {"note": "x"}}, ValueError, r"fix \['note'\]"),
        ({"num_records": 2, "conditions": {"height": 2}}, ValueError, r"fix \['height'\]"),
        ({"num_records": 2, "conditions": {"sex": "divers"}}, CohortError, "divers"),
        ({"num_records": 2, "conditions": {"age": "411Y"}}, CohortError, "411"),
        ({"num_records": 2, "conditions": {"age": 91, "sex": "M"}}, CohortError, "breaks rule 1"),
        ({"num_records": 2, "conditions": pd.DataFrame({"sex": ["F"]})}, ValueError, "1 rows for 2 records"),
    ],
)
def test_what_cannot_be_drawn_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        RecordRequests(arguments["num_records"], SCHEMA, conditions=arguments.get("conditions"))


def test_a_value_that_breaks_a_rule_is_refused_also_where_real_ones_become_missing():
    lenient = SCHEMA.with_fields(*(replace(entry, on_invalid="missing") for entry in SCHEMA))
    with pytest.raises(CohortError, match="'sex' is 'M', 'age' is 91"):
        RecordRequests(2, lenient, conditions={"age": 91, "sex": "M"})
    assert RecordRequests(2, lenient, conditions={"age": 91})[0] == {"age": 91.0}
