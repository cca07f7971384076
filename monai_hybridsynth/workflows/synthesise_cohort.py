"""Synthesizer and generator to a cohort folder: sample, decode and write in blocks, and go on after a kill."""

from __future__ import annotations

import functools
import json
import logging
import shutil
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from monai.inferers import SimpleInferer
from monai.networks.utils import eval_mode
from torch import nn

from monai_hybridsynth.data import (
    CohortWriter,
    RecordSchema,
    digest_folder,
    digest_network,
    digest_settings,
    digest_sources,
)
from monai_hybridsynth.fusion import RecordSynthesizer, latent_columns, load_synthesizer

from .copy_detector import as_pixels
from .copy_filter import CopyFilter, refuse_with_epsilon
from .encode_cohort import save_array, write_atomically
from .process_rank import barrier, gather_objects, process_rank, world_size
from .published_schema import set_aside
from .record_requests import RecordRequests

__all__ = ["CohortSynthesis", "synthesise_cohort"]

logger = logging.getLogger(__name__)
_PACKAGES = ("monai-hybridsynth", "monai", "torch", "ctgan", "pandas", "numpy", "safetensors")


def synthesise_cohort(
    artifact: str | Path,
    generator: nn.Module,
    schema: RecordSchema,
    out: str | Path,
    *,
    num_records: int | None,
    conditions: Mapping[str, Any] | pd.DataFrame | str | Path | None = None,
    balance: str | None = None,
    seed: int,
    unpaired: bool = False,
    block_size: int = 256,
    inferer: Callable[..., Any] | None = None,
    device: str | torch.device = "cpu",
    provenance: Mapping[str, Any] | None = None,
    copy_filter: CopyFilter | None = None,
) -> Path:
    """Draw records, decode their latents to images and write them as a synthetic cohort folder.

    The folder appears when it is complete. Until then finished blocks wait in a hidden folder beside it, and the same
    call goes on from them. If ``out`` already holds what is asked for, nothing is done; if it holds another synthetic
    cohort, it is replaced.

    Args:
        artifact: folder of a fitted synthesizer.
        generator: network, latents ``(B, latent_dim)`` to images ``(B, C, S, S)`` in [-1, 1].
        schema: of the cohort the synthesizer was fitted on.
        out: the cohort folder to write.
        num_records: how many; None takes one per row of a table of conditions.
        conditions: fixed columns, see `RecordRequests`.
        balance: a column of which all categories shall be as frequent, see `RecordRequests`.
        seed: of the whole cohort; its first records do not depend on ``num_records``.
        unpaired: break the pairing: every row gets the image of another record, as in the benchmark of Kikuchi 2023.
        block_size: records drawn and decoded at a time. Memory grows with it, not with ``num_records``; it belongs to
            the seed, since every block has its own.
        inferer: MONAI inferer called as ``inferer(latents, generator)``; `SimpleInferer` unless given.
        device: where the generator runs.
        provenance: names, versions and digests that the manifest repeats, e.g. of the bundle.
        copy_filter: rejects copies of training patients, which are then drawn again within their block, so that still
            no record depends on ``num_records``. The manifest says how many.

    Returns:
        The folder ``out``.

    Raises:
        FileExistsError: if ``out`` holds something that is no synthetic cohort.
        ValueError: if the records have no latents, the generator does not fit them, or a filter meets an artifact that
            states an epsilon.
        RuntimeError: if records are still copies after the filter's last round.
    """
    requests = RecordRequests(num_records, schema, conditions=conditions, balance=balance)
    synthesis = CohortSynthesis(
        requests,
        artifact,
        generator,
        schema,
        out,
        seed=seed,
        unpaired=unpaired,
        block_size=block_size,
        inferer=inferer,
        device=device,
        provenance=provenance,
        copy_filter=copy_filter,
    )
    return synthesis.run()


