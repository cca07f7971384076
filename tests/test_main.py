"""The command line: exit codes, messages without tracebacks, and what is handed on."""

from __future__ import annotations

import subprocess
import sys

import pytest

from monai_hybridsynth.__main__ import main
from monai_hybridsynth.workflows.release_audit import Finding


def test_prepare_the_embedded_cohort(tmp_path, capsys):
    arguments = ["prepare", "--phantom", "16", "--spatial-size", "32", "--out", str(tmp_path / "out"), "--seed", "2"]
    assert main(arguments) == 0
    printed = capsys.readouterr()
    assert "Modelled columns" in printed.out
    assert (tmp_path / "out" / "train" / "records.csv").is_file()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["prepare", "absent", "--out", "out"], "absent: is no folder"),
        (["prepare", "--out", "out"], "give either COHORT or --phantom N"),
        (["prepare", "absent", "--phantom", "3", "--out", "out"], "give either COHORT or --phantom N"),
        (["prepare", "--phantom", "3", "--modality", "cxr", "--out", "out"], "belong to a cohort"),
        (["audit", "absent"], "absent"),
    ],
)
def test_wrong_input_is_told_without_a_traceback(arguments, told, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert told in printed.err
    assert "Traceback" not in printed.err
    assert printed.out == ""


def test_unknown_arguments_exit_with_two(capsys):
    for arguments in ([], ["train"], ["prepare", "x"], ["evaluate", "--train", "a", "--out", "b"]):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == 2


def test_audit_exit_codes_follow_its_findings(monkeypatch, capsys):
    asked = {}

    def audit_release(path, *, against=None):
        asked.update(path=path, against=against)
        note = Finding("note", "cache", "private working data", "release none of it")
        return [note, Finding("leak", "weights.pt", "is a pickle", "use safetensors")] if path == "leaky" else [note]

    monkeypatch.setattr("monai_hybridsynth.workflows.release_audit.audit_release", audit_release)
    assert main(["audit", "clean", "--against", "cohort"]) == 0
    assert asked == {"path": "clean", "against": "cohort"}
    assert main(["audit", "leaky"]) == 1
    assert "weights.pt: is a pickle" in capsys.readouterr().out


def test_evaluate_hands_on_every_cohort(monkeypatch):
    asked = []
    monkeypatch.setattr(
        "monai_hybridsynth.evaluation.evaluate_cohorts",
        lambda *args, **options: asked.append((args, options)),
        raising=False,
    )
    arguments = ["--train", "a", "--holdout", "b", "--synthetic", "c", "--synthetic", "d", "--out", "o", "--seed", "4"]
    assert main(["evaluate", *arguments]) == 0
    assert asked == [
        (
            ("a", "b", ["c", "d"], "o"),
            {"features": None, "encoder": None, "thresholds": None, "seed": 4, "thorough": False},
        )
    ]


def test_help_runs_as_a_module_without_heavy_imports():
    command = [sys.executable, "-X", "importtime", "-m", "monai_hybridsynth", "prepare", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "--on-invalid" in done.stdout
    assert "| torch" not in done.stderr
