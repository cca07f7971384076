"""Synthesizer and generator to a cohort folder: sample, and decode to images."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from monai.inferers import SimpleInferer
from monai.networks.utils import eval_mode
from torch import nn

from monai_hybridsynth.data import (
    RecordSchema,
    digest_folder,
    digest_network,
    digest_settings,
    digest_sources,
)
from monai_hybridsynth.fusion import RecordSynthesizer, latent_columns, load_synthesizer

from .blockwise_synthesis import BlockwiseSynthesis, package_versions
from .copy_detector import as_pixels
from .copy_filter import CopyFilter, refuse_with_epsilon
from .published_schema import set_aside
from .record_requests import RecordRequests

__all__ = ["CohortSynthesis", "stated_privacy", "synthesise_cohort"]

# Images of a forward pass; the fastest on one core.
DECODED = 64
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
    block_size: int = 1024,
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
        block_size: records drawn at a time. Memory grows with it, not with ``num_records``; it belongs to the seed,
            since every block has its own. Its records are drawn together (see `ImageGivenRow`), of which a cohort that
            is much smaller than a block has little: give the number of records then.
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


class CohortSynthesis(BlockwiseSynthesis):
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
        block_size: int = 1024,
        inferer: Callable[..., Any] | None = None,
        device: str | torch.device = "cpu",
        provenance: Mapping[str, Any] | None = None,
        copy_filter: CopyFilter | None = None,
    ) -> None:
        super().__init__(dataset, schema, out, seed=seed, unpaired=unpaired, block_size=block_size)
        self.artifact = Path(artifact)
        self.generator = generator
        self.inferer = inferer or SimpleInferer()
        self.device = torch.device(device)
        self.provenance = dict(provenance or {})
        self.copy_filter = copy_filter
        self._synthesizer: RecordSynthesizer | None = None

    def run(self) -> Path:
        """Write the cohort, or what is still missing of it."""
        if self.copy_filter is not None:
            refuse_with_epsilon(self.artifact)
        return super().run()

    def draw_block(self, number: int) -> tuple[pd.DataFrame, np.ndarray, int]:
        """Return clinical columns, uint8 images ``(N, C, S, S)`` and the number of rejections of a block.

        Rows and latents of a block are always drawn whole, also where fewer records are wanted: so they do not depend
        on their number. Only the images of wanted records are decoded, and those that share a forward pass with them;
        with a copy filter all, since what is drawn again depends on all that were rejected.
        """
        if self._synthesizer is None:
            self._synthesizer = load_synthesizer(self.artifact)
        synthesizer, generator = self._synthesizer, self.generator.to(self.device)
        conditions = self.dataset.block(number * self.block_size, self.block_size)
        wanted = len(self.dataset) - number * self.block_size
        decoded = math.ceil(wanted / DECODED) * DECODED

        def draw(positions: np.ndarray, attempt: int) -> tuple[pd.DataFrame, np.ndarray]:
            whole = np.arange(self.block_size) if attempt == 0 else positions
            fixed = conditions
            if isinstance(conditions, pd.DataFrame):
                fixed = conditions.iloc[whole].reset_index(drop=True)
            entropy = [self.seed, number, attempt] if attempt else [self.seed, number]
            seed = int(np.random.SeedSequence(entropy).generate_state(1)[0])
            records = self.dataset.draw(synthesizer, len(whole), conditions=fixed, seed=seed)
            return self._decoded(records.iloc[: len(positions)], generator)

        if self.copy_filter is None:
            return *draw(np.arange(min(self.block_size, decoded)), 0), 0
        records, images, rejected = self.copy_filter.without_copies(draw, self.block_size)
        return records, images, int(rejected[:wanted].sum())

    def _decoded(self, records: pd.DataFrame, generator: nn.Module) -> tuple[pd.DataFrame, np.ndarray]:
        """Return clinical columns, and the images behind the latents."""
        names = latent_columns(records)
        if not names:
            raise ValueError("the records have no latent columns; fit the synthesizer on a latent table.")
        latents = torch.from_numpy(np.array(records[names], dtype=np.float32))
        with eval_mode(generator):
            parts = [self._images(part.to(self.device), generator) for part in latents.split(DECODED)]
        return records.drop(columns=names), np.concatenate(parts)

    def _images(self, latents: torch.Tensor, generator: nn.Module) -> np.ndarray:
        """Return uint8 images ``(B, C, S, S)`` of latents ``(B, latent_dim)``."""
        images = self.inferer(latents, generator).float().cpu()
        if images.ndim != 4 or len(images) != len(latents) or not torch.isfinite(images).all():
            raise ValueError(
                f"the generator gave shape {tuple(images.shape)} for {len(latents)} records, or values that are not "
                "finite; it must return images (B, C, S, S) in [-1, 1]."
            )
        return as_pixels(images)

    def closing(self, notes: list[int]) -> dict[str, Any]:
        """Return what the manifest says of the copy filter, None without one."""
        if self.copy_filter is None:
            return {"copy_filter": None}
        return {"copy_filter": {**self.copy_filter.describe(), "rejected": sum(notes)}}

    def manifest(self) -> dict[str, Any]:
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
            "differential_privacy": stated_privacy(self.artifact),
            "packages": package_versions(*_PACKAGES),
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


def stated_privacy(artifact: str | Path) -> dict[str, Any] | None:
    """Return what an artifact states of its differential privacy; None where it was fitted without."""
    written = Path(artifact) / "synthesizer.json"
    return json.loads(written.read_text(encoding="utf-8")).get("privacy") if written.is_file() else None
