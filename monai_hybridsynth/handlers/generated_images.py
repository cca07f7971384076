"""Write what an evaluator generates, as files in the order of its dataset."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from ignite.engine import Engine, Events
from PIL import Image

__all__ = ["GeneratedImages"]


class GeneratedImages:
    """Writes each ``pred`` as ``000000.png`` and so on: 8-bit grey, or ``.npy`` when not one 2-D channel.

    Args:
        folder: where the files go; files of the same name are replaced.
        key: entry of the evaluator's output to write, ``(C, S, S[, S])`` in [-1, 1].
    """

    def __init__(self, folder: str | Path, *, key: str = "pred") -> None:
        self.folder = Path(folder)
        self.key = key
        self._written = 0

    def attach(self, engine: Engine) -> None:
        """Count from zero when ``engine`` starts; write after every iteration."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def _start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._written = 0

    def __call__(self, engine: Engine) -> None:
        """Write the images of this batch."""
        for item in engine.state.output:
            image = torch.as_tensor(item[self.key]).float().clamp(-1, 1)
            pixels = ((image + 1) * 127.5).round().to(torch.uint8).cpu().numpy()
            name = self.folder / f"{self._written:06d}"
            if pixels.shape[0] == 1 and pixels.ndim == 3:
                Image.fromarray(pixels[0]).save(name.with_suffix(".png"))
            else:
                np.save(name.with_suffix(".npy"), pixels, allow_pickle=False)
            self._written += 1
