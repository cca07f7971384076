"""Fixed columns: read, checked against what was learned, and met by choosing among candidates."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from monai_hybridsynth.fusion.conditioning import FixedColumns, choose_candidates
from monai_hybridsynth.fusion.table_layout import TableLayout


@pytest.fixture(scope="module")
def layout(table, schema) -> TableLayout:
    return TableLayout.fit(table, schema, minimum_patients=5)[0]


def test_a_mapping_holds_for_all_records(layout):
    fixed = FixedColumns.read({"sex": "F", "findings": "Effusion|Mass", "latent_001": 2}, layout, 3)
    assert fixed.values["findings"].tolist() == ["Effusion|Mass"] * 3
    assert fixed.values["latent_001"].dtype == np.float32
    assert fixed.flat["findings=Mass"].tolist() == ["yes"] * 3
    assert fixed.flat["findings=No Finding"].tolist() == ["no"] * 3
    assert FixedColumns.read({}, layout, 3) is None
    assert FixedColumns.read(None, layout, 3) is None


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ({"sex": "X"}, r"asks for 'X' in column 'sex'.*allowed: \['F', 'M'\]"),
        ({"sex": None}, r"asks for None in column 'sex'"),
        ({"findings": "Mass|Hernia"}, r"'Mass\|Hernia' in column 'findings'.*'Mass'"),
        ({"age": "old"}, "in column 'age'; it holds numbers"),
        ({"age": np.nan}, "in column 'age', which was not learned"),
        ({"crp": -np.inf}, "in column 'crp', which was not learned"),
        ({"images_before": 2.5}, "asks for 2.5 in column 'images_before'; it holds whole numbers"),
        ({"latent_001": np.inf}, "a latent is a finite number"),
        ({"latent_001": "x"}, "a latent is a finite number"),
        ({"latent_001": 1e39}, r"asks for 1e\+39 in column 'latent_001'.*between -1e\+09 and 1e\+09"),
        ({"latent_001": -1e20}, r"asks for -1e\+20 in column 'latent_001'"),
        ({"findings": "Mass|No Finding"}, r"'Mass\|No Finding' in column 'findings', but 'No Finding' stands alone"),
        ({"weight": 1}, r"columns \['weight'\] that are not modelled"),
        ({"patient_id": "patient-0001"}, "not modelled"),
        (pd.DataFrame({"sex": ["F", "M"]}), "has 2 rows but num_records is 3"),
        (pd.DataFrame({"sex": ["F", "M", "f"]}), "asks for 'f' in column 'sex'"),
    ],
)
def test_what_was_not_learned_is_refused(layout, conditions, message):
    with pytest.raises(ValueError, match=message):
        FixedColumns.read(conditions, layout, 3)


def test_a_column_that_is_there_twice_is_refused(layout):
    for name in ("age", "sex", "latent_001"):
        twice = pd.DataFrame([[1, 2]] * 3, columns=[name, name])
        with pytest.raises(ValueError, match=rf"conditions has the columns \['{name}'\] twice; keep one of each"):
            FixedColumns.read(twice, layout, 3)


def test_several_values_for_all_records_are_refused(layout):
    with pytest.raises(ValueError, match=r"asks for \['F', 'M'\] in column 'sex'; give one value for all records"):
        FixedColumns.read({"sex": ["F", "M"]}, layout, 3)


@pytest.mark.parametrize("conditions", [["sex"], "sex", 1, []])
def test_conditions_of_another_type_are_refused(layout, conditions):
    with pytest.raises(TypeError, match="give a mapping of columns to values, such as {'sex': 'F'}, a DataFrame"):
        FixedColumns.read(conditions, layout, 3)


@pytest.mark.parametrize(
    ("number", "error", "message"),
    [
        (2.5, TypeError, "num_records is 2.5; give a whole number of at least 1"),
        ("10", TypeError, "num_records is '10'; give a whole number"),
        (True, TypeError, "num_records is True; give a whole number"),
        (None, TypeError, "num_records is None; give a whole number"),
        (-1, ValueError, "num_records is -1; it must be at least 1"),
    ],
)
def test_the_number_of_records_is_a_whole_one(layout, number, error, message):
    with pytest.raises(error, match=message):
        FixedColumns.read(None, layout, number)
    assert len(FixedColumns.read({"sex": "F"}, layout, np.int64(3)).values) == 3


def test_a_number_outside_the_range_is_kept_with_a_warning(layout):
    with pytest.warns(UserWarning, match="outside the learned range of 'age'"):
        fixed = FixedColumns.read({"age": 119.0}, layout, 2)
    assert fixed.values["age"].tolist() == [119.0, 119.0]


def test_values_are_written_in_the_dtypes_of_the_records(layout, table):
    records = table.drop(columns="patient_id").iloc[:2].copy()
    fixed = FixedColumns.read({"images_before": 4, "age": 30}, layout, 2)
    written = fixed.write_into(records)
    assert written.dtypes.equals(table.drop(columns="patient_id").dtypes)
    assert written["images_before"].tolist() == [4, 4]


def test_candidates_are_drawn_until_one_fits():
    """Each record wants its own number out of twenty; candidates are uniform draws."""
    wanted = np.arange(50) % 20
    rng = np.random.default_rng(0)
    chosen, unmet = choose_candidates(
        lambda rows, turn: rng.integers(20, size=(len(rows), 1)),
        lambda rows, tried: (tried[:, 0] != wanted[rows]).astype(float),
        50,
    )
    assert unmet == 0
    assert chosen[:, 0].tolist() == wanted.tolist()


def test_accepted_candidates_follow_the_model():
    """Rejection on a first column leaves the second as the model has it, given the first."""
    rng = np.random.default_rng(0)

    def draw(rows, turn):
        first = rng.random(len(rows)) < 0.3
        return np.stack([first, rng.normal(np.where(first, 2.0, -1.0), 0.5)], axis=1)

    chosen, _ = choose_candidates(draw, lambda rows, tried: 1.0 - tried[:, 0], 3000)
    assert chosen[:, 1].mean() == pytest.approx(2.0, abs=0.05)
    assert chosen[:, 1].std() == pytest.approx(0.5, abs=0.03)


def test_the_nearest_is_taken_and_counted_when_none_fits():
    chosen, unmet = choose_candidates(
        lambda rows, turn: np.full((len(rows), 1), turn), lambda rows, tried: 5.0 - tried[:, 0], 4
    )
    assert unmet == 4
    assert chosen[:, 0].tolist() == [3, 3, 3, 3]
