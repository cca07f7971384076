"""What one stage of the evaluation found, and the notes from which an interrupted evaluation goes on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from monai_hybridsynth.data import digest_settings
from monai_hybridsynth.evaluation.metric_record import MetricRecord

__all__ = ["FinishedStages", "Findings"]


@dataclass(frozen=True)
class Findings:
    """Results of one stage on one synthetic cohort.

    Attributes:
        metrics: lines of metrics.json.
        drawings: by name, what the report draws beside them, as JSON values: curves, coordinates, and row numbers of
            records that are shown. Never in metrics.json.
    """

    metrics: Sequence[MetricRecord]
    drawings: Mapping[str, Any] = field(default_factory=dict)


class FinishedStages:
    """Notes of finished stages in a folder that the evaluation removes when it is done.

    A stage is taken from its note only when the same code judged the same files with the same settings.

    Args:
        folder: where the notes lie; created when the first is written.
        settings: JSON values that decide every stage's result (digests of the cohorts, seed, sizes, code).
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.folder, self.settings = folder, dict(settings)

    def once(self, stage: str, cohort: Mapping[str, Any], work: Callable[[], Findings]) -> Findings:
        """Return the stage's findings, from its note if there is one, else by doing the work and noting it.

        Args:
            stage: its name.
            cohort: JSON values that tell the judged cohort from others.
            work: computes the findings.
        """
        note = self._note(stage, cohort, ".json")
        if note.is_file():
            content = json.loads(note.read_text(encoding="utf-8"))
            return Findings([MetricRecord(**record) for record in content["metrics"]], content["drawings"])
        found = work()
        content = {"metrics": [asdict(record) for record in found.metrics], "drawings": dict(found.drawings)}
        with self._draft(note) as stream:
            stream.write(json.dumps(content, ensure_ascii=False, allow_nan=False).encode())
        return found

    def arrays_once(
        self, stage: str, cohort: Mapping[str, Any], work: Callable[[], Mapping[str, np.ndarray]]
    ) -> dict[str, np.ndarray]:
        """Return named arrays like :meth:`once` does findings; they are kept without pickle."""
        note = self._note(stage, cohort, ".npz")
        if note.is_file():
            with np.load(note, allow_pickle=False) as stored:
                return {name: stored[name] for name in stored.files}
        arrays = dict(work())
        with self._draft(note) as stream:
            np.savez(stream, allow_pickle=False, **arrays)
        return arrays

    def _note(self, stage: str, cohort: Mapping[str, Any], suffix: str) -> Path:
        return self.folder / f"{stage}-{digest_settings([self.settings, stage, dict(cohort)])[:16]}{suffix}"

    @contextmanager
    def _draft(self, note: Path) -> Iterator[BinaryIO]:
        """Give a file to write, which becomes the note when it is complete."""
        self.folder.mkdir(parents=True, exist_ok=True)
        draft = note.with_suffix(".part")
        with draft.open("wb") as stream:
            yield stream
        draft.replace(note)

    def remove(self) -> None:
        """Remove the notes: they hold what was computed from patients."""
        shutil.rmtree(self.folder, ignore_errors=True)
