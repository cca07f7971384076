"""Table synthesizers of other packages behind our protocol, and a control that resamples patients; benchmarks only.

All see what ours see: the complete flat columns of ``TableLayout`` (a missing or censored value is a category of its
own, one yes or no per label) and the latents, raw or as a few scores of ``LatentWhitening``. Which of the two, and what
else is tried for each, stands in ``CONFIGURATIONS``; the first entry is the package's own default as far as it can run.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import torch

from monai_hybridsynth import fusion
from monai_hybridsynth.data import RecordSchema
from monai_hybridsynth.fusion import LatentWhitening, RecordSynthesizer
from monai_hybridsynth.fusion.latent_whitening import clip_outliers
from monai_hybridsynth.fusion.public_directions import public_axes
from monai_hybridsynth.fusion.table_layout import TableLayout
from monai_hybridsynth.transforms.published_statistics import patient_weights

__all__ = ["ALONG_PUBLIC_AXES", "CONFIGURATIONS", "CONTROLS", "NAMES", "OURS", "build"]


class ResampledRecords:
    """Draws training records again, image and row: the ceiling of pairing, and what privacy figures must catch."""

    def fit(self, table: pd.DataFrame, schema: RecordSchema, *, seed: int) -> ResampledRecords:
        """Keep the table."""
        layout = TableLayout.fit(table, schema, minimum_patients=1)[0]
        self.table = table[layout.order]
        return self

    def sample(self, num_records: int, *, conditions: None = None, seed: int) -> pd.DataFrame:
        """Draw rows with replacement."""
        rows = np.random.default_rng(seed).integers(len(self.table), size=num_records)
        return self.table.iloc[rows].reset_index(drop=True)


class CompetitorSynthesizer:
    """What all competitors share: the way into the flat table and back. Conditions and artifacts are left out.

    Args:
        components: scores that stand for the latents; 0 for the raw latents.
        directions: of the scores, ``"principal"`` or ``"clinical"``.
        public_encoder: file of `write_public_encoder`, along whose axes the scores lie, as with ours; or None.
        options: arguments of the package's model.
    """

    def __init__(
        self,
        *,
        components: int = 0,
        directions: str = "principal",
        public_encoder: Path | None = None,
        **options: Any,
    ) -> None:
        self.components, self.directions, self.options = components, directions, options
        self.public_encoder = public_encoder

    def fit(self, table: pd.DataFrame, schema: RecordSchema, *, seed: int) -> CompetitorSynthesizer:
        """Learn the joint table."""
        self.layout, flat, latents, patients = TableLayout.fit(table, schema, minimum_patients=5)
        self.whitening = None
        if self.components:
            weights = patient_weights(patients)
            known: dict[str, Any] = {"weights": weights, "patients": patients, "seed": seed}
            axes = public_axes(self.public_encoder, clip_outliers(latents, weights), **known)
            self.whitening = LatentWhitening(self.components, directions=self.directions).fit(
                latents, self.layout.encoder.transform(table), **known, axes=axes
            )
            latents = self.whitening.transform(latents)
        self.image_names = [f"image {number}" for number in range(latents.shape[1])]
        self.categories = {c.name: list(c.categories) for c in self.layout.encoder.flat_columns if c.categories}
        self.clinical_names = list(flat.columns)
        with isolated_randomness(seed):
            self.learn(pd.concat([flat, pd.DataFrame(latents, columns=self.image_names)], axis=1), seed)
        return self

    def sample(self, num_records: int, *, conditions: None = None, seed: int) -> pd.DataFrame:
        """Draw records."""
        with isolated_randomness(seed):
            drawn = self.draw(num_records, seed).reset_index(drop=True)
        latents = drawn[self.image_names].to_numpy(dtype=float)
        if self.whitening is not None:
            latents = self.whitening.inverse(latents, np.random.default_rng(seed))
        clinical = drawn[self.clinical_names].astype(dict.fromkeys(self.categories, object))
        return self.layout.join(clinical, latents)

    def learn(self, frame: pd.DataFrame, seed: int) -> None:
        """Fit the package's model on complete columns: text for categories, else numbers."""
        raise NotImplementedError

    def draw(self, num_records: int, seed: int) -> pd.DataFrame:
        """Return rows like those of ``learn``."""
        raise NotImplementedError


