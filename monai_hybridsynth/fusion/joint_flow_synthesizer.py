"""A rectified flow on whole records: one network draws any columns given any others, image and row alike."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from monai_hybridsynth.fusion.conditioning import Conditions, FixedColumns, whole_number
from monai_hybridsynth.fusion.joint_flow_training import FlowCourse, train_record_flow
from monai_hybridsynth.fusion.latent_whitening import LatentWhitening, clip_outliers
from monai_hybridsynth.fusion.public_directions import public_axes
from monai_hybridsynth.fusion.record_vectors import RecordVectors
from monai_hybridsynth.fusion.rule_keeping import draw_records
from monai_hybridsynth.fusion.synthesizer import arrays_below, read_artifact, require_fitted, write_artifact
from monai_hybridsynth.fusion.table_layout import TableLayout
from monai_hybridsynth.inferers.record_flow_sampling import sample_record_flow
from monai_hybridsynth.networks.record_velocity import RecordVelocity
from monai_hybridsynth.transforms.published_statistics import patient_weights

if TYPE_CHECKING:
    from monai_hybridsynth.data.record_schema import RecordSchema

__all__ = ["JointFlowSynthesizer"]

BLOCK = 8192
CALIBRATION_RECORDS = 4000
COUNTS = ("latent_components", "max_steps", "batch_size", "check_every", "patience", "num_steps")
DIGITS = 4  # decimals of the course of a training in the artifact


class JointFlowSynthesizer:
    """Learn records with a rectified flow over [clinical entries, image scores] and draw new ones.

    In training a random part of each record is given and the rest is to be drawn, so one network answers every
    question: whole records, the table given the image, the image given the table, one missing value given both.
    Training watches patients left out, by their loss and by a membership attack, and takes the best weights; where the
    attack succeeds at every evaluation, as it may in a small cohort, the least memorising ones, with a warning.

    Args:
        latent_components: scores that stand for the latents (``LatentWhitening``); fewer in small cohorts.
        width, depth, dropout: of the network.
        max_steps, batch_size, learning_rate, average_decay: of the training; the decay at least 0 and below 1.
        check_every, patience: steps between evaluations, and evaluations without improvement that end it.
        largest_membership: AUROC of a membership attack by loss; weights above it are taken only where all are.
        num_steps: steps of sampling, two network evaluations each.
        minimum_patients: patients that must share a category, and that each end of a range stands for.
        public_encoder: as in `ConditionalGaussianSynthesizer`: latents are learned along the axes of public images.
        progress: whether to show a progress bar.

    Source:
        Rectified flow: Liu et al. 2022, https://arxiv.org/abs/2209.03003. Mixed columns as standardised indicators and
        the random given parts are this project's choice.

    Example:
        >>> synthesizer = JointFlowSynthesizer().fit(table, schema, seed=0)
        >>> synthesizer.sample(100, conditions={"sex": "F"}, seed=1)
    """

    def __init__(
        self,
        *,
        latent_components: int = 16,
        width: int = 128,
        depth: int = 2,
        dropout: float = 0.3,
        max_steps: int = 3000,
        batch_size: int = 256,
        learning_rate: float = 1e-3,
        average_decay: float = 0.995,
        check_every: int = 100,
        patience: int = 8,
        largest_membership: float = 0.6,
        num_steps: int = 10,
        minimum_patients: int = 5,
        public_encoder: str | Path | None = None,
        progress: bool = True,
    ) -> None:
        given, left_out = locals(), ("self", "minimum_patients", "public_encoder", "progress")
        self.options = {name: value for name, value in given.items() if name not in left_out}
        for name in COUNTS:
            whole_number(name, self.options[name], least=1)
        if not 0 <= average_decay < 1:
            raise ValueError(f"average_decay is {average_decay}; it must be at least 0, no average, and below 1.")
        self.minimum_patients = minimum_patients
        self.public_encoder = public_encoder
        self.progress = progress

    def fit(self, table: pd.DataFrame, schema: RecordSchema, *, seed: int) -> JointFlowSynthesizer:
        """Learn the joint table; arguments and errors as in ``CTGANSynthesizer.fit``."""
        options = dict(self.options)
        components = options.pop("latent_components")
        options.pop("num_steps")
        layout, flat, latents, patients = TableLayout.fit(table, schema, minimum_patients=self.minimum_patients)
        weights = patient_weights(patients)
        whitening = None
        if layout.latent_names:
            known: dict[str, Any] = {"weights": weights, "patients": patients, "seed": seed}
            axes = public_axes(self.public_encoder, clip_outliers(latents, weights), **known)
            whitening = LatentWhitening(components).fit(latents, layout.encoder.transform(table), **known, axes=axes)
        self.vectors_ = RecordVectors(layout, whitening)
        if not self.vectors_.size:
            raise ValueError("no column of the table varies; there is nothing to learn.")
        self.network_, self.course_ = train_record_flow(
            self.vectors_.encode(flat, latents),
            weights,
            patients,
            blocks=self.vectors_.blocks,
            num_clinical=self.vectors_.num_clinical,
            seed=seed,
            progress=self.progress,
            **options,
        )
        self.vectors_.calibrate(self._draw(None, CALIBRATION_RECORDS, np.random.default_rng(seed)))
        return self

    def sample(self, num_records: int, *, conditions: Conditions | None = None, seed: int) -> pd.DataFrame:
        """Draw records; ``conditions`` fixes columns, for all records or row by row, and is returned unchanged."""
        require_fitted(self, "network_", call="sample")
        return draw_records(self._draw_records, self.vectors_.layout, num_records, conditions=conditions, seed=seed)

    def _draw_records(self, fixed: FixedColumns | None, num_records: int, rng: np.random.Generator) -> pd.DataFrame:
        """Draw records given the fixed columns."""
        return self.vectors_.decode(self._draw(fixed, num_records, rng), rng)

    def _draw(self, fixed: FixedColumns | None, num_records: int, rng: np.random.Generator) -> np.ndarray:
        """Return vectors ``(num_records, size)``, drawn block by block."""
        values, known = self.vectors_.known(fixed, num_records)
        for start in range(0, num_records, BLOCK):
            rows = slice(start, start + BLOCK)
            noise = torch.from_numpy(rng.standard_normal(values[rows].shape, dtype=np.float32))
            given, mask = (torch.from_numpy(part[rows]) for part in (values, known))
            drawn = sample_record_flow(self.network_, given, mask, noise, num_steps=self.options["num_steps"])
            values[rows] = drawn.numpy()
        return values

    def save(self, folder: str | Path) -> Path:
        """Write ``weights.safetensors`` and ``synthesizer.json``; no pickle, no row."""
        require_fitted(self, "network_", call="save")
        whitening = self.vectors_.whitening
        arrays = {f"network.{name}": value.numpy() for name, value in self.network_.state_dict().items()}
        if whitening is not None:
            arrays |= {f"whitening.{name}": value for name, value in whitening.to_arrays().items()}
        return write_artifact(folder, type(self).__name__, self._content(), arrays)

    def _content(self) -> dict[str, Any]:
        """Return the JSON values of the artifact."""
        whitening = self.vectors_.whitening
        course = {
            name: [round(value, DIGITS) for value in values] if isinstance(values, list) else values
            for name, values in asdict(self.course_).items()
        }
        return {
            "arguments": {**self.options, "minimum_patients": self.minimum_patients},
            "layout": self.vectors_.layout.to_dict(),
            "num_scores": None if whitening is None else whitening.num_scores_,
            "thresholds": self.vectors_.thresholds.tolist(),
            "course": course,
        }

    @classmethod
    def load(cls, folder: str | Path) -> JointFlowSynthesizer:
        """Read an artifact that ``save`` wrote; it samples as the saved synthesizer did.

        Artifacts from before labels competed (see CHANGELOG) keep their thresholds; shares of labels may differ.
        """
        content, arrays = read_artifact(folder, cls.__name__)
        synthesizer = cls(**content["arguments"])
        whitening = None
        if content["num_scores"] is not None:
            whitening = LatentWhitening.from_arrays(arrays_below(arrays, "whitening"), num_scores=content["num_scores"])
        synthesizer.vectors_ = RecordVectors(TableLayout.from_dict(content["layout"]), whitening)
        synthesizer.vectors_.thresholds = np.array(content["thresholds"])
        options = synthesizer.options
        synthesizer.network_ = RecordVelocity(
            synthesizer.vectors_.size, width=options["width"], depth=options["depth"], dropout=options["dropout"]
        ).eval()
        state = {name: torch.from_numpy(value) for name, value in arrays_below(arrays, "network").items()}
        synthesizer.network_.load_state_dict(state)
        synthesizer.course_ = FlowCourse(**content["course"])
        return synthesizer
