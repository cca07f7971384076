"""A joint Gaussian fitted with differential privacy: everything learned from patients is a sum with noise."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from monai_hybridsynth.fusion.conditional_gaussian_synthesizer import ConditionalGaussianSynthesizer
from monai_hybridsynth.fusion.gaussian_copula import GaussianCopula
from monai_hybridsynth.fusion.gaussian_mechanism import GaussianMechanism, gaussian_loss
from monai_hybridsynth.fusion.latent_whitening import LatentWhitening
from monai_hybridsynth.fusion.privacy_terms import PrivacyTerms
from monai_hybridsynth.fusion.private_margins import fit_margins
from monai_hybridsynth.fusion.private_moments import fit_copula_privately, fit_whitening_privately
from monai_hybridsynth.fusion.public_directions import read_directions
from monai_hybridsynth.fusion.synthesizer import read_artifact
from monai_hybridsynth.fusion.table_layout import latent_columns, read_latents
from monai_hybridsynth.transforms.record_encoding import row_patients

if TYPE_CHECKING:
    from monai_hybridsynth.data.record_schema import RecordSchema

__all__ = ["PrivateGaussianSynthesizer"]

# Shares of the budget: margins, latent means, latent variances, products within the row, products of row and image.
SHARES = (0.25, 0.05, 0.1, 0.2, 0.4)
FEWEST_SCORES, SCORES_PER_SIGNAL = 4, 0.75
MECHANISM = "Gaussian mechanism on clipped sums over patients, composed exactly (Gaussian differential privacy)"


class PrivateGaussianSynthesizer(ConditionalGaussianSynthesizer):
    """Learn what ``ConditionalGaussianSynthesizer`` learns, but only from sums with noise, within epsilon and delta.

    Ranges and categories are those that the schema declares. Shares, quantiles and correlations are sums over patients
    to which each adds a vector of limited length; noise is added to the sums and the results are shrunk by what the
    noise is known to be. The latents are described along few directions that were chosen without patients: the larger
    the table, the more noise. The others are drawn from N(0, I), for which the encoder was trained.

    A published seed would let anybody subtract the noise. So the noise comes from the operating system, the ``seed`` of
    ``fit`` decides nothing, and two fits differ. Sampling has a seed as always.

    Args:
        epsilon: the budget; infinity fits the same statistics without noise.
        delta: a number far below one over the patients, fixed beforehand.
        public_schema: confirms that limits and categories were declared without looking at these patients.
        encoder_is_public: confirms that encoder and generator saw none of them.
        directions: file of public directions in the latent space (``encoder_public.safetensors``), the most important
            first; None takes the latents as they are numbered.
        latent_components: most directions that take part; a small budget or cohort allows fewer.
        noise_seed: fixed noise, for tests; no epsilon is stated then.

    Example:
        >>> made = PrivateGaussianSynthesizer(epsilon=3, public_schema=True, encoder_is_public=True)
        >>> made.fit(table, schema, seed=0).privacy_["epsilon"]
        3
    """

    def __init__(
        self,
        *,
        epsilon: float,
        delta: float = 1e-5,
        public_schema: bool = False,
        encoder_is_public: bool = False,
        directions: str | Path | None = None,
        latent_components: int = 32,
        noise_seed: int | None = None,
    ) -> None:
        # No category is left out for being rare: which there are is public. Latents are not spread: those outside of
        # the measured directions have the encoder's public variance already. Without covariances of their own, images
        # of a class need a gain to be told apart as those of patients are.
        super().__init__(latent_components=latent_components, link_gain=1.1, image_spread=1.0, minimum_patients=0)
        self.terms = PrivacyTerms(epsilon, delta, public_schema, encoder_is_public, noise_seed)
        self.directions = directions

    def fit(self, table: pd.DataFrame, schema: RecordSchema, *, seed: int = 0) -> PrivateGaussianSynthesizer:
        """Learn the joint table; ``seed`` decides nothing, see the class.

        Args:
            table: parsed clinical columns, ``latent_*`` columns and ``patient_id``; ``(rows, columns)``. Without
                ``patient_id`` every row is a patient.
            schema: public, with limits of every number and categories of every other column.
            seed: unused.

        Raises:
            ValueError: if something is not declared, or latents are missing.
        """
        patients = row_patients(table, schema)
        has_latents = bool(latent_columns(table))
        self.terms.check(num_patients=len(np.unique(patients)), has_latents=has_latents)
        mu = gaussian_loss(self.terms.epsilon, self.terms.delta)
        self.fit_within(GaussianMechanism(mu, noise_seed=self.terms.noise_seed), table, schema)
        self.privacy_ = self.terms.statement(MECHANISM, has_latents=has_latents)
        return self

    def fit_within(
        self, mechanism: GaussianMechanism, table: pd.DataFrame, schema: RecordSchema
    ) -> PrivateGaussianSynthesizer:
        """Learn the joint table from a mechanism's whole budget; nothing is checked and nothing stated."""
        patients, latents = row_patients(table, schema), read_latents(table)
        has_latents = latents.shape[1] > 0
        margins, *image, row, link = SHARES
        if not has_latents:
            margins, row = margins / (margins + row), row / (margins + row)
        found = fit_margins(table, schema, patients, mechanism, share=margins)
        self.layout_, self.columns_ = found.layout, found.columns
        self.whitening_: LatentWhitening | None = None
        scores = np.zeros((len(table), 0))
        if has_latents:
            self.whitening_ = fit_whitening_privately(
                latents,
                patients,
                read_directions(self.directions, latents.shape[1]),
                mechanism,
                num_scores=_num_scores(
                    mechanism.mu * found.num_patients, min(self.latent_components, latents.shape[1])
                ),
                num_patients=found.num_patients,
                shares=(image[0], image[1]),
            )
            scores = self.whitening_.transform(latents)
        flat = self.layout_.encoder.flatten(table)
        values = {name: flat[name].to_numpy() for name in flat.columns}
        regions = [column.region(values, fitting=True) for column in self.columns_]
        empty = np.zeros((len(table), 0))
        copula = fit_copula_privately(
            self.columns_,
            (
                np.concatenate([empty, *[region.lower for region in regions]], axis=1),
                np.concatenate([empty, *[region.upper for region in regions]], axis=1),
            ),
            scores,
            patients,
            mechanism,
            num_patients=found.num_patients,
            shares=(row, link),
        )
        self.copula_ = GaussianCopula(copula.mean.astype(np.float32), copula.covariance.astype(np.float32))
        size = sum(column.size for column in self.columns_)
        self.links_ = self.copula_.covariance[size:, :size]
        self._calibrate()
        self.num_patients_ = found.num_patients
        return self

    @classmethod
    def load(cls, folder: str | Path) -> PrivateGaussianSynthesizer:
        """Read an artifact that ``save`` wrote; it samples as the saved synthesizer did."""
        synthesizer = super().load(folder)
        assert isinstance(synthesizer, cls)
        synthesizer.privacy_ = read_artifact(folder, cls.__name__)[0]["privacy"]
        return synthesizer

    def _content(self) -> dict[str, Any]:
        """Return what the artifact says; the terms of the fit are in its statement."""
        arguments = {"epsilon": None, "latent_components": self.latent_components}
        return super()._content() | {"arguments": arguments, "privacy": self.privacy_}


def _num_scores(signal: float, most: int) -> int:
    """Return how many directions to measure: the noise on a column's links grows with their number squared.

    The factor was chosen on cohorts whose epsilon is not stated.
    """
    return int(min(most, max(FEWEST_SCORES, round(min(SCORES_PER_SIGNAL * np.sqrt(signal), most)))))