class TVAESynthesizer(CompetitorSynthesizer):
    """TVAE of the ``ctgan`` package (Xu et al. 2019)."""

    def learn(self, frame: pd.DataFrame, seed: int) -> None:
        """Name the categories; the package finds modes for the numbers."""
        from ctgan import TVAE

        self.model = TVAE(enable_gpu=False, **self.options)
        self.model.set_random_state(seed)
        self.model.fit(frame, list(self.categories))

    def draw(self, num_records: int, seed: int) -> pd.DataFrame:
        """Decode draws from the prior."""
        self.model.set_random_state(seed)
        return self.model.sample(num_records)


class CopulaSynthesizer(CompetitorSynthesizer):
    """Gaussian copula of the ``copulas`` package; categories as its makers encode them (``rdt``'s UniformEncoder).

    Args:
        margin: distribution of the numbers, a class of ``copulas.univariate``; ``"Univariate"`` chooses the best fit.
        components, directions: as in the base class.
    """

    def learn(self, frame: pd.DataFrame, seed: int) -> None:
        """Spread every category over its share of [0, 1]."""
        from copulas import univariate
        from copulas.multivariate import GaussianMultivariate
        from rdt.transformers import UniformEncoder

        self.encoders = {}
        for name in self.categories:
            self.encoders[name] = UniformEncoder()
            frame = self.encoders[name].fit_transform(frame, name)
        margin = getattr(univariate, self.options["margin"])
        margins = {name: univariate.UniformUnivariate if name in self.categories else margin for name in frame}
        self.model = GaussianMultivariate(distribution=margins)
        self.model.fit(frame)

    def draw(self, num_records: int, seed: int) -> pd.DataFrame:
        """Draw and put the categories back."""
        self.model.set_random_state(seed)
        drawn = self.model.sample(num_records)
        for name, encoder in self.encoders.items():
            drawn[name] = drawn[name].clip(0, 1)
            drawn = encoder.reverse_transform(drawn)
        return drawn


class ForestFlowSynthesizer(CompetitorSynthesizer):
    """Forest-Flow of the ``ForestDiffusion`` package (Jolicoeur-Martineau et al. 2024): boosted trees as a flow."""

    def learn(self, frame: pd.DataFrame, seed: int) -> None:
        """Code categories as integers, as the package asks for."""
        from ForestDiffusion import ForestDiffusionModel

        self.names = list(frame)
        for name, values in self.categories.items():
            frame[name] = frame[name].map({value: code for code, value in enumerate(values)})
        place = {name: self.names.index(name) for name in self.categories}
        self.model = ForestDiffusionModel(
            frame.to_numpy(dtype=float),
            bin_indexes=[place[name] for name, values in self.categories.items() if len(values) == 2],
            cat_indexes=[place[name] for name, values in self.categories.items() if len(values) > 2],
            n_jobs=1,
            seed=seed,
            **self.options,
        )

    def draw(self, num_records: int, seed: int) -> pd.DataFrame:
        """Solve the flow from noise."""
        np.random.seed(seed)  # noqa: NPY002
        drawn = pd.DataFrame(self.model.generate(batch_size=num_records), columns=self.names)
        for name, values in self.categories.items():
            drawn[name] = np.array(values, dtype=object)[drawn[name].round().clip(0, len(values) - 1).astype(int)]
        return drawn


class ARFSynthesizer(CompetitorSynthesizer):
    """Adversarial random forests of the ``arfpy`` package (Watson et al. 2023)."""

    def learn(self, frame: pd.DataFrame, seed: int) -> None:
        """Grow the forests, then estimate densities in their leaves."""
        from arfpy.arf import arf

        frame = frame.astype({name: pd.CategoricalDtype(values) for name, values in self.categories.items()})
        # numpy took in1d away after the package's last release.
        with patch.object(np, "in1d", np.isin, create=True):
            self.model = arf(frame, verbose=False, random_state=seed, **self.options)
            self.model.forde()

    def draw(self, num_records: int, seed: int) -> pd.DataFrame:
        """Draw leaves, then values in them."""
        return self.model.forge(num_records)


