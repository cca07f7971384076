"""The README's code blocks run, in their order, on a demonstration cohort small enough for a test."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)

# What a test changes in the README's code, to be quick: fewer records.
SMALLER = {
    "--phantom 900": "--phantom 90 --spatial-size 64",
    "--num_records 1000": "--num_records 40",
    "num_records=500": "num_records=30",
}


def smaller(code: str) -> str:
    for large, small in SMALLER.items():
        code = code.replace(large, small)
    return code


def commands(language: str, start: str) -> list[str]:
    """Return the README's command lines that begin with ``start``, continued lines joined."""
    lines = [line for kind, code in BLOCKS if kind == language for line in code.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line.startswith(start)]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Path:
    """Return a folder that looks like a clone where the README's commands ran."""
    folder = tmp_path_factory.mktemp("clone")
    (folder / "bundles").symlink_to(ROOT / "bundles")
    variables = " ".join(commands("bash", "BUNDLE="))
    for command in commands("bash", "python "):
        script = smaller(f"set -e; {variables}; {command.replace('python ', shlex.quote(sys.executable) + ' ', 1)}")
        done = subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return folder


def test_the_changes_of_this_test_still_apply():
    everything = "\n".join(code for _, code in BLOCKS)
    assert [large for large in SMALLER if large not in everything] == []


def test_every_make_command_is_one_that_make_knows():
    lines = commands("bash", "make ")
    assert len(lines) >= 6
    for line in lines:
        make = ["bash", "-c", line.replace("make ", "make -n ", 1)]
        done = subprocess.run(
            make, cwd=ROOT, capture_output=True, text=True, timeout=60, env=os.environ | {"MAKEFLAGS": ""}
        )
        assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_commands_leave_what_the_readme_promises(workspace):
    run = workspace / "runs" / "trial"
    for name in ("prepared/train", "prepared/holdout", "synthesizer", "synthetic/manifest.json", "metrics.json"):
        assert (run / name).exists(), name
    assert (run / "report" / "index.html").is_file()
    assert "F" in (run / "synthetic" / "records.csv").read_text()
    judged = json.loads((workspace / "runs" / "judged" / "metrics.json").read_text())
    assert set(judged["cohorts"]) == {"train", "holdout", "synthetic", "unpaired"}


@pytest.mark.slow
@pytest.mark.parametrize("number", range(sum(kind == "python" for kind, _ in BLOCKS)))
def test_the_python_blocks_run(workspace, monkeypatch, number):
    monkeypatch.chdir(workspace)
    code = [code for kind, code in BLOCKS if kind == "python"][number]
    namespace: dict = {}
    exec(compile(smaller(code), f"README block {number + 1}", "exec"), namespace)
    if "records" in namespace:
        assert (namespace["records"]["sex"] == "F").all()
    if "auroc" in namespace:
        assert namespace["auroc"].low < namespace["auroc"].value < namespace["auroc"].high
    if "loss" in namespace:
        assert namespace["loss"].item() > 0


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("http") or (ROOT / target).exists(), target
