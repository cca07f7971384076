"""An evaluation killed in the middle of its stages goes on, and ends with the figures of one that was left in peace."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest

from monai_hybridsynth.evaluation import cohort_evaluation, evaluate_cohorts
from monai_hybridsynth.evaluation.findings import FinishedStages

SETTINGS = {"spatial_size": 16, "num_replicates": 10, "seed": 3}
# A few stages are enough to be killed in, and quick.
STAGES = ("correspondence", "fidelity", "record fidelity", "privacy", "copies")
SCRIPT = f"""
import json, sys
from monai_hybridsynth.evaluation import cohort_evaluation as module
every = module._stages
module._stages = lambda **settings: {{name: every(**settings)[name] for name in {STAGES}}}
module.evaluate_cohorts(*sys.argv[1:5], **json.loads(sys.argv[5]))
"""
# The note of a finished stage: the kill falls into the one that comes after it.
FINISHED = ("embed", "correspondence", "fidelity")
PATIENCE = 240.0


def figures(document):
    return {key: value for key, value in document.items() if key != "seconds"}


@pytest.mark.slow
def test_killed_three_times_it_ends_with_the_same_figures(folders, tmp_path, monkeypatch):
    every = cohort_evaluation._stages
    monkeypatch.setattr(cohort_evaluation, "_stages", lambda **given: {name: every(**given)[name] for name in STAGES})
    roles = [str(folders[name]) for name in ("train", "holdout", "honest")]
    peace = evaluate_cohorts(*roles, tmp_path / "peace", **SETTINGS)
    assert not (tmp_path / "peace" / ".unfinished").exists()
    out = tmp_path / "killed"
    notes = out / ".unfinished"
    for stage in FINISHED:
        arguments = [sys.executable, "-c", SCRIPT, *roles, str(out), json.dumps(SETTINGS)]
        process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE
        while not [note for note in notes.glob(f"{stage}-*") if note.suffix != ".part"]:
            assert process.poll() is None, f"it ended before {stage} was noted"
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert not (out / "metrics.json").exists()
    kept = {note.name: note.stat().st_mtime_ns for note in notes.iterdir() if note.suffix != ".part"}
    at_the_end = {}

    def remember(finished):
        at_the_end.update({note.name: note.stat().st_mtime_ns for note in finished.folder.iterdir()})
        remove(finished)

    remove = FinishedStages.remove
    monkeypatch.setattr(FinishedStages, "remove", remember)
    resumed = evaluate_cohorts(*roles, out, **SETTINGS)
    assert kept.items() <= at_the_end.items(), "a finished stage was done again"
    assert figures(resumed) == figures(peace)
    assert figures(json.loads((out / "metrics.json").read_text())) == figures(peace)
    assert not notes.exists()
