"""CTGAN on records: the clinical row and the image's latents learned as one table by the ``ctgan`` package."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from monai_hybridsynth.fusion.condition_target import ConditionTarget
from monai_hybridsynth.fusion.conditioning import Conditions, FixedColumns, choose_candidates
from monai_hybridsynth.fusion.ctgan_training import build_generator, fit_modes, train_generator
from monai_hybridsynth.fusion.latent_whitening import LatentWhitening, clip_outliers
from monai_hybridsynth.fusion.public_directions import public_axes
from monai_hybridsynth.fusion.rule_keeping import draw_records
from monai_hybridsynth.fusion.synthesizer import arrays_below, read_artifact, require_fitted, write_artifact
from monai_hybridsynth.fusion.table_layout import TableLayout
from monai_hybridsynth.fusion.table_spans import Span, TableSpans
from monai_hybridsynth.transforms.column_encoding import FlatColumn
from monai_hybridsynth.transforms.published_statistics import patient_weights, published_number, published_range

if TYPE_CHECKING:
    from monai_hybridsynth.data.record_schema import RecordSchema

__all__ = ["PRESETS", "CTGANSynthesizer"]

PRESETS: dict[str, dict[str, Any]] = {
    # The defaults of ctgan 0.12.1, on raw latents (Kikuchi et al. 2023).
    "paper": {
        "embedding_dim": 128,
        "generator_dim": (256, 256),
        "discriminator_dim": (256, 256),
        "generator_lr": 2e-4,
        "generator_decay": 1e-6,
        "discriminator_lr": 2e-4,
        "discriminator_decay": 1e-6,
        "batch_size": 500,
        "discriminator_steps": 1,
        "log_frequency": True,
        "epochs": 300,
        "steps": 0,
        "pac": 10,
        "max_clusters": 10,
        "latent_components": 0,
        "latent_directions": "principal",
        "latent_modes": True,
        "latent_width": 4.0,
        "average_decay": 0.0,
    },
}
# Chosen on inner splits of the training patients, see benchmarks/ctgan_pairing.py.
PRESETS["tuned"] = PRESETS["paper"] | {
    "generator_dim": (128, 128),
    "discriminator_dim": (128, 128),
    "generator_lr": 5e-4,
    "discriminator_lr": 5e-4,
    "batch_size": 200,
    "steps": 2000,
    "pac": 1,
    "latent_components": 16,
    "latent_directions": "clinical",
    "latent_modes": False,
    "average_decay": 0.998,
}
BLOCK = 8192


class CTGANSynthesizer:
    """Learn a table of records with CTGAN and draw new ones.

    Presets: ``"paper"`` is the package's defaults on the raw latents, which lose the link between image and row;
    ``"tuned"`` replaces the latents by sixteen scores along what the clinical columns say and keeps the link
    (``benchmarks/RESULTS.md``, made by ``benchmarks/ctgan_pairing.py``). Every keyword overrides its preset.

    What is done beyond the package: missing and censored values become states of their own (``RecordEncoder``); rows
    are drawn in training with a probability of one over the images of their patient, so that each patient counts once,
    in rows, category shares and column statistics; sampling runs in evaluation mode, so that a record does not depend
    on those drawn beside it; any column can be fixed. A fixed category starts the generator from that category and
    keeps candidates that have it, several by rejection, a number or a latent by the nearest of several hundred
    candidates (see ``choose_candidates``); the package's own conditional sampling sets the wrong category for every
    discrete column but the first (upstream issue 169).

    The artifact holds the generator's weights and rounded column statistics, no row, and no category that fewer than
    ``minimum_patients`` patients have.

    Args:
        preset: ``"paper"`` or ``"tuned"``.
        embedding_dim, generator_dim, discriminator_dim: as in ``ctgan.CTGAN``; None takes the preset's, here and below.
        generator_lr, generator_decay, discriminator_lr, discriminator_decay: as in ``ctgan.CTGAN``.
        batch_size, discriminator_steps, log_frequency, epochs, pac: as in ``ctgan.CTGAN``.
        steps: generator steps; when above 0 it replaces ``epochs``, which count by the size of the table.
        max_clusters: most modes of a numeric column.
        latent_components: scores that replace the latents (``LatentWhitening``); 0 models the raw latents.
        latent_directions: ``"clinical"`` or ``"principal"``.
        latent_modes: whether latents or scores get modes (slow: half a second each) or a single one.
        latent_width: standard deviations that reach the end of the tanh of a score with a single mode.
        average_decay: of an average over the generator's training steps; 0 takes the last step's weights.
        minimum_patients: patients that must share a category, and that each end of a range stands for.
        public_encoder: as in `ConditionalGaussianSynthesizer`: scores are learned along the axes of public images; no
            matter without scores.
        progress: whether to show a progress bar.
        enable_gpu: whether to train on a GPU when there is one; results then depend on the machine.

    Example:
        >>> synthesizer = CTGANSynthesizer("tuned").fit(table, schema, seed=0)
        >>> synthesizer.sample(100, conditions={"sex": "F"}, seed=1)
    """

    def __init__(
        self,
        preset: str = "tuned",
        *,
        embedding_dim: int | None = None,
        generator_dim: Sequence[int] | None = None,
        discriminator_dim: Sequence[int] | None = None,
        generator_lr: float | None = None,
        generator_decay: float | None = None,
        discriminator_lr: float | None = None,
        discriminator_decay: float | None = None,
        batch_size: int | None = None,
        discriminator_steps: int | None = None,
        log_frequency: bool | None = None,
        epochs: int | None = None,
        steps: int | None = None,
        pac: int | None = None,
        max_clusters: int | None = None,
        latent_components: int | None = None,
        latent_directions: str | None = None,
        latent_modes: bool | None = None,
        latent_width: float | None = None,
        average_decay: float | None = None,
        minimum_patients: int = 5,
        public_encoder: str | Path | None = None,
        progress: bool = True,
        enable_gpu: bool = False,
    ) -> None:
        if preset not in PRESETS:
            raise ValueError(f"preset is {preset!r}; it must be one of {sorted(PRESETS)}.")
        given = locals()
        self.preset = preset
        self.minimum_patients = minimum_patients
        self.progress = progress
        self.enable_gpu = enable_gpu
        self.options = {name: value if given[name] is None else given[name] for name, value in PRESETS[preset].items()}
        self.public_encoder = public_encoder if self.options["latent_components"] else None
        batch, pac_size = self.options["batch_size"], self.options["pac"]
        if batch % pac_size or batch % 2:
            raise ValueError(
                f"batch_size is {batch} and pac is {pac_size}; batch_size must be even and a multiple of pac."
            )

    def fit(self, table: pd.DataFrame, schema: RecordSchema, *, seed: int) -> CTGANSynthesizer:
        """Learn the joint table.

        Args:
            table: parsed clinical columns, ``latent_*`` columns and, for weighting only, ``patient_id``; ``(rows,
                columns)``.
            schema: of the clinical columns.
            seed: the same table, seed and machine give the same weights.

        Raises:
            ValueError: if the table does not fit the schema, has missing latents or nothing that varies.
        """
        self.layout_, flat, latents, patients = TableLayout.fit(table, schema, minimum_patients=self.minimum_patients)
        weights = patient_weights(patients)
        rng = np.random.default_rng(seed)
        self.whitening_: LatentWhitening | None = None
        latent_names = self.layout_.latent_names
        if self.options["latent_components"] and latent_names:
            vectors = self.layout_.encoder.transform(table)
            self.whitening_ = LatentWhitening(
                self.options["latent_components"], directions=self.options["latent_directions"]
            )
            known: dict[str, Any] = {"weights": weights, "patients": patients, "seed": seed}
            axes = public_axes(self.public_encoder, clip_outliers(latents, weights), **known)
            self.whitening_.fit(latents, vectors, **known, axes=axes)
            latents = self.whitening_.transform(latents)
            latent_names = [f"score:{number:03d}" for number in range(latents.shape[1])]
        for number, name in enumerate(latent_names):
            flat[name] = latents[:, number]
        columns = self.layout_.encoder.flat_columns + [FlatColumn(name) for name in latent_names]
        if not columns:
            raise ValueError("no column of the table varies; there is nothing to learn.")
        self.spans_ = TableSpans([self._span(column, flat, patients, weights, rng) for column in columns])
        matrix = np.concatenate([span.encode(flat[span.name].to_numpy(), rng) for span in self.spans_.spans], axis=1)
        self.generator_ = train_generator(
            self.spans_,
            matrix,
            weights,
            seed=seed,
            options=self._ctgan_options(len(table)),
            average_decay=self.options["average_decay"],
        )
        return self

    def sample(self, num_records: int, *, conditions: Conditions | None = None, seed: int) -> pd.DataFrame:
        """Draw records.

        Args:
            num_records: how many.
            conditions: one value per column for all records, or a table with one row per record; clinical and latent
                columns. Requested values are returned unchanged. Where no candidate has all requested categories, those
                with the fewest differences are taken, with a warning.
            seed: the same seed gives the same records.

        Returns:
            the fitted table's clinical and latent columns, its order and dtypes.
        """
        require_fitted(self, "generator_", call="sample")
        return draw_records(self._draw_records, self.layout_, num_records, conditions=conditions, seed=seed)

    def _draw_records(self, fixed: FixedColumns | None, num_records: int, rng: np.random.Generator) -> pd.DataFrame:
        """Draw records, or choose those among candidates that are nearest to the fixed columns."""
        if fixed is None:
            parts = []
            for start in range(0, num_records, BLOCK):
                index = self.spans_.free_conditions(min(BLOCK, num_records - start), rng)
                parts.append(self._draw(index, rng))
            return self._records(np.concatenate(parts), rng)
        target = ConditionTarget(fixed, self.spans_, self.whitening_, self.layout_.latent_names)
        chosen, unmet = choose_candidates(
            lambda rows, turn: self._draw(target.start_categories(rows, turn, rng), rng), target.cost, num_records
        )
        if unmet:
            warnings.warn(
                f"for {unmet} of {num_records} records no candidate had all requested categories; the nearest ones "
                "were taken and the requested values written into them. Fix fewer columns or more frequent categories.",
                stacklevel=5,
            )
        return self._records(chosen, rng)

    def save(self, folder: str | Path) -> Path:
        """Write ``weights.safetensors`` and ``synthesizer.json``; no pickle, no row."""
        require_fitted(self, "generator_", call="save")
        arrays = {f"generator.{name}": value.numpy() for name, value in self.generator_.state_dict().items()}
        if self.whitening_ is not None:
            arrays |= {f"whitening.{name}": value for name, value in self.whitening_.to_arrays().items()}
        options = {name: list(value) if isinstance(value, tuple) else value for name, value in self.options.items()}
        content = {
            "arguments": {"preset": self.preset, "minimum_patients": self.minimum_patients, **options},
            "layout": self.layout_.to_dict(),
            "spans": self.spans_.to_list(),
            "num_scores": None if self.whitening_ is None else self.whitening_.num_scores_,
        }
        return write_artifact(folder, type(self).__name__, content, arrays)

    @classmethod
    def load(cls, folder: str | Path) -> CTGANSynthesizer:
        """Read an artifact that ``save`` wrote; it samples as the saved synthesizer did."""
        content, arrays = read_artifact(folder, cls.__name__)
        synthesizer = cls(**content["arguments"])
        synthesizer.layout_ = TableLayout.from_dict(content["layout"])
        synthesizer.spans_ = TableSpans.from_list(content["spans"])
        synthesizer.whitening_ = None
        if content["num_scores"] is not None:
            parts = arrays_below(arrays, "whitening")
            synthesizer.whitening_ = LatentWhitening.from_arrays(parts, num_scores=content["num_scores"])
        synthesizer.generator_ = build_generator(
            synthesizer.spans_,
            embedding_dim=synthesizer.options["embedding_dim"],
            generator_dim=synthesizer.options["generator_dim"],
        )
        state = {name: torch.from_numpy(value) for name, value in arrays_below(arrays, "generator").items()}
        synthesizer.generator_.load_state_dict(state)
        return synthesizer

    def _ctgan_options(self, num_rows: int) -> dict[str, Any]:
        """Return the arguments of ``ctgan.CTGAN`` for a table of this size."""
        from ctgan import CTGAN

        options = {name: value for name, value in self.options.items() if name in inspect.signature(CTGAN).parameters}
        if self.options["steps"]:
            options["epochs"] = math.ceil(self.options["steps"] / max(num_rows // options["batch_size"], 1))
        return options | {"verbose": self.progress, "enable_gpu": self.enable_gpu}

    def _span(
        self,
        column: FlatColumn,
        flat: pd.DataFrame,
        patients: np.ndarray,
        weights: np.ndarray,
        rng: np.random.Generator,
    ) -> Span:
        """Learn how one flat column is written; a mode held by fewer than ``minimum_patients`` patients is dropped."""
        if column.categories is not None:
            return Span.discrete(column)
        values = flat[column.name].to_numpy(dtype=float)
        is_latent = column.lower == column.upper
        lower, upper = column.lower, column.upper
        if is_latent:
            lower, upper = published_range(values, patients, minimum_patients=self.minimum_patients)
        clipped = np.clip(values, lower, upper)
        share = weights / weights.sum()
        mean = float(share @ clipped)
        std = published_number(float(np.sqrt(share @ (clipped - mean) ** 2))) or 1e-6
        if is_latent and not self.options["latent_modes"]:
            return Span.number(
                column.name,
                mean=published_number(mean),
                std=std,
                lower=lower,
                upper=upper,
                width=self.options["latent_width"],
            )
        if np.ptp(weights) > 0:
            clipped = rng.choice(clipped, size=len(clipped), p=share)
        threshold = max(0.005, self.minimum_patients / len(np.unique(patients)))
        means, stds, shares = fit_modes(
            pd.Series(clipped, name=column.name), max_clusters=self.options["max_clusters"], weight_threshold=threshold
        )
        return Span.mixture(column.name, means, stds, shares, lower=lower, upper=upper)

    def _draw(self, index: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return chosen columns, shape ``(rows, spans)``, for rows that start from the given categories."""
        noise = rng.standard_normal((len(index), self.options["embedding_dim"]), dtype=np.float32)
        with torch.no_grad():
            outputs = self.generator_(torch.cat([torch.from_numpy(noise), self.spans_.condition_vectors(index)], dim=1))
        return self.spans_.choose(outputs.numpy(), rng)

    def _records(self, chosen: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
        """Return records from chosen columns."""
        values = self.spans_.values(chosen)
        names = [span.name for span in self.spans_.spans]
        flat = pd.DataFrame(
            {column.name: values[column.name] for column in self.layout_.encoder.flat_columns}, index=range(len(chosen))
        )
        if self.whitening_ is not None:
            latents = self.whitening_.inverse(chosen[:, [names.index(n) for n in names if n.startswith("score:")]], rng)
        else:
            latents = chosen[:, [names.index(name) for name in self.layout_.latent_names]]
        return self.layout_.join(flat, latents)