@contextmanager
def isolated_randomness(seed: int) -> Iterator[None]:
    """Seed the global states that these packages draw from, and restore them."""
    state, numbers = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng(devices=[]):
            random.seed(seed)
            np.random.seed(seed)  # noqa: NPY002
            torch.manual_seed(seed)
            yield
    finally:
        random.setstate(state)
        np.random.set_state(numbers)  # noqa: NPY002


def _ours(name: str, **arguments: Any) -> Callable[..., RecordSynthesizer]:
    return lambda **more: getattr(fusion, name)(**arguments, **more)


CONTROLS: dict[str, Callable[[], Any]] = {
    "resampled patients": ResampledRecords,
    "independent columns": _ours("IndependentSynthesizer"),
}
OURS: dict[str, Callable[..., Any]] = {
    "conditional Gaussian": _ours("ConditionalGaussianSynthesizer"),
    "joint flow": _ours("JointFlowSynthesizer", progress=False),
    "factorised CTGAN": _ours("FactorisedCTGANSynthesizer", progress=False),
    "CTGAN tuned": _ours("CTGANSynthesizer", preset="tuned", progress=False),
}
PAPER = {"CTGAN paper": _ours("CTGANSynthesizer", preset="paper", progress=False)}
COMPETITORS: dict[str, Callable[..., Any]] = {
    "Gaussian copula": CopulaSynthesizer,
    "ARF": ARFSynthesizer,
    "TVAE": TVAESynthesizer,
    "Forest-Flow": ForestFlowSynthesizer,
}
CLINICAL, PRINCIPAL = ({"components": 16, "directions": way} for way in ("clinical", "principal"))
# Tried in this order until the time is up.
CONFIGURATIONS: dict[str, list[dict[str, Any]]] = {
    "Gaussian copula": [
        {"margin": "GaussianUnivariate"},
        {"margin": "GaussianUnivariate", **CLINICAL},
        {"margin": "GaussianKDE", **CLINICAL},
        {"margin": "GaussianKDE"},
        {"margin": "Univariate", **CLINICAL},
        {"margin": "GaussianUnivariate", **PRINCIPAL},
    ],
    "ARF": [
        {},
        CLINICAL,
        {"min_node_size": 10, **CLINICAL},
        {"min_node_size": 2, "num_trees": 60, **CLINICAL},
        {"max_features": 0.5, **CLINICAL},
        PRINCIPAL,
    ],
    "TVAE": [
        CLINICAL,
        {"batch_size": 100, **CLINICAL},
        {"batch_size": 100, "epochs": 1000, **CLINICAL},
        {"batch_size": 100, "loss_factor": 1, **CLINICAL},
        {"batch_size": 100, **PRINCIPAL},
        {"batch_size": 100},
    ],
    "Forest-Flow": [
        {"n_t": 10, "duplicate_K": 10, "n_estimators": 20, "max_depth": 4, **CLINICAL},
        {"n_t": 10, "duplicate_K": 10, "n_estimators": 20, "max_depth": 7, **CLINICAL},
        {"n_t": 20, "duplicate_K": 10, "n_estimators": 20, "max_depth": 3, **CLINICAL},
        {"n_t": 10, "duplicate_K": 20, "n_estimators": 50, "max_depth": 4, **CLINICAL},
        {"n_t": 10, "duplicate_K": 10, "n_estimators": 20, "max_depth": 4, **PRINCIPAL},
    ],
}
# Competitors as they were tuned, given what ours are given: what public axes do, and what the synthesizer.
ALONG_PUBLIC_AXES = ", public axes"
NAMES = [*CONTROLS, *COMPETITORS, *(name + ALONG_PUBLIC_AXES for name in COMPETITORS), *OURS, *PAPER]


def build(name: str, arguments: dict[str, Any] | None = None, *, public_encoder: Path | None = None) -> Any:
    """Return a synthesizer that is not fitted; ``arguments`` are those that tuning chose.

    Ours are given what is publicly known of the encoder, as the bundle does.
    """
    if name in OURS:
        return OURS[name](public_encoder=public_encoder)
    if name.endswith(ALONG_PUBLIC_AXES):
        made = COMPETITORS[name.removesuffix(ALONG_PUBLIC_AXES)]
        return made(**CLINICAL | (arguments or {}), public_encoder=public_encoder)
    return {**CONTROLS, **PAPER, **COMPETITORS}[name](**(arguments or {}))
