"""Save and resume a whole training, so that SIGKILL at any moment costs at most one epoch and changes no bit."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import distributed, nn

__all__ = ["TrainingCheckpoint"]

_PROGRESS = ("epoch", "iteration", "best_metric", "best_metric_epoch", "metrics")


class TrainingCheckpoint:
    """Writes the state of all given objects after epochs, and restores the newest one when training starts.

    MONAI's ``CheckpointSaver`` writes in place, so a kill while it writes leaves a broken file; this handler writes
    beside and renames. Files hold tensors and plain values only and are read with ``weights_only=True``.

    Args:
        folder: where ``checkpoint.pt`` lies; kept outside any tree that a build cleans.
        objects: name -> object with ``state_dict`` and ``load_state_dict``, or an ignite ``Engine``, whose epoch and
            best metric are kept.
        fingerprint: what the training reads, e.g. a hash of its file list; a checkpoint of other data is refused.
        interval: epochs between two checkpoints; the last epoch is always written.
        resume: restore ``checkpoint.pt`` if there is one. False starts anew and overwrites it.
        best: optional pair of an evaluator and a network: the network's weights are written to
            ``best.pt`` whenever the evaluator's key metric is the best so far.
        finish_with_best: whether the network has the weights of ``best.pt`` when training completes, so that handlers
            attached after this one export them. ``checkpoint.pt`` keeps the last ones, and a longer training goes on
            from those.

    Raises:
        ValueError: on start, if the checkpoint does not fit the objects.
    """

    def __init__(
        self,
        folder: str | Path,
        objects: Mapping[str, Any],
        *,
        interval: int = 1,
        resume: bool = True,
        fingerprint: str = "",
        best: tuple[Engine, nn.Module] | None = None,
        finish_with_best: bool = False,
    ) -> None:
        if finish_with_best and best is None:
            raise ValueError("finish_with_best is true, but best is None; give the evaluator and the network.")
        self.folder = Path(folder)
        self.objects = dict(objects)
        self.interval = interval
        self.resume = resume
        self.fingerprint = fingerprint
        self.best = best
        self.finish_with_best = finish_with_best
        self.logger = logging.getLogger(type(self).__name__)

    @property
    def path(self) -> Path:
        """The checkpoint file."""
        return self.folder / "checkpoint.pt"

    def attach(self, engine: Engine) -> None:
        """Restore when ``engine`` starts; save when its epochs end, after the handlers attached before this one."""
        engine.add_event_handler(Events.STARTED, self._restore)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._save)
        if self.finish_with_best:
            engine.add_event_handler(Events.COMPLETED, self._take_best)

    def _restore(self, engine: Engine) -> None:
        if not (self.resume and self.path.exists()):
            return
        checkpoint = torch.load(self.path, map_location="cpu", weights_only=True)
        if checkpoint["fingerprint"] != self.fingerprint:
            raise ValueError(
                f"{self.path} was written by a training on other data or another split; "
                "choose another folder, or set resume to false to start anew and overwrite it."
            )
        missing = sorted(set(self.objects) ^ set(checkpoint["objects"]))
        if missing:
            raise ValueError(
                f"{self.path} and this training differ in {missing}; "
                "train with the configuration that wrote it, or set resume to false to start anew."
            )
        max_epochs = engine.state.max_epochs
        for name, target in self.objects.items():
            state = checkpoint["objects"][name]
            try:
                _restore_engine(target, state) if isinstance(target, Engine) else target.load_state_dict(state)
            except (RuntimeError, ValueError, KeyError) as error:
                raise ValueError(
                    f"{self.path} does not fit {name!r}: {error}; train with the configuration that wrote it, "
                    "choose another folder, or set resume to false to start anew."
                ) from error
        torch.set_rng_state(checkpoint["rng"]["cpu"])
        if torch.cuda.is_available() and "cuda" in checkpoint["rng"]:
            torch.cuda.set_rng_state_all(checkpoint["rng"]["cuda"])
        engine.state.max_epochs = max_epochs
        if checkpoint["stopped"]:
            engine.terminate()  # it had stopped early: the same command finds nothing left to do
        self.logger.info(f"resumed after epoch {engine.state.epoch} from {self.path}")

    def _save(self, engine: Engine) -> None:
        if distributed.is_initialized() and distributed.get_rank() != 0:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        last = engine.state.epoch == engine.state.max_epochs or engine.should_terminate
        if engine.state.epoch % self.interval == 0 or last:
            rng: dict[str, Any] = {"cpu": torch.get_rng_state()}
            if torch.cuda.is_available():
                rng["cuda"] = torch.cuda.get_rng_state_all()
            states = {
                name: _engine_progress(target) if isinstance(target, Engine) else dict(target.state_dict())
                for name, target in self.objects.items()
            }
            stopped = bool(engine.should_terminate)
            content = {"objects": states, "rng": rng, "stopped": stopped, "fingerprint": self.fingerprint}
            _write(self.path, content)
        if self.best is not None:
            evaluator, network = self.best
            if evaluator.state.best_metric_epoch == engine.state.epoch:
                _write(self.folder / "best.pt", network.state_dict())

    def _take_best(self, engine: Engine) -> None:
        """Give the network the weights of the best epoch; the processes that export nothing keep theirs."""
        path = self.folder / "best.pt"
        if self.best is None or not path.exists() or (distributed.is_initialized() and distributed.get_rank() != 0):
            return
        self.best[1].load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        self.logger.info(f"took the weights of the best epoch, {self.best[0].state.best_metric_epoch}, from {path}")


def _engine_progress(engine: Engine) -> dict[str, Any]:
    """Where an engine stands, as plain values."""
    progress = {name: getattr(engine.state, name, None) for name in _PROGRESS}
    progress["metrics"] = {name: float(value) for name, value in (progress["metrics"] or {}).items()}
    if progress["best_metric"] is not None:
        progress["best_metric"] = float(progress["best_metric"])
    return progress


def _restore_engine(engine: Engine, progress: Mapping[str, Any]) -> None:
    for name in _PROGRESS:
        setattr(engine.state, name, progress[name])


def _write(path: Path, content: Mapping[str, Any]) -> None:
    """Write completely or not at all."""
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
