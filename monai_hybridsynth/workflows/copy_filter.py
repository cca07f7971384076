"""Records that copy a training patient's image, or row, are told while they are drawn, so that they can be rejected."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from monai.networks.utils import eval_mode
from torch import nn

from monai_hybridsynth.data import Cohort, digest_folder, digest_network, digest_settings, read_cohort
from monai_hybridsynth.data.row_texts import row_texts
from monai_hybridsynth.metrics import exact_rows
from monai_hybridsynth.transforms import load_images

from .copy_detector import CopyDetector, as_pixels

__all__ = ["CopyFilter", "refuse_with_epsilon"]


class CopyFilter:
    """Says which drawn records copy a patient of the training cohort.

    It reads private images, so it runs where they are. What it publishes are rounded thresholds, shares and counts, no
    distance of anybody. It is no proof of privacy: how many were rejected, and the gap that it leaves around every
    patient, tell a little about who was in the cohort, and differential privacy does not survive it.

    Args:
        cohort: folder of the cohort that the synthesizer was fitted on.
        spatial_size: pixels a side of the generated images.
        autoencoder: network, images to their rendering by the generator, such as `AlphaGanAutoencoder`; with it the
            copies that a generator makes are found much better, see `CopyDetector`.
        false_alarms: share of strangers that each measure may take for copies, see `CopyDetector`.
        reject_exact_rows: also reject rows that equal a training row in every column. Off, because strangers share
            rows too where columns are few or coarse, and then the commonest rows would be drawn too seldom.
        max_rounds: how often rejected records are drawn again before that is an error.
        seed: of the detector.

    Raises:
        ValueError: if an argument makes no sense; at first use, if the cohort is too small.
    """

    def __init__(
        self,
        cohort: str | Path,
        *,
        spatial_size: int,
        autoencoder: nn.Module | None = None,
        false_alarms: float = 0.01,
        reject_exact_rows: bool = False,
        max_rounds: int = 20,
        seed: int = 0,
    ) -> None:
        if not 0 < false_alarms < 0.5:
            raise ValueError(f"false_alarms is {false_alarms}; give a share of strangers between 0 and 0.5.")
        if max_rounds < 1:
            raise ValueError(f"max_rounds is {max_rounds}; rejected records must be drawn again at least once.")
        self.cohort = Path(cohort)
        self.spatial_size = spatial_size
        self.autoencoder = autoencoder
        self.false_alarms = false_alarms
        self.reject_exact_rows = reject_exact_rows
        self.max_rounds = max_rounds
        self.seed = seed

    def rejects(self, images: np.ndarray, records: pd.DataFrame) -> np.ndarray:
        """Return which records are copies, bool ``(N,)``.

        Args:
            images: uint8 ``(N, C, S, S)``, as they will be written.
            records: their clinical columns, one row per image.
        """
        found = self._detector.copies(images)
        if self.reject_exact_rows:
            found |= exact_rows(row_texts(self._training.schema, records), self._rows)
        return found

    def without_copies(
        self, draw: Callable[[np.ndarray, int], tuple[pd.DataFrame, np.ndarray]], count: int
    ) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
        """Draw records, and those that are copies again, until none is.

        Args:
            draw: ``(positions, attempt) -> records, images`` for the given positions of ``0 ... count - 1``.
            count: how many records.

        Returns:
            records, images, and how often each was rejected, ``(count,)``.

        Raises:
            RuntimeError: if records are still copies after ``max_rounds`` further draws.
        """
        open_places = np.arange(count)
        records, images = draw(open_places, 0)
        rejected = np.zeros(count, dtype=int)
        for attempt in range(1, self.max_rounds + 2):
            open_places = open_places[self.rejects(images[open_places], records.iloc[open_places])]
            if not len(open_places):
                return records, images, rejected
            rejected[open_places] += 1
            if attempt <= self.max_rounds:
                fresh, images[open_places] = draw(open_places, attempt)
                order = np.arange(count)
                order[open_places] = count + np.arange(len(fresh))
                records = pd.concat([records, fresh], ignore_index=True).iloc[order].reset_index(drop=True)
        raise RuntimeError(
            f"{len(open_places)} of {count} records copy training patients after {self.max_rounds} further draws; fix "
            "fewer columns, or use a synthesizer that copies less (see copies_share of the evaluation)."
        )

    def request(self) -> str:
        """Return a digest of the private cohort and of the arguments: blocks drawn with another one are of no use."""
        arguments = [self.spatial_size, self.false_alarms, self.reject_exact_rows, self.max_rounds, self.seed]
        network = None if self.autoencoder is None else digest_network(self.autoencoder)
        return digest_settings([digest_folder(self.cohort), network, *arguments])

    def describe(self) -> dict[str, Any]:
        """Return what the manifest says of the filter: thresholds, false alarms and sensitivity."""
        alarms = self._detector.false_alarms
        limits = [round(float(part or 0.0), 3) for part in (alarms.value, alarms.low, alarms.high)]
        return {
            "thresholds": self._detector.thresholds,
            "false_alarms": {"share": limits[0], "interval": limits[1:], "patients": alarms.n},
            "sensitivity": self._detector.sensitivity,
            "renderings_compared": self.autoencoder is not None,
            "reject_exact_rows": self.reject_exact_rows,
        }

    @cached_property
    def _training(self) -> Cohort:
        return read_cohort(self.cohort)

    @cached_property
    def _rows(self) -> np.ndarray:
        return row_texts(self._training.schema, self._training.table)

    @cached_property
    def _detector(self) -> CopyDetector:
        """Read the training images once, when the first block is drawn."""
        training = self._training
        group = training.schema.group_name
        groups = np.arange(len(training)) if group is None else training.table[group].to_numpy()
        images = load_images(training.image_paths, training.schema.image, spatial_size=self.spatial_size)
        rendered = None if self.autoencoder is None else self._rendered(images)
        return CopyDetector(
            as_pixels(images), groups, rendered=rendered, false_alarms=self.false_alarms, seed=self.seed
        )

    @torch.no_grad()
    def _rendered(self, images: torch.Tensor) -> np.ndarray:
        """Return images as the generator renders them, uint8."""
        assert self.autoencoder is not None
        device = next(self.autoencoder.parameters()).device
        with eval_mode(self.autoencoder):
            return np.concatenate([as_pixels(self.autoencoder(part.to(device))) for part in images.split(256)])


def refuse_with_epsilon(artifact: str | Path) -> None:
    """Stop where a copy filter would break a guarantee that the artifact states.

    Raises:
        ValueError: if the artifact's ``synthesizer.json`` states an epsilon.
    """
    stated = Path(artifact) / "synthesizer.json"
    epsilon = _find(json.loads(stated.read_text(encoding="utf-8")), "epsilon") if stated.is_file() else None
    if epsilon is not None:
        raise ValueError(
            f"{artifact} was fitted with differential privacy (epsilon {epsilon:g}), and a copy filter looks at the "
            "patients again, which that epsilon does not account for; leave copy_filter out."
        )


def _find(content: Any, key: str) -> float | None:
    """Return the first number under a key, however deep it stands."""
    parts = list(content.items()) if isinstance(content, dict) else []
    parts += [("", part) for part in content] if isinstance(content, list) else []
    for name, value in parts:
        found = value if name == key and isinstance(value, int | float) else _find(value, key)
        if found is not None:
            return found
    return None
