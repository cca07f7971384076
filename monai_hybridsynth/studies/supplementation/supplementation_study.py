"""The study of what synthetic records add: a grid of trainings, each a resumable cell of its own."""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from monai_hybridsynth.data import digest_network, digest_settings
from monai_hybridsynth.studies.supplementation.computing_cost import network_flops
from monai_hybridsynth.studies.supplementation.finding_classifier import (
    ClassifierTraining,
    LabelledImages,
    TrainedClassifier,
)
from monai_hybridsynth.studies.supplementation.study_cells import StudyCell, study_arms, study_cells
from monai_hybridsynth.studies.supplementation.study_cohorts import StudyCohorts
from monai_hybridsynth.studies.supplementation.study_records import StudyRecords
from monai_hybridsynth.studies.supplementation.study_report import write_study_report
from monai_hybridsynth.studies.supplementation.study_results import study_results
from monai_hybridsynth.studies.supplementation.study_scores import StudyScores
from monai_hybridsynth.workflows.encode_cohort import save_text, write_atomically

__all__ = ["SupplementationStudy"]

logger = logging.getLogger(__name__)


class SupplementationStudy:
    """Trains a classifier per cell and compares arms with real records alone, for configs.

    A cell is finished when ``out/cells/<name>.json`` is there and was made from the same data with the same settings.
    Cells share no file that is written, so any scheduler can run them at the same time. A cell that is killed begins
    again and ends with the same bits on the same machine.

    Args:
        cohorts: real, test and synthetic cohorts, checked.
        network: builds a classifier ``(B, C, S, S)`` to ``(B, findings)``; in a config ``"_mode_": "callable"``.
        training: how it is trained.
        out: for cells, ``results.json`` and the report: figures over patients, no patients.
        private: for predictions of test patients; not below ``out``, which may be passed on.
        arms: see :class:`.study_cells.StudyArm`; real records alone are always among them.
        real_percents: shares of the real training patients.
        seeds: each seed draws the shares, the weights and the order anew.
        spatial_size: pixels a side of all images.
        generator_costs: by synthetic cohort, see :func:`.computing_cost.diffusion_cost`.
        num_replicates: bootstrap samples of the test patients.

    Raises:
        ValueError: before any training, if folders overlap, an arm asks for more records than there are, or the
            network does not fit images and findings.
    """

    def __init__(
        self,
        cohorts: StudyCohorts,
        network: Callable[[], nn.Module],
        *,
        training: ClassifierTraining,
        out: str | Path,
        private: str | Path,
        arms: Sequence[Mapping[str, Any]],
        real_percents: Sequence[int] = (25, 50, 100),
        seeds: Sequence[int] = (0, 1, 2),
        spatial_size: int = 64,
        generator_costs: Mapping[str, Mapping[str, float]] | None = None,
        num_replicates: int = 500,
    ) -> None:
        self.cohorts, self.network, self.training = cohorts, network, training
        self.out, self.private = Path(out), Path(private)
        if self.private.resolve().is_relative_to(self.out.resolve()):
            raise ValueError(f"private is {private}, inside {out}, which may be passed on; give a folder elsewhere.")
        self.arms = {arm.name: arm for arm in study_arms(arms, list(cohorts.sources))}
        self.cells = study_cells(list(self.arms.values()), real_percents, seeds)
        self.spatial_size = spatial_size
        self.generator_costs = dict(generator_costs or {})
        self.num_replicates = num_replicates
        self._pixels: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
        for cell in self.cells:
            self._added_rows(cell)
        self._check_network()

    def listing(self) -> str:
        """Return one line per cell: number, state, name."""
        states = ["finished" if self.result(cell) else "left" for cell in self.cells]
        return "\n".join(f"{cell.number}\t{state}\t{cell.name}" for cell, state in zip(self.cells, states, strict=True))

    def run(self) -> None:
        """Run every cell that is left, then write the report."""
        for cell in self.cells:
            self.run_cell(cell.number)
        self.report()

    def run_cell(self, number: int) -> Path:
        """Run one cell unless it is finished, and return its file.

        Args:
            number: as in :meth:`listing`.
        """
        if not 0 <= number < len(self.cells):
            raise ValueError(f"cell {number} is not there; the study has cells 0 to {len(self.cells) - 1}.")
        cell = self.cells[number]
        if self.result(cell):
            logger.info("cell %d is finished: %s", number, cell.name)
            return self._place(cell)
        phases, counts = self._material(cell)
        validation = self._labelled(self.cohorts.real, np.flatnonzero(self.cohorts.aside))
        # Read before the training, so that an image that cannot be read stops it.
        tests = {name: self._labelled(test, np.arange(len(test))) for name, test in self.cohorts.tests.items()}
        trained = self.training.fit(self._built(cell.seed), phases, validation, seed=cell.seed)
        scores = {name: trained.scores(test) for name, test in tests.items()}
        write_atomically(self._predictions(cell), functools.partial(_save, arrays=scores))
        content = {
            "cell": cell.plain(),
            "fingerprint": self.fingerprint(cell),
            "records": counts,
            "training": self._account(trained),
        }
        save_text(self._place(cell), json.dumps(content, indent=1, allow_nan=False) + "\n")
        logger.info("cell %d of %d: %s", number + 1, len(self.cells), cell.name)
        return self._place(cell)

    def result(self, cell: StudyCell) -> dict[str, Any] | None:
        """Return what a cell has written; None where it is left, or was made from other data or settings."""
        if not (self._place(cell).is_file() and self._predictions(cell).is_file()):
            return None
        content = json.loads(self._place(cell).read_text(encoding="utf-8"))
        return content if content["fingerprint"] == self.fingerprint(cell) else None

    def report(self) -> Path:
        """Write ``results.json`` and ``report/index.html`` from the cells that are finished.

        Raises:
            ValueError: if none is.
        """
        finished = {cell.number: content for cell in self.cells if (content := self.result(cell))}
        scores = StudyScores(self.cohorts, num_replicates=self.num_replicates)
        for cell in self.cells:
            if cell.number in finished:
                with np.load(self._predictions(cell), allow_pickle=False) as stored:
                    scores.add(cell, {name: stored[name] for name in stored.files})
        results = study_results(self, finished, scores)
        return write_study_report(self.out, results)

    def fingerprint(self, cell: StudyCell) -> str:
        """Return a SHA-256 of all that decides a cell's result."""
        arm = self.arms[cell.arm]
        settings = {
            "cell": [cell.real_percent, cell.percent, cell.seed, arm.synthetic, arm.real, arm.order],
            "findings": self.cohorts.findings,
            "aside": np.flatnonzero(self.cohorts.aside).tolist(),
            "cohorts": [self._digest("real"), *(self._digest(f"test {name}") for name in self.cohorts.tests)],
            "added": [self._digest(f"source {arm.synthetic}"), self._manifest(arm.synthetic)] if arm.synthetic else [],
            "network": self._network_digest(cell.seed),
            "training": self.training.settings(),
            "spatial_size": self.spatial_size,
        }
        return digest_settings(settings)

    def _manifest(self, source: str) -> Any:
        return self.cohorts.manifests.get(source, {}).get("request_sha256")

    @functools.cache  # noqa: B019  # a study lives as long as its process
    def _digest(self, name: str) -> str:
        kind, _, which = name.partition(" ")
        records = {"real": lambda: self.cohorts.real, "test": lambda: self.cohorts.tests[which]}
        return (records[kind]() if kind in records else self.cohorts.records(which)).fingerprint()

    @functools.cache  # noqa: B019
    def _network_digest(self, seed: int) -> str:
        return digest_network(self._built(seed))

    def _built(self, seed: int) -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return self.network()

    def _check_network(self) -> None:
        images = torch.zeros(2, self.cohorts.channels, self.spatial_size, self.spatial_size)
        network = self._built(0).eval()
        try:
            with torch.no_grad():
                shape = tuple(network(images).shape)
        except RuntimeError as error:
            raise ValueError(f"network does not take images {tuple(images.shape)}: {error}") from error
        if shape != (2, len(self.cohorts.findings)):
            raise ValueError(
                f"network gives {shape} for 2 images; it must give one logit per finding, (2, "
                f"{len(self.cohorts.findings)})."
            )
        self.flops = network_flops(network, images)

    def _added_rows(self, cell: StudyCell) -> np.ndarray:
        arm = self.arms[cell.arm]
        if arm.synthetic is None:
            return np.zeros(0, dtype=int)
        return self.cohorts.added_rows(arm.synthetic, cell.real_percent, cell.percent, seed=cell.seed)

    def _material(self, cell: StudyCell) -> tuple[list[LabelledImages], dict[str, int]]:
        """Return what a cell learns from, phase by phase, and how many records that are."""
        arm = self.arms[cell.arm]
        rows, added = self.cohorts.real_rows(cell.real_percent, seed=cell.seed), self._added_rows(cell)
        real = self._labelled(self.cohorts.real, rows)
        counts = {
            "real": len(rows) if arm.real else 0,
            "real_patients": len(np.unique(self.cohorts.real.patients[rows])) if arm.real else 0,
            "added": len(added),
        }
        if arm.synthetic is None:
            return [real], counts
        other = self._labelled(self.cohorts.records(arm.synthetic), added)
        if arm.order == "pretrain":
            return [other, real], counts
        return [real.joined(other) if arm.real else other], counts

    def _labelled(self, records: StudyRecords, rows: np.ndarray) -> LabelledImages:
        """Return records with images, each file read once in a process."""
        place = str(records.cohort.folder)
        if place not in self._pixels:
            shape = (len(records), self.cohorts.channels, self.spatial_size, self.spatial_size)
            self._pixels[place] = torch.empty(shape, dtype=torch.uint8), torch.zeros(len(records), dtype=torch.bool)
        pixels, known = self._pixels[place]
        missing = [int(row) for row in rows if not known[row]]
        for start in range(0, len(missing), 256):
            block = missing[start : start + 256]
            images = records.images(block, spatial_size=self.spatial_size)
            pixels[block] = LabelledImages.of(images, records.labels[block]).images
            known[block] = True
        return LabelledImages(pixels[torch.as_tensor(rows)], torch.as_tensor(records.labels[rows]).float())

    def _account(self, trained: TrainedClassifier) -> dict[str, Any]:
        forward, step = self.flops
        tested = sum(len(test) for test in self.cohorts.tests.values())
        return {
            "steps": trained.steps,
            "best_steps": trained.best_steps,
            "validation_losses": [float(loss) for loss in trained.losses],
            "seconds": round(trained.seconds, 3),
            "flops": step * trained.images_seen + forward * (trained.images_validated + tested),
        }

    def _place(self, cell: StudyCell) -> Path:
        return self.out / "cells" / f"{cell.name}.json"

    def _predictions(self, cell: StudyCell) -> Path:
        return self.private / "predictions" / f"{cell.name}.npz"


def _save(path: Path, *, arrays: Mapping[str, np.ndarray]) -> None:
    with path.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **arrays)  # type: ignore[arg-type]
