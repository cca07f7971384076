"""Searches for the traces of a cohort, above all what must not be taken for one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from monai_hybridsynth.workflows.cohort_traces import CohortTraces, fingerprints
from monai_hybridsynth.workflows.release_contents import FileContents
from monai_hybridsynth.workflows.trace_search import search_traces


@pytest.fixture
def traces(tmp_path) -> CohortTraces:
    rng = np.random.default_rng(0)
    made = CohortTraces(tmp_path)
    made.table = pd.DataFrame(
        {
            "age": rng.integers(20, 90, 80).astype(str),
            "sex": rng.choice(["F", "M"], 80),
            "view": rng.choice(["PA", "AP"], 80),
        }
    )
    made.patients = np.arange(80).astype(str)
    made.numbers = np.array([0.0123456, 31.415926])
    made.names = {"nih00017", "00000017_001"}
    made.categories = {"finding": {"hernia"}}
    made.images = fingerprints(list(rng.normal(size=(6, 32, 32))))
    return made


def search(traces, *, is_release_data=False, **content) -> str:
    return "\n".join(
        what for what, _ in search_traces(FileContents(**content), traces, is_release_data=is_release_data)
    )


def test_rows_that_match_by_chance_are_no_leak(traces):
    """With three coarse columns most synthetic rows equal some patient's."""
    rng = np.random.default_rng(5)
    drawn = pd.DataFrame({name: rng.permutation(traces.table[name]) for name in traces.table.columns})
    assert search(traces, tables=[("a.csv", drawn)]) == ""


def test_a_block_of_rows_in_the_cohorts_order_is_a_leak(traces):
    rng = np.random.default_rng(5)
    drawn = pd.DataFrame({name: rng.permutation(traces.table[name]) for name in traces.table.columns})
    mixed = pd.concat([drawn, traces.table.iloc[20:32], drawn])
    assert "follow each other" in search(traces, tables=[("a.csv", mixed)])


def test_the_same_value_in_another_spelling_is_the_same(traces):
    spelled = traces.table.iloc[::-1].assign(age=[f"{int(age):03d}Y" for age in traces.table["age"][::-1]])
    assert "100% of the rows" in search(traces, tables=[("a.csv", spelled)])


def test_weights_that_happen_to_equal_a_value_are_no_leak(traces):
    """Among many small weights some float equals some value; in a small array it does not happen by chance."""
    many, few = np.zeros(200_000, dtype=np.float32), np.zeros(20, dtype=np.float32)
    many[7] = few[7] = 0.0123456
    assert search(traces, arrays=[("weights", many)]) == ""
    assert "exact values" in search(traces, arrays=[("means", few)])


def test_numbers_are_compared_as_numbers(traces):
    assert "exact values" in search(traces, bytes_=[b'{"x": 3.1415926e1}'])
    assert search(traces, bytes_=[b'{"x": 131.415926, "y": 31.4159}']) == ""


def test_words_are_compared_whole(traces):
    assert "nih00017" in search(traces, bytes_=[b"see prep_NIH00017.log"])
    assert search(traces, bytes_=[b"nih000170 xnih00017"]) == ""


def test_a_rare_category_is_vocabulary_in_documentation(traces):
    assert search(traces, bytes_=[b"labels: hernia, mass"]) == ""
    assert "hernia" in search(traces, bytes_=[b"labels: hernia, mass"], is_release_data=True)
    assert search(traces, bytes_=[b"herniated"], is_release_data=True) == ""


def test_a_range_of_integers_is_no_list_of_rows(traces):
    assert search(traces, arrays=[("steps", np.arange(3, 20)), ("shape", np.array([1, 2, 3]))]) == ""
    rows = np.flatnonzero((traces.table["sex"] == "F").to_numpy())
    assert "row numbers of 'sex' = 'F'" in search(traces, arrays=[("rid", rows)])


def test_other_images_are_no_copies(traces):
    rng = np.random.default_rng(9)
    assert search(traces, images=[("a.png", rng.normal(size=(64, 64)))]) == ""
    copy = np.kron(traces.images[2].reshape(32, 32), np.ones((2, 2)))
    assert "images of patients" in search(traces, images=[("a.png", copy + 0.05 * rng.normal(size=(64, 64)))])
    assert search(traces, images=[("flat.png", np.zeros((64, 64)))]) == ""
