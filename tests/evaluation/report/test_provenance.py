from __future__ import annotations

import shlex
from pathlib import Path

from monai_hybridsynth.__main__ import build_parser
from monai_hybridsynth.evaluation.report.provenance import evaluation_command, package_versions


def test_the_command_is_one_that_the_command_line_reads():
    options = {"features": "my features", "thresholds": "limits.json"}
    command = evaluation_command(Path("a b"), Path("c"), [Path("d"), Path("e")], Path("o"), seed=3, options=options)
    words = shlex.split(command)
    assert words[:3] == ["python", "-m", "monai_hybridsynth"]
    read = build_parser().parse_args(words[3:])
    assert (read.train, read.holdout, read.synthetic, read.out, read.seed) == ("a b", "c", ["d", "e"], "o", 3)
    assert (read.features, read.thresholds) == ("my features", "limits.json")


def test_the_versions_of_what_computed_are_named():
    assert {"python", "torch", "numpy", "plotly"} <= set(package_versions())
