"""A synthetic cohort folder written in blocks, shared out by rank, that goes on after a kill."""

from __future__ import annotations

import functools
import json
import logging
import shutil
from abc import ABC, abstractmethod
from collections.abc import Sized
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from monai_hybridsynth.data import CohortWriter, RecordSchema

from .encode_cohort import save_array, save_text, write_atomically
from .process_rank import barrier, gather_objects, process_rank, world_size

__all__ = ["BlockwiseSynthesis", "package_versions"]

logger = logging.getLogger(__name__)


class BlockwiseSynthesis(ABC):
    """Draws blocks of records and writes them as a cohort folder, with ``run()``; subclasses draw a block.

    The folder appears when it is complete. Until then finished blocks wait in a hidden folder beside it, and the same
    call goes on from them. If ``out`` already holds what is asked for, nothing is done; if it holds another synthetic
    cohort, it is replaced.

    Args:
        dataset: as long as the cohort shall be.
        schema: of the private cohort.
        out: the cohort folder to write.
        seed: of the whole cohort.
        unpaired: break the pairing: every row gets the image of another record.
        block_size: records drawn at a time.
    """

    def __init__(
        self,
        dataset: Sized,
        schema: RecordSchema,
        out: str | Path,
        *,
        seed: int,
        unpaired: bool = False,
        block_size: int = 256,
    ) -> None:
        if block_size < 1:
            raise ValueError(f"block_size is {block_size}; give a positive number of records.")
        if unpaired and len(dataset) < 2:
            raise ValueError("one record alone cannot be unpaired; ask for at least two.")
        self.dataset: Any = dataset
        self.schema = schema
        self.out = Path(out)
        self.seed = seed
        self.unpaired = unpaired
        self.block_size = block_size

    @abstractmethod
    def manifest(self) -> dict[str, Any]:
        """Return what the cohort says of itself, with ``request_sha256``, which two equal requests share."""

    @abstractmethod
    def draw_block(self, number: int) -> tuple[pd.DataFrame, np.ndarray, Any]:
        """Return clinical columns, uint8 images ``(N, C, S, S)`` and a JSON note; N may exceed what is still wanted."""

    def closing(self, notes: list[Any]) -> dict[str, Any]:
        """Return what the manifest says of the notes of all blocks."""
        return {}

    def run(self) -> Path:
        """Write the cohort, or what is still missing of it."""
        manifest = self.manifest()
        partial = self.out.with_name(f".{self.out.name}.partial")
        if gather_objects(self._is_finished(manifest))[0]:
            logger.info("%s already holds this cohort", self.out)
            return self.out
        if process_rank() == 0:
            _start_partial(partial, manifest["request_sha256"])
        barrier()
        self._draw_blocks(partial)
        barrier()
        if process_rank() == 0:
            self._finish(partial, manifest)
        barrier()
        return self.out

    def _draw_blocks(self, partial: Path) -> None:
        """Draw this rank's share of the blocks that are not there yet."""
        starts = range(0, len(self.dataset), self.block_size)
        for number in range(process_rank(), len(starts), world_size()):
            if (partial / f"{number}.npy").is_file():
                continue
            records, images, note = self.draw_block(number)
            count = min(self.block_size, len(self.dataset) - starts[number])
            rows = records.iloc[:count]
            write_atomically(partial / f"{number}.parquet", functools.partial(rows.to_parquet, index=False))
            save_text(partial / f"{number}.json", json.dumps(note))
            # The images come last: a block without them counts as missing.
            save_array(partial / f"{number}.npy", images[:count])
            logger.info("drew records %d to %d of %d", starts[number] + 1, starts[number] + count, len(self.dataset))

    def _finish(self, partial: Path, manifest: dict[str, Any]) -> None:
        """Write the cohort from its blocks and put it in its place."""
        shutil.rmtree(partial / "cohort", ignore_errors=True)
        partners = _partners(len(self.dataset), self.seed) if self.unpaired else np.arange(len(self.dataset))
        notes = []
        with CohortWriter(partial / "cohort", self.schema) as writer:
            for start in range(0, len(self.dataset), self.block_size):
                rows = pd.read_parquet(partial / f"{start // self.block_size}.parquet")
                notes.append(json.loads((partial / f"{start // self.block_size}.json").read_text(encoding="utf-8")))
                images = self._images_of(partial, partners[start : start + len(rows)])
                writer.append(rows, images)
            writer.close({**manifest, **self.closing(notes)})
        if self.out.exists():
            shutil.rmtree(partial / "replaced", ignore_errors=True)
            self.out.replace(partial / "replaced")
        (partial / "cohort").replace(self.out)
        shutil.rmtree(partial)

    def _images_of(self, partial: Path, wanted: np.ndarray) -> np.ndarray:
        """Return the images of the records numbered ``wanted``, whichever blocks they are in."""
        images: np.ndarray | None = None
        blocks = wanted // self.block_size
        for number in np.unique(blocks):
            stored = np.load(partial / f"{number}.npy", mmap_mode="r", allow_pickle=False)
            if images is None:
                images = np.empty((len(wanted), *stored.shape[1:]), dtype=np.uint8)
            chosen = blocks == number
            images[chosen] = stored[wanted[chosen] - number * self.block_size]
        assert images is not None
        return images

    def _is_finished(self, manifest: dict[str, Any]) -> bool:
        """Return whether ``out`` holds this cohort; refuse to replace what is no synthetic cohort."""
        if not self.out.exists() or (self.out.is_dir() and not any(self.out.iterdir())):
            return False
        try:
            found = json.loads((self.out / "manifest.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            found = {}
        if not found.get("synthetic"):
            raise FileExistsError(f"{self.out} is no synthetic cohort and will not be replaced; give another folder.")
        return found.get("request_sha256") == manifest["request_sha256"]


def package_versions(*names: str) -> dict[str, str | None]:
    """Return the installed version of each package, None for one that is not installed."""
    return {name: _version(name) for name in names}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _start_partial(partial: Path, request: str) -> None:
    """Keep the blocks of the same request, clear away those of another."""
    marker = partial / "request"
    if partial.is_dir() and not (marker.is_file() and marker.read_text(encoding="utf-8") == request):
        shutil.rmtree(partial)
    partial.mkdir(parents=True, exist_ok=True)
    save_text(marker, request)


def _partners(count: int, seed: int) -> np.ndarray:
    """Return a permutation of one single cycle (Sattolo 1986), so that no record keeps its own image."""
    rng = np.random.default_rng([seed, count])
    partners = np.arange(count)
    for last in range(count - 1, 0, -1):
        other = rng.integers(last)
        partners[last], partners[other] = partners[other], partners[last]
    return partners
