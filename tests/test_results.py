"""Every published table stands beside a command that `make bench` can run again."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
RESULTS = (ROOT / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8").replace("\\\n", " ")
SECTIONS = [part.splitlines()[0] for part in RESULTS.split("\n## ")[1:]]
COMMANDS = re.findall(r"^python (benchmarks/.*)$", RESULTS, re.MULTILINE)
POOLS = ("POOL", "HEAD_CT_POOL")


def test_every_section_has_its_command():
    assert len(COMMANDS) == len(SECTIONS) > 10


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[:60])
def test_the_command_can_be_run_again(command):
    script, *arguments = shlex.split(command)
    source = (ROOT / script).read_text(encoding="utf-8")
    options = [part.split("=")[0] for part in arguments if part.startswith("--")]
    assert not [option for option in options if f'"{option}"' not in source]
    assert not [part for part in arguments if part.startswith("/") or "=/" in part]
    missing = [
        part for part in arguments if part.startswith(("benchmarks/", "bundles/")) and not (ROOT / part).exists()
    ]
    assert not missing
    assert not [part for part in arguments if part.isupper() and part.endswith("POOL") and part not in POOLS]


def test_make_bench_knows_every_pool_and_run():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    used = {part for command in COMMANDS for part in shlex.split(command)}
    assert all(f" {pool} " in makefile for pool in POOLS if pool in used)
    runs = {match.group(1) for part in used if (match := re.match(r"runs/((?:demo|nih|hannover|ct)_\w+)", part))}
    known = {f"{cohort}_{kind}" for cohort in ("nih", "hannover", "ct") for kind in ("gaussian", "tuned", "paper")}
    assert runs <= known | {"demo_gaussian", "demo_tuned"}
    assert all(f"NAME={run.split('_')[0]}_" in makefile for run in runs)