class CohortSynthesis:
    """`synthesise_cohort` as an object with ``run()``, for configs; ``dataset`` says which records are asked for."""

    def __init__(
        self,
        dataset: RecordRequests,
        artifact: str | Path,
        generator: nn.Module,
        schema: RecordSchema,
        out: str | Path,
        *,
        seed: int,
        unpaired: bool = False,
        block_size: int = 256,
        inferer: Callable[..., Any] | None = None,
        device: str | torch.device = "cpu",
        provenance: Mapping[str, Any] | None = None,
        copy_filter: CopyFilter | None = None,
    ) -> None:
        if block_size < 1:
            raise ValueError(f"block_size is {block_size}; give a positive number of records.")
        if unpaired and len(dataset) < 2:
            raise ValueError("one record alone cannot be unpaired; ask for at least two.")
        self.dataset = dataset
        self.artifact = Path(artifact)
        self.generator = generator
        self.schema = schema
        self.out = Path(out)
        self.seed = seed
        self.unpaired = unpaired
        self.block_size = block_size
        self.inferer = inferer or SimpleInferer()
        self.device = torch.device(device)
        self.provenance = dict(provenance or {})
        self.copy_filter = copy_filter

    def run(self) -> Path:
        """Write the cohort, or what is still missing of it."""
        if self.copy_filter is not None:
            refuse_with_epsilon(self.artifact)
        manifest = self._manifest()
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
        missing = [n for n in range(process_rank(), len(starts), world_size()) if not (partial / f"{n}.npy").is_file()]
        if not missing:
            return
        synthesizer = load_synthesizer(self.artifact)
        generator = self.generator.to(self.device)
        for number in missing:
            records, images, rejected = self._draw_block(synthesizer, generator, number)
            count = min(self.block_size, len(self.dataset) - starts[number])
            rows = records.iloc[:count]
            write_atomically(partial / f"{number}.parquet", functools.partial(rows.to_parquet, index=False))
            if self.copy_filter is not None:
                counted = json.dumps(int(rejected[:count].sum()))
                write_atomically(partial / f"{number}.rejected", functools.partial(_write_text, text=counted))
            # The images come last: a block without them counts as missing.
            save_array(partial / f"{number}.npy", images[:count])
            logger.info("drew records %d to %d of %d", starts[number] + 1, starts[number] + count, len(self.dataset))

    def _draw_block(
        self, synthesizer: RecordSynthesizer, generator: nn.Module, number: int
    ) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
        """Return clinical columns, uint8 images ``(block_size, C, S, S)`` and rejections ``(block_size,)`` of a block.

        A block is always drawn whole, also where fewer records are wanted: so it does not depend on their number.
        """
        conditions = self.dataset.block(number * self.block_size, self.block_size)

        def draw(positions: np.ndarray, attempt: int) -> tuple[pd.DataFrame, np.ndarray]:
            fixed = conditions
            if isinstance(conditions, pd.DataFrame):
                fixed = conditions.iloc[positions].reset_index(drop=True)
            entropy = [self.seed, number, attempt] if attempt else [self.seed, number]
            seed = int(np.random.SeedSequence(entropy).generate_state(1)[0])
            return self._decoded(self.dataset.draw(synthesizer, len(positions), conditions=fixed, seed=seed), generator)

        if self.copy_filter is None:
            return *draw(np.arange(self.block_size), 0), np.zeros(self.block_size, dtype=int)
        return self.copy_filter.without_copies(draw, self.block_size)

    def _decoded(self, records: pd.DataFrame, generator: nn.Module) -> tuple[pd.DataFrame, np.ndarray]:
        """Return clinical columns, and the images behind the latents."""
        names = latent_columns(records)
        if not names:
            raise ValueError("the records have no latent columns; fit the synthesizer on a latent table.")
        latents = torch.from_numpy(np.array(records[names], dtype=np.float32)).to(self.device)
        with eval_mode(generator):
            images = self.inferer(latents, generator).float().cpu()
        if images.ndim != 4 or len(images) != len(latents) or not torch.isfinite(images).all():
            raise ValueError(
                f"the generator gave shape {tuple(images.shape)} for {len(latents)} records, or values that are not "
                "finite; it must return images (B, C, S, S) in [-1, 1]."
            )
        return records.drop(columns=names), as_pixels(images)

    def _finish(self, partial: Path, manifest: dict[str, Any]) -> None:
        """Write the cohort from its blocks and put it in its place."""
        shutil.rmtree(partial / "cohort", ignore_errors=True)
        partners = _partners(len(self.dataset), self.seed) if self.unpaired else np.arange(len(self.dataset))
        with CohortWriter(partial / "cohort", self.schema) as writer:
            for start in range(0, len(self.dataset), self.block_size):
                rows = pd.read_parquet(partial / f"{start // self.block_size}.parquet")
                images = self._images_of(partial, partners[start : start + len(rows)])
                writer.append(rows, images)
            writer.close({**manifest, "copy_filter": self._filtered(partial)})
        if self.out.exists():
            shutil.rmtree(partial / "replaced", ignore_errors=True)
            self.out.replace(partial / "replaced")
        (partial / "cohort").replace(self.out)
        shutil.rmtree(partial)

    def _filtered(self, partial: Path) -> dict[str, Any] | None:
        """Return what the manifest says of the copy filter, None without one."""
        if self.copy_filter is None:
            return None
        blocks = range(-(-len(self.dataset) // self.block_size))
        rejected = sum(json.loads((partial / f"{number}.rejected").read_text(encoding="utf-8")) for number in blocks)
        return {**self.copy_filter.describe(), "rejected": rejected}

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

    def _manifest(self) -> dict[str, Any]:
        """Return what the cohort says of itself; it names no patient, file or date of the private cohort."""
        conditions = self.dataset.describe()
        written = self.artifact / "exclusions.json"
        excluded = json.loads(written.read_text(encoding="utf-8")) if written.is_file() else set_aside(self.schema)
        manifest = {
            "seed": self.seed,
            "paired": not self.unpaired,
            "block_size": self.block_size,
            "fixed_columns": self.dataset.fixed_columns,
            "balanced": None if self.dataset.balance is None else self.dataset.balance.describe(len(self.dataset)),
            "generator": {"name": type(self.generator).__name__, "sha256": digest_network(self.generator)},
            "artifact": {"sha256": digest_folder(self.artifact)},
            "packages": {name: _version(name) for name in _PACKAGES},
            "code_sha256": digest_sources(),
            "exclusions": excluded,
            **self.provenance,
        }
        filtered = None if self.copy_filter is None else self.copy_filter.request()
        asked = {
            **manifest,
            "copy_filter": filtered,
            "conditions": conditions,
            "records": len(self.dataset),
            "schema": self.schema.to_dict(),
        }
        return {**manifest, "request_sha256": digest_settings(asked)}


def _start_partial(partial: Path, request: str) -> None:
    """Keep the blocks of the same request, clear away those of another."""
    marker = partial / "request"
    if partial.is_dir() and not (marker.is_file() and marker.read_text(encoding="utf-8") == request):
        shutil.rmtree(partial)
    partial.mkdir(parents=True, exist_ok=True)
    write_atomically(marker, lambda path: path.write_text(request, encoding="utf-8"))


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _partners(count: int, seed: int) -> np.ndarray:
    """Return a permutation of one single cycle (Sattolo 1986), so that no record keeps its own image."""
    rng = np.random.default_rng([seed, count])
    partners = np.arange(count)
    for last in range(count - 1, 0, -1):
        other = rng.integers(last)
        partners[last], partners[other] = partners[other], partners[last]
    return partners


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
