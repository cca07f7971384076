"""The bundles are found in a clone and in a wheel."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile

import pytest

from monai_hybridsynth.workflows import bundle_folder


def test_bundles_are_found_by_name(repository):
    assert bundle_folder("hybrid_record_synthesis") == repository / "bundles" / "hybrid_record_synthesis"
    with pytest.raises(FileNotFoundError, match="hybrid_record_synthesis"):
        bundle_folder("made_up")


@pytest.mark.slow
def test_a_wheel_brings_code_and_bundles(repository, tmp_path):
    source = tmp_path / "source"
    for name in ("monai_hybridsynth", "bundles"):
        shutil.copytree(repository / name, source / name, ignore=shutil.ignore_patterns("eval", "__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(repository / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(tmp_path), str(source)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    bundled = [path.relative_to(source).as_posix() for path in (source / "bundles").rglob("*") if path.is_file()]
    # Modules, and what they read: schemas, limits, the report's templates, py.typed.
    package = [path for path in (source / "monai_hybridsynth").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    parts = {path.relative_to(source).as_posix() for path in package}
    assert {f"monai_hybridsynth/{name}" for name in bundled} | parts <= names
    for name in ("thresholds.json", "templates/report.html.j2"):
        assert f"monai_hybridsynth/evaluation/{name}" in names
