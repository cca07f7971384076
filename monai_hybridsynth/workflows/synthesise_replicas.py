"""Synthetic replicas of a cohort's rows: each row again, with images drawn for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.data import Dataset

from monai_hybridsynth.data import Cohort, digest_network, digest_settings, digest_sources
from monai_hybridsynth.inferers import GuidedDiffusionInferer, record_noise
from monai_hybridsynth.transforms import RecordCondition, unlearned_values

from .blockwise_synthesis import BlockwiseSynthesis, package_versions
from .copy_detector import as_pixels
from .published_schema import published_schema, set_aside
from .record_requests import RecordRequests

__all__ = ["ReplicaRequests", "ReplicaSynthesis"]

_PACKAGES = ("monai-hybridsynth", "monai", "torch", "diffusers", "pandas", "numpy")


class ReplicaRequests(Dataset):
    """The replicas to draw: all rows once, then all rows again, and so on.

    Record ``n`` is replica ``n // rows`` of row ``n % rows``, so the first ``k * rows`` records supplement a cohort by
    ``k`` times its size.

    Args:
        cohort: whose rows are repeated; for a study only training rows, since a replica belongs to its row's fold.
        replicas: images per row.
        rows: numbers of the cohort's rows; all when None. A row's images do not depend on which others are drawn.
        conditions: columns with the same value in every row, e.g. ``{"sex": "F"}``, in place of the cohort's.

    Raises:
        ValueError: if there is nothing to draw, or a fixed column is not modelled.
        CohortError: if a fixed value does not fit the schema.
    """

    def __init__(
        self,
        cohort: Cohort,
        *,
        replicas: int = 1,
        rows: Sequence[int] | None = None,
        conditions: Mapping[str, Any] | None = None,
    ) -> None:
        self.rows = list(range(len(cohort))) if rows is None else [int(row) for row in rows]
        if replicas < 1 or not self.rows:
            raise ValueError(f"replicas is {replicas} for {len(self.rows)} rows; ask for at least one image.")
        self.cohort, self.replicas = cohort, replicas
        fixed = RecordRequests(1, cohort.schema, conditions=conditions).mapping or {}
        self.fixed_columns = list(fixed)
        table = cohort.table[cohort.schema.feature_names].iloc[self.rows].reset_index(drop=True)
        self.table = table.assign(**{name: [value] * len(table) for name, value in fixed.items()})

    def __len__(self) -> int:
        return self.replicas * len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < len(self):
            raise IndexError(f"record {index} of {len(self)}")
        replica, place = divmod(index, len(self.rows))
        values = {str(name): value for name, value in self.table.iloc[place].items()}
        return {"row": self.rows[place], "replica": replica, **values}


class ReplicaSynthesis(BlockwiseSynthesis):
    """Draw an image for each replica of each row, with ``run()``, for configs.

    An image depends on its row's number, its replica, the seed and the row's values, not on the others. The rows that
    are written are those that the network was told: with ``on_unlearned="replace"`` numbers beyond the learned range
    and rare categories are replaced, in the row as in the condition.

    Args:
        dataset: which replicas.
        network: :class:`monai_hybridsynth.networks.ConditionalUNet` with its weights.
        inferer: draws images ``(B, C, S, S)`` in [-1, 1] from noise and conditions.
        out: the cohort folder to write, see `BlockwiseSynthesis`.
        spatial_size: pixels a side.
        seed: of the whole cohort.
        on_unlearned: ``"error"`` or ``"replace"``, see :class:`monai_hybridsynth.transforms.RecordCondition`.
        unpaired: give every row the image of another record, a control for what images say of their rows.
        batch_size: images drawn at a time.
        device: where the network runs.
        provenance: names, versions and digests that the manifest repeats, e.g. of the bundle.
    """

    def __init__(
        self,
        dataset: ReplicaRequests,
        network: nn.Module,
        inferer: GuidedDiffusionInferer,
        out: str | Path,
        *,
        spatial_size: int,
        seed: int,
        on_unlearned: str = "error",
        unpaired: bool = False,
        batch_size: int = 64,
        device: str | torch.device = "cpu",
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        cohort = dataset.cohort
        schema = published_schema(cohort.schema, cohort.table)
        super().__init__(dataset, schema, out, seed=seed, unpaired=unpaired, block_size=batch_size)
        self.network, self.inferer = network, inferer
        self.spatial_size = spatial_size
        self.on_unlearned = on_unlearned
        self.device = torch.device(device)
        self.provenance = dict(provenance or {})
        self._told: tuple[pd.DataFrame, torch.Tensor] | None = None

    def draw_block(self, number: int) -> tuple[pd.DataFrame, np.ndarray, None]:
        """Return rows, uint8 images ``(N, C, S, S)`` and no note."""
        numbers = range(number * self.block_size, min((number + 1) * self.block_size, len(self.dataset)))
        table, conditions = self._conditions()
        places = [index % len(table) for index in numbers]
        shape = (int(self.network.in_channels), self.spatial_size, self.spatial_size)  # type: ignore[arg-type]
        rows, replicas = [self.dataset.rows[place] for place in places], [index // len(table) for index in numbers]
        noise = record_noise(rows, replicas, shape, seed=self.seed)
        network = self.network.to(self.device)
        images = self.inferer.sample(noise.to(self.device), network, conditions[places].to(self.device)).float().cpu()
        if not torch.isfinite(images).all():
            raise ValueError("the network gave values that are not finite; look at its weights and the guidance_scale.")
        return table.iloc[places].reset_index(drop=True), as_pixels(images), None

    def _conditions(self) -> tuple[pd.DataFrame, torch.Tensor]:
        """Return the rows as they are told, and encoded, one per row of the cohort."""
        if self._told is None:
            condition = self._condition()
            encoded = condition(self.dataset.table)  # first, since it refuses what cannot be told
            self._told = condition.told(self.dataset.table), encoded
        return self._told

    def _condition(self) -> RecordCondition:
        return RecordCondition(self.network.record_encoding, on_unlearned=self.on_unlearned)  # type: ignore[arg-type]

    def manifest(self) -> dict[str, Any]:
        """Return what the cohort says of itself; it names no patient, file or date of the private cohort."""
        told, conditions = self._conditions()
        inferer = self.inferer
        sampling = {
            "scheduler": type(inferer.schedule.scheduler).__name__,
            "num_inference_steps": inferer.schedule.num_inference_steps,
            "spacing": inferer.schedule.spacing,
            "guidance_scale": inferer.guidance_scale,
            "guidance_rescale": inferer.guidance_rescale,
        }
        manifest = {
            "seed": self.seed,
            "paired": not self.unpaired,
            "rows": {"from": "the cohort, repeated", "number": len(self.dataset.rows)},
            "replicas": self.dataset.replicas,
            "fixed_columns": self.dataset.fixed_columns,
            "replaced_in_columns": sorted(unlearned_values(self._condition().encoder, self.dataset.table)),
            "sampling": sampling,
            "generator": {"name": type(self.network).__name__, "sha256": digest_network(self.network)},
            "packages": package_versions(*_PACKAGES),
            "code_sha256": digest_sources(),
            "exclusions": set_aside(self.dataset.cohort.schema),
            **self.provenance,
        }
        asked = {
            **manifest,
            "rows": self.dataset.rows,
            "conditions": conditions.tolist(),
            "told": told.to_csv(index=False),
            "size": [self.spatial_size, self.block_size],
            "schema": self.schema.to_dict(),
        }
        return {**manifest, "request_sha256": digest_settings(asked)}
