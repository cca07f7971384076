"""A rectified flow fitted with differential privacy: begun on draws of a private Gaussian, then DP-SGD on patients."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from monai_hybridsynth.fusion.gaussian_mechanism import GaussianMechanism, gaussian_loss
from monai_hybridsynth.fusion.joint_flow_synthesizer import CALIBRATION_RECORDS, JointFlowSynthesizer
from monai_hybridsynth.fusion.joint_flow_training import train_record_flow
from monai_hybridsynth.fusion.privacy_terms import PrivacyTerms
from monai_hybridsynth.fusion.private_flow_training import fine_tune_privately, noise_for
from monai_hybridsynth.fusion.private_gaussian_synthesizer import PrivateGaussianSynthesizer
from monai_hybridsynth.fusion.record_vectors import RecordVectors
from monai_hybridsynth.fusion.synthesizer import read_artifact
from monai_hybridsynth.fusion.table_layout import read_latents
from monai_hybridsynth.transforms.record_encoding import row_patients

if TYPE_CHECKING:
    from monai_hybridsynth.data.record_schema import RecordSchema

__all__ = ["PrivateFlowSynthesizer"]

GAUSSIAN_SHARE = 0.7  # of the budget, as a share of the squared privacy loss
FIRST_RECORDS = 4000
EXPECTED_PATIENTS = 128  # in a step
MECHANISM = (
    "Gaussian mechanism on clipped sums over patients, then DP-SGD with Poisson sampling of patients (Opacus), "
    "composed by Renyi accounting"
)


class PrivateFlowSynthesizer(JointFlowSynthesizer):
    """Learn records with a flow within epsilon and delta.

    A small cohort pays dearly for DP-SGD: most of its noise would go into what a few sums say more cheaply. So a
    ``PrivateGaussianSynthesizer`` is fitted first, with most of the budget; the flow is trained on its draws, which
    costs nothing more; and DP-SGD on the patients has the rest, to learn what is not Gaussian. It takes a fixed number
    of steps: nothing is stopped or chosen by looking at patients.

    Noise comes from the operating system; see ``PrivateGaussianSynthesizer`` for what has to be declared and why two
    fits differ.

    Args:
        epsilon: the budget of the whole fit.
        delta: likewise.
        public_schema: see ``PrivateGaussianSynthesizer``.
        encoder_is_public: likewise.
        directions: likewise.
        noise_seed: likewise.
        latent_components: most directions that take part.
        private_steps: of DP-SGD.
        private_rate: learning rate of DP-SGD.
        num_steps: steps of sampling.
        progress: whether to show a progress bar.
        options: of the training on draws of the Gaussian, as in ``JointFlowSynthesizer``.
    """

    def __init__(
        self,
        *,
        epsilon: float,
        delta: float = 1e-5,
        public_schema: bool = False,
        encoder_is_public: bool = False,
        directions: str | Path | None = None,
        noise_seed: int | None = None,
        latent_components: int = 32,
        private_steps: int = 200,
        private_rate: float = 1e-3,
        num_steps: int = 10,
        progress: bool = True,
        options: dict[str, Any] | None = None,
    ) -> None:
        first = {"width": 64, "dropout": 0.0, "max_steps": 2000} | (options or {})
        super().__init__(
            latent_components=latent_components, num_steps=num_steps, minimum_patients=0, progress=progress, **first
        )
        self.terms = PrivacyTerms(epsilon, delta, public_schema, encoder_is_public, noise_seed)
        self.directions = directions
        self.private_steps, self.private_rate = private_steps, private_rate

    def fit(self, table: pd.DataFrame, schema: RecordSchema, *, seed: int) -> PrivateFlowSynthesizer:
        """Learn the joint table; ``seed`` decides the first weights and the Gaussian's draws, not the noise."""
        patients, latents = row_patients(table, schema), read_latents(table)
        has_latents = latents.shape[1] > 0
        self.terms.check(num_patients=len(np.unique(patients)), has_latents=has_latents)
        mu = np.sqrt(GAUSSIAN_SHARE) * gaussian_loss(self.terms.epsilon, self.terms.delta)
        gaussian = PrivateGaussianSynthesizer(
            epsilon=self.terms.epsilon, directions=self.directions, latent_components=self.options["latent_components"]
        ).fit_within(GaussianMechanism(mu, noise_seed=self.terms.noise_seed), table, schema)
        layout = gaussian.layout_
        self.vectors_ = RecordVectors(layout, gaussian.whitening_)
        drawn = gaussian.sample(FIRST_RECORDS, seed=seed)
        common: dict[str, Any] = {"blocks": self.vectors_.blocks, "num_clinical": self.vectors_.num_clinical}
        skipped = ("latent_components", "num_steps")
        self.network_, self.course_ = train_record_flow(
            self.vectors_.encode(layout.encoder.flatten(drawn), read_latents(drawn)),
            np.ones(len(drawn)),
            np.arange(len(drawn)),
            seed=seed,
            progress=self.progress,
            **common,
            **{name: value for name, value in self.options.items() if name not in skipped},
        )
        rate = min(1.0, EXPECTED_PATIENTS / gaussian.num_patients_)
        noise = noise_for(
            mu,
            epsilon=self.terms.epsilon,
            delta=self.terms.delta,
            sample_rate=rate,
            steps=self.private_steps,
        )
        self.network_ = fine_tune_privately(
            self.network_,
            self.vectors_.encode(layout.encoder.flatten(table), latents),
            patients,
            sample_rate=rate,
            num_patients=gaussian.num_patients_,
            noise_multiplier=noise,
            steps=self.private_steps,
            learning_rate=self.private_rate,
            average_decay=self.options["average_decay"],
            noise_seed=self.terms.noise_seed,
            **common,
        )
        self.vectors_.calibrate(self._draw(None, CALIBRATION_RECORDS, np.random.default_rng(seed)))
        self.privacy_ = self.terms.statement(MECHANISM, has_latents=has_latents)
        return self

    @classmethod
    def load(cls, folder: str | Path) -> PrivateFlowSynthesizer:
        """Read an artifact that ``save`` wrote; it samples as the saved synthesizer did."""
        synthesizer = super().load(folder)
        assert isinstance(synthesizer, cls)
        synthesizer.privacy_ = read_artifact(folder, cls.__name__)[0]["privacy"]
        return synthesizer

    def _content(self) -> dict[str, Any]:
        """Return what the artifact says; the terms of the fit are in its statement."""
        own = ("latent_components", "num_steps")
        arguments = {
            "epsilon": None,
            **{name: self.options[name] for name in own},
            "options": {name: value for name, value in self.options.items() if name not in own},
        }
        return super()._content() | {"arguments": arguments, "privacy": self.privacy_}
