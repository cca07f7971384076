"""Write trained networks as files that anyone can load without running code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from ignite.engine import Engine, Events
from safetensors.torch import save_file
from torch import distributed, nn

__all__ = ["WeightExport"]


class WeightExport:
    """Writes ``NAME.pt`` (loads with ``weights_only=True``) and ``NAME.safetensors`` for each network.

    Both hold the state dict alone: no optimiser, no epoch, nothing of the training data.

    Args:
        networks: file name without ending -> network.
        folder: where the files go; made if missing.
        interval: epochs between two exports; the end of the training always exports.
        metadata: texts for the header of the safetensors files, which can be read without loading a tensor.
    """

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        folder: str | Path,
        *,
        interval: int | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        self.networks = dict(networks)
        self.folder = Path(folder)
        self.interval = interval
        self.metadata = None if metadata is None else dict(metadata)

    def attach(self, engine: Engine) -> None:
        """Export when ``engine`` completes, and every ``interval`` epochs."""
        engine.add_event_handler(Events.COMPLETED, self)
        if self.interval is not None:
            engine.add_event_handler(Events.EPOCH_COMPLETED(every=self.interval), self)

    def __call__(self, engine: Engine | None = None) -> None:
        """Write the files."""
        if distributed.is_initialized() and distributed.get_rank() != 0:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, network in self.networks.items():
            state = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
            torch.save(state, self.folder / f"{name}.pt")
            save_file(state, self.folder / f"{name}.safetensors", metadata=self.metadata)
            (self.folder / f"{name}.safetensors").chmod(0o644)  # safetensors writes files that only the owner may read
