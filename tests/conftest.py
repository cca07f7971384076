"""What every test shares: one thread a process, and the real cohorts where they are at hand."""

from __future__ import annotations

import os
from pathlib import Path

# Before torch is imported: the suite runs in two processes on two cores, more threads only compete.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

REAL_DATA_VARIABLE = "HYBRIDSYNTH_REAL_DATA"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of real cohorts, or skip the test and say how to run it."""
    folder = os.environ.get(REAL_DATA_VARIABLE)
    if not folder:
        pytest.skip(f"real cohorts are not at hand: set {REAL_DATA_VARIABLE} to the folder that holds them")
    path = Path(folder).resolve()
    if not path.is_dir():
        pytest.skip(f"{REAL_DATA_VARIABLE}={folder} is not a folder")
    return path


@pytest.fixture(scope="session")
def repository() -> Path:
    """Return the root of the source tree, where setup.cfg and the bundles lie."""
    return Path(__file__).resolve().parents[1]
