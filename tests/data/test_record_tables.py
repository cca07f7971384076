"""Reading records.csv and records.parquet: what has one safe reading is read, what has none is named."""

from __future__ import annotations

import pandas as pd
import pytest

from monai_hybridsynth.data import CohortError
from monai_hybridsynth.data.record_tables import read_record_table

ROWS = [["image", "patient_id", "age"], ["images/a.png", "p1", "60"], ["images/b.png", "p2", ""]]


def text_of(delimiter: str = ",", newline: str = "\n") -> str:
    return newline.join(delimiter.join(row) for row in ROWS) + newline


def problems_of(folder) -> list[str]:
    with pytest.raises(CohortError) as caught:
        read_record_table(folder)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("data", "note"),
    [
        (text_of().encode(), None),
        (text_of().encode("utf-8-sig"), "byte-order mark"),
        (text_of(";").encode(), "semicolons"),
        (text_of("\t").encode(), "tabs"),
        (text_of(newline="\r\n").encode(), None),
        (text_of(";", "\r\n").encode("utf-8-sig"), "semicolons"),
        (text_of().encode("utf-16"), "UTF-16"),
    ],
)
def test_safe_readings_give_the_same_table_and_say_so(tmp_path, data, note):
    (tmp_path / "records.csv").write_bytes(data)
    raw = read_record_table(tmp_path)
    assert [raw.table.columns.tolist(), *raw.table.to_numpy().tolist()] == ROWS
    assert list(raw.rows) == [2, 3]
    assert any(note in told for told in raw.notes) if note else raw.notes == []


def test_a_semicolon_inside_a_value_is_no_delimiter(tmp_path):
    (tmp_path / "records.csv").write_text("image,patient_id,findings\na.png,p1,Edema;Mass\n")
    assert read_record_table(tmp_path).table["findings"].tolist() == ["Edema;Mass"]


def test_blank_lines_do_not_shift_row_numbers(tmp_path):
    (tmp_path / "records.csv").write_text("image,patient_id\na.png,p1\n\n,\nb.png,p2\n\n")
    raw = read_record_table(tmp_path)
    assert list(raw.rows) == [2, 5]
    assert raw.table["image"].tolist() == ["a.png", "b.png"]


def test_ragged_rows_are_all_named(tmp_path):
    (tmp_path / "records.csv").write_text("image,patient_id\na.png,p1,12,5\nb.png,p2\nc.png\n")
    found = problems_of(tmp_path)
    assert len(found) == 2
    assert "row 2" in found[0]
    assert "has 4 values, but the header names 2 columns" in found[0]
    assert "row 4" in found[1]


def test_bad_encoding_names_row_column_and_value(tmp_path):
    (tmp_path / "records.csv").write_bytes("image,patient_id,city\na.png,p1,Köln\nb.png,p2,Bonn\n".encode("latin-1"))
    found = problems_of(tmp_path)
    assert found == ["records.csv, row 2, column 'city': 'Köln' is not UTF-8; save the table as UTF-8"]


def test_an_unclosed_quotation_mark(tmp_path):
    (tmp_path / "records.csv").write_text('image,note\na.png,"never closed\nb.png,x\n')
    assert "no valid CSV" in problems_of(tmp_path)[0]


def test_repeated_and_missing_column_names(tmp_path):
    (tmp_path / "records.csv").write_text("image,age,age\na.png,1,2\n")
    assert "column 'age': names more than one column" in problems_of(tmp_path)[0]
    (tmp_path / "records.csv").write_text(",image\n0,a.png\n")
    raw = read_record_table(tmp_path)
    assert raw.table.columns.tolist() == ["column_1", "image"]
    assert "has no name" in raw.notes[0]


@pytest.mark.parametrize("text", ["", "\n\n", "image,patient_id\n", "image,patient_id\n,\n"])
def test_an_empty_table(tmp_path, text):
    (tmp_path / "records.csv").write_text(text)
    assert "add" in problems_of(tmp_path)[0]


def test_no_table_two_tables_no_folder(tmp_path):
    assert "holds no records.csv" in problems_of(tmp_path)[0]
    (tmp_path / "records.csv").write_text(text_of())
    pd.DataFrame({"image": ["a.png"]}).to_parquet(tmp_path / "records.parquet")
    assert "holds both" in problems_of(tmp_path)[0]
    assert "is no folder" in problems_of(tmp_path / "absent")[0]


def test_parquet_keeps_its_types(tmp_path):
    table = pd.DataFrame(
        {"image": ["a.png", "b.png"], "age": pd.array([60, None], dtype="Int64"), "icu": [True, False]}
    )
    table.to_parquet(tmp_path / "records.parquet")
    raw = read_record_table(tmp_path)
    pd.testing.assert_frame_equal(raw.table, table)
    assert list(raw.rows) == [2, 3]


def test_a_damaged_parquet_file(tmp_path):
    (tmp_path / "records.parquet").write_bytes(b"PAR1 nothing")
    assert "records.parquet: cannot be read" in problems_of(tmp_path)[0]
