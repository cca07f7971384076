"""Changed copies of real radiographs are found, strangers changed the same way are not accused: the published table."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from monai_hybridsynth.data import read_cohort

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def table(repository, real_data):
    folder = repository / "benchmarks"
    sys.path.insert(0, str(folder))
    try:
        spec = importlib.util.spec_from_file_location("copy_sensitivity", folder / "copy_sensitivity.py")
        benchmark = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(benchmark)
    finally:
        sys.path.remove(str(folder))
    decoded = benchmark.through_alpha_gan(repository / "bundles" / "cxr_alpha_gan" / "models")
    changes = {**benchmark.COPY_CHANGES, "encoded and decoded": decoded}
    return benchmark.sensitivity(read_cohort(real_data / "nih_cxr14_sample"), changes, count=100)


CHANGES = [
    "none",
    "blurred, 1 px",
    "moved by 2 px both ways",
    "cropped to 90 %",
    "mirrored",
    "gamma 0.6",
    "gamma 1.6",
    "noise",
    "encoded and decoded",
]


@pytest.mark.parametrize("change", CHANGES)
def test_changed_copies_are_found_by_their_pixels(table, change):
    found, accused = table[change, "pixels"]
    assert found >= 0.95
    assert accused <= 0.05


def test_strong_crops_and_changes_on_top_of_each_other_are_mostly_found(table):
    for change in ("cropped to 80 %", "mirrored, moved, cropped, gamma"):
        assert table[change, "pixels"][0] >= 0.8


def test_the_embeddings_find_what_they_do_not_see_through_less_often(table):
    """Why pixels are searched: features of a moved or mirrored image are those of somebody else."""
    for measure in ("judge", "texture"):
        assert table["none", measure][0] == 1.0
        assert table["mirrored", measure][0] < 0.6
