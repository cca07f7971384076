"""Where a report comes from: versions, seeds, and the command that makes it again."""

from __future__ import annotations

import platform
import shlex
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

__all__ = ["evaluation_command", "package_versions"]

PACKAGES = ("monai-hybridsynth", "monai", "torch", "numpy", "pandas", "scipy", "scikit-learn", "plotly")


def package_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that computed the figures."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def evaluation_command(
    train: Path, holdout: Path, synthetic: Sequence[Path], out: Path, *, seed: int, options: Mapping[str, str]
) -> str:
    """Return the command line that makes the report again.

    Args:
        train: training cohort folder.
        holdout: held-out cohort folder.
        synthetic: synthetic cohort folders.
        out: folder of the results.
        seed: of the evaluation.
        options: further options by name.
    """
    words = ["python", "-m", "monai_hybridsynth", "evaluate", "--train", str(train), "--holdout", str(holdout)]
    for folder in synthetic:
        words += ["--synthetic", str(folder)]
    words += ["--seed", str(seed), "--out", str(out)]
    for name, value in options.items():
        words += [f"--{name}", value]
    return shlex.join(words)
