"""The grid of a study and what its arms may be."""

from __future__ import annotations

import itertools

import pytest

from monai_hybridsynth.studies.supplementation.study_cells import StudyArm, study_arms, study_cells

ARMS = [
    {"name": "mixed", "synthetic": "own", "percents": [100, 300]},
    {"name": "alone", "synthetic": "own", "real": False, "percents": [100]},
    {"name": "first", "synthetic": "own", "order": "pretrain", "percents": [100]},
]


def test_the_grid_holds_every_combination_once():
    cells = study_cells(study_arms(ARMS, ["own"]), (25, 100), (0, 7))
    wanted = {("real", 0), ("mixed", 100), ("mixed", 300), ("alone", 100), ("first", 100)}
    expected = {
        (arm, size, percent, seed) for (arm, percent), size, seed in itertools.product(wanted, (25, 100), (0, 7))
    }
    assert [(c.arm, c.real_percent, c.percent, c.seed) for c in cells if c.seed == 0] == [
        (c.arm, c.real_percent, c.percent, 0) for c in cells[:10]
    ], "a study that is cut short has all cells of its first seeds"
    assert {(c.arm, c.real_percent, c.percent, c.seed) for c in cells} == expected
    assert len({cell.name for cell in cells}) == len(cells) == len(expected)
    assert [cell.number for cell in cells] == list(range(len(cells)))


def test_a_cell_keeps_its_name_when_the_grid_grows():
    few = study_cells(study_arms(ARMS[1:], ["own"]), (100,), (0,))
    many = study_cells(study_arms(ARMS, ["own"]), (25, 100), (0, 1))
    assert {cell.name for cell in few} < {cell.name for cell in many}


@pytest.mark.parametrize(
    ("arm", "match"),
    [
        ({"name": "a", "synthetic": "elsewhere"}, "the study's cohorts are"),
        ({"name": "a", "synthetic": "own", "share": 1}, "share"),
        ({"synthetic": "own"}, "no name"),
        ({"name": "mixed ", "synthetic": "own"}, "a name of its own"),
        ({"name": "a", "synthetic": "own", "order": "reverse"}, "choose one of mixed, pretrain"),
        ({"name": "a", "synthetic": "own", "order": "pretrain", "real": False}, "without real records"),
        ({"name": "a", "real": False}, "names no synthetic cohort"),
        ({"name": "a"}, "real records alone"),
        ({"name": "a", "synthetic": "own", "percents": [50]}, "multiples of 100"),
    ],
)
def test_impossible_arms_are_refused(arm, match):
    with pytest.raises(ValueError, match=match):
        study_arms([{"name": "mixed_", "synthetic": "own"}, arm], ["own"])


@pytest.mark.parametrize(("sizes", "seeds"), [((), (0,)), ((0,), (0,)), ((101,), (0,)), ((100,), ())])
def test_impossible_grids_are_refused(sizes, seeds):
    with pytest.raises(ValueError, match="give sizes in 1"):
        study_cells([StudyArm("real", percents=(0,))], sizes, seeds)
