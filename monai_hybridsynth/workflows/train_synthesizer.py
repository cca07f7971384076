"""Cohort folder to fitted synthesizer: encode the images, join them to their rows, fit, save."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from torch import nn

from monai_hybridsynth.data import RecordSchema, digest_file, digest_folder, digest_settings, digest_sources
from monai_hybridsynth.fusion import IndependentSynthesizer, RecordSynthesizer

from .encode_cohort import CohortImages, encode_images, join_latents, save_text
from .process_rank import barrier, process_rank
from .public_encoder import images_seen
from .published_schema import published_schema, set_aside

__all__ = ["SynthesizerTraining"]

logger = logging.getLogger(__name__)


class SynthesizerTraining:
    """Fit a synthesizer on the images and rows of a cohort, with ``run()``, for configs.

    Under ``torchrun`` the ranks share the encoding; rank 0 fits, because a table is small and its fit is one process.
    A fit cannot be resumed: it starts again from its seed and ends the same. Work that is done is not done again:
    neither encoded images (see `encode_cohort`) nor, with a ``cache_dir``, the fit of the same table.

    Args:
        dataset: the cohort's images.
        encoder: network, images ``(B, C, S, S)`` in [-1, 1] to codes ``(B, latent_dim)``.
        synthesizer: not fitted yet.
        artifact_dir: folder for the fitted synthesizer and the part of the schema that may be published with it;
            replaced as a whole when the fit is done.
        seed: of the fit.
        cache_dir: private folder for encoded images and a note of what was fitted.
        inferer: MONAI inferer called as ``inferer(images, encoder)``; `SimpleInferer` unless given.
        batch_size: images encoded at a time.
        num_workers: processes that read images.
        device: where the encoder runs.
        epsilon: what the user asked for; a synthesizer without differential privacy is refused then.
        public_encoder: what is publicly known of the encoder, from `write_public_encoder`. A private synthesizer
            is refused when one of the cohort's images is among those the encoder was trained on.
        max_epochs: passes over the images. Encoding them is deterministic, so it must be 1; how long a synthesizer is
            fitted is an argument of the synthesizer.
    """

    def __init__(
        self,
        dataset: CohortImages,
        encoder: nn.Module,
        synthesizer: RecordSynthesizer,
        artifact_dir: str | Path,
        *,
        seed: int,
        cache_dir: str | Path | None = None,
        inferer: Callable[..., Any] | None = None,
        batch_size: int = 64,
        num_workers: int = 0,
        device: str = "cpu",
        epsilon: float | None = None,
        public_encoder: str | Path | None = None,
        max_epochs: int = 1,
    ) -> None:
        if max_epochs != 1:
            raise ValueError(f"max_epochs is {max_epochs}, but images are encoded once; set the synthesizer's epochs.")
        if not isinstance(synthesizer, RecordSynthesizer):
            raise TypeError(
                f"{type(synthesizer).__name__} is no RecordSynthesizer; it needs fit, sample, save and the attribute "
                "minimum_patients."
            )
        # Whether the fit is one with differential privacy.
        self.is_private = hasattr(synthesizer, "terms")
        if epsilon is not None and not self.is_private:
            raise ValueError(
                f"epsilon is {epsilon:g}, but {type(synthesizer).__name__} has no differential privacy; take "
                "PrivateGaussianSynthesizer or PrivateFlowSynthesizer (private_gaussian, private_flow), or no epsilon."
            )
        self.public_encoder = None if public_encoder is None else Path(public_encoder)
        self.dataset = dataset
        self.encoder = encoder
        self.synthesizer = synthesizer
        self.artifact_dir = Path(artifact_dir)
        self.seed = seed
        self.cache_dir = None if cache_dir is None else Path(cache_dir)
        self.inferer = inferer
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.device = device
        self.max_epochs = max_epochs

    def run(self) -> Path:
        """Encode, join, fit and save; return the folder of the artifact."""
        latents = encode_images(
            self.dataset,
            self.encoder,
            inferer=self.inferer,
            batch_size=self.batch_size,
            num_workers=self.num_workers,
            device=self.device,
            cache_dir=self.cache_dir,
        )
        if process_rank() == 0:
            self._fit(join_latents(self.dataset.cohort, latents), self.dataset.cohort.schema)
        barrier()
        return self.artifact_dir

    def _fit(self, table: pd.DataFrame, schema: RecordSchema) -> None:
        """Fit on the latent table unless the artifact already is what that would give."""
        request = self._request(table, schema)
        note = self._note()
        if note is not None and note.is_file() and self.artifact_dir.is_dir():
            fitted = json.loads(note.read_text(encoding="utf-8"))
            if fitted == {"request": request, "artifact": digest_folder(self.artifact_dir)}:
                logger.info("%s already holds this fit", self.artifact_dir)
                return
        compared = self._compare_with_pool()
        protected = isinstance(self.synthesizer, IndependentSynthesizer) or self.is_private
        if not protected and getattr(self.synthesizer, "public_encoder", None) is None:
            logger.warning(
                "no public axes: whoever has the encoder and the records can tell these patients from others by their "
                "images; put encoder_public.safetensors beside the encoder, for a synthesizer that uses it (CTGAN's "
                "preset paper does not)"
            )
        self.synthesizer.fit(table, schema, seed=self.seed)
        if compared:
            self.synthesizer.privacy_["encoder"] = compared  # type: ignore[attr-defined]
        self._replace_artifact(table, schema)
        if note is not None:
            save_text(note, json.dumps({"request": request, "artifact": digest_folder(self.artifact_dir)}))
        logger.info("fitted %s on %d records into %s", type(self.synthesizer).__name__, len(table), self.artifact_dir)

    def _compare_with_pool(self) -> str | None:
        """Return what is known of a private fit's encoder; refuse one that was trained on these patients' images."""
        if self.public_encoder is None or not self.is_private:
            return None
        seen, pool = images_seen(self.public_encoder, self.dataset)
        if seen:
            raise ValueError(
                f"{seen} of the cohort's {len(self.dataset)} images are among the {pool} on which the encoder was "
                "trained, so that no epsilon can be stated; take an encoder that did not see these patients."
            )
        return f"declared public; no image of the cohort is among the {pool} on which it was trained"

    def _note(self) -> Path | None:
        """Return the private note of what the artifact was fitted on; each artifact has its own in a shared cache."""
        if self.cache_dir is None:
            return None
        return self.cache_dir / f"fit_{digest_settings(str(self.artifact_dir.resolve()))}.json"

    def _replace_artifact(self, table: pd.DataFrame, schema: RecordSchema) -> None:
        """Save beside the old artifact, then swap: a killed process leaves the old one, the new one, or none."""
        partial = self.artifact_dir.with_name(f".{self.artifact_dir.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        self.synthesizer.save(partial)
        # Which categories occur is learned from patients: a private fit may not tell it without noise.
        rows = None if self.is_private else table
        published = published_schema(schema, rows, minimum_patients=self.synthesizer.minimum_patients)
        published.save(partial / "schema.json")
        (partial / "exclusions.json").write_text(json.dumps(set_aside(schema), indent=2), encoding="utf-8")
        if self.artifact_dir.exists():
            shutil.rmtree(self.artifact_dir)
        self.artifact_dir.parent.mkdir(parents=True, exist_ok=True)
        partial.replace(self.artifact_dir)

    def _request(self, table: pd.DataFrame, schema: RecordSchema) -> str:
        """Return a digest of everything that the fit depends on; it stays in the private cache."""
        known = vars(self.synthesizer).items()
        settings = {name: value for name, value in known if not name.endswith("_") and name != "progress"}
        content = [type(self.synthesizer).__name__, repr(sorted(settings.items())), self.seed, schema.to_dict()]
        known_files = (self.public_encoder, getattr(self.synthesizer, "public_encoder", None))
        content += [digest_file(Path(path)) for path in known_files if path is not None and Path(path).is_file()]
        return digest_settings([*content, table.to_csv(index=False, float_format="%.9g"), digest_sources()])
