"""One joint Gaussian under the clinical row and the image's latents: any columns fixed, the rest drawn given them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.linalg import block_diag
from threadpoolctl import threadpool_limits

from monai_hybridsynth.fusion.conditional_draws import ConditionalDraws
from monai_hybridsynth.fusion.conditioning import Conditions, FixedColumns
from monai_hybridsynth.fusion.gaussian_copula import GaussianCopula, fit_copula
from monai_hybridsynth.fusion.image_given_row import ImageGivenRow
from monai_hybridsynth.fusion.image_variation import ImageVariation
from monai_hybridsynth.fusion.latent_whitening import LatentWhitening, clip_outliers
from monai_hybridsynth.fusion.public_directions import public_axes, slope_prior
from monai_hybridsynth.fusion.rule_keeping import draw_records
from monai_hybridsynth.fusion.score_regression import expected_values
from monai_hybridsynth.fusion.synthesizer import arrays_below, read_artifact, require_fitted, write_artifact
from monai_hybridsynth.fusion.table_layout import TableLayout
from monai_hybridsynth.fusion.underlying_columns import column_parts
from monai_hybridsynth.fusion.underlying_table import read_underlying, underlying_columns
from monai_hybridsynth.transforms.published_statistics import patient_weights

if TYPE_CHECKING:
    from monai_hybridsynth.data.record_schema import RecordSchema

__all__ = ["ConditionalGaussianSynthesizer"]

BLOCK = 4096
# Every link has a penalty of its own against noise, and the smallest components of chests carry sex and view too.
PATIENTS_PER_COMPONENT = 3
CALIBRATION_ROWS = 20_000
LARGEST_SCORE = 3.5
PUBLIC_LINK_GAIN = 1.2
# Matrices are so small that threads wait for one another longer than they work, many times as long on a busy machine;
# and sums over threads differ in their last digits.
one_thread = threadpool_limits.wrap(limits=1, user_api="blas")


class ConditionalGaussianSynthesizer:
    """Learn records as cuts of one joint normal distribution; fix any columns and draw the others given them.

    Numbers are quantile transforms of normal variables (a detection limit cuts off an end), binary and ordinal columns
    are cut at thresholds, of three unordered categories or more the one with the largest margin is taken, a
    multi-label column has a threshold per label, and a missing value is a variable of its own, so that a value may be
    missing because of what the others are. The latents are written as principal components, at most one per three
    patients, and residual noise. The joint covariance is fitted by data augmentation (see `fit_copula`); regressions of
    clinical variables on latents are ridges of the likeliest penalty, in part common to the labels of a column (see
    `regress_on_scores`), their length chosen on patients left out, so that a record's row and image belong together as
    much as they do in patients that were not seen. Images are drawn around class-wise means (see `ImageGivenRow`) and
    vary as those of their class do (see `ImageVariation`); where latents are given, the joint normal answers.

    Fixed numbers and latents are conditioned on in closed form, fixed categories by Gibbs draws within their bounds.
    An outcome that is rare can be drawn as often as wanted by fixing it, row by row where others shall vary.

    The artifact holds quantiles, thresholds, covariances and the latents' components; no row, and no category that
    fewer than ``minimum_patients`` patients have.

    Args:
        latent_components: most principal components of the latents that take part; the rest is independent noise.
        link_gain: how much further than in the latents the values of a row move an image that is drawn; None for 1, or
            for 1.2 along public axes, where each link is smaller beside the noise that there is in other patients.
        image_spread: how many times as far from their mean as learned the latents of drawn images lie: a generator
            answers drawn latents, which lie where it was trained less, with less contrast than those of real images.
            1.2 was chosen for the shipped decoder of chests (``benchmarks/RESULTS.md``, "Link gain and image spread");
            1 for latents that are not decoded. Where a latent is fixed the others are drawn as learned.
        minimum_patients: patients that must share a category, and that each quantile stands for.
        public_encoder: file of `write_public_encoder`, whose axes take the place of principal components of the
            patients' latents. Somebody who has that encoder can no longer tell patients by the covariance of the
            records (``benchmarks/RESULTS.md``, "Membership by the public encoder"). Where these images vary unlike the
            public ones, ``fit`` warns and learns along the patients' own. The file also says along which directions
            images change most, where links are expected (`slope_prior`). Read by ``fit`` alone.

    Example:
        >>> synthesizer = ConditionalGaussianSynthesizer().fit(table, schema, seed=0)
        >>> synthesizer.sample(100, conditions={"sex": "F", "latent_000": 1.5}, seed=1)
    """

    def __init__(
        self,
        *,
        latent_components: int = 512,
        link_gain: float | None = None,
        image_spread: float = 1.2,
        minimum_patients: int = 5,
        public_encoder: str | Path | None = None,
    ) -> None:
        if latent_components < 1:
            raise ValueError(f"latent_components is {latent_components}; it must be at least 1.")
        if link_gain is not None and not 0 < link_gain < 10:
            raise ValueError(f"link_gain is {link_gain}; it must be above 0, 1 for the learned links, and below 10.")
        if not 0 < image_spread < 10:
            raise ValueError(
                f"image_spread is {image_spread}; it must be above 0, 1 for latents as learned, and below 10."
            )
        self.latent_components = latent_components
        self.link_gain = 1.0 if link_gain is None else link_gain
        self._gain_by_axes = link_gain is None
        self.image_spread = image_spread
        self.minimum_patients = minimum_patients
        self.public_encoder = public_encoder
        self.variation_: ImageVariation | None = None
        self._image: ImageGivenRow | None = None

    @one_thread
    def fit(self, table: pd.DataFrame, schema: RecordSchema, *, seed: int) -> ConditionalGaussianSynthesizer:
        """Learn the joint table.

        Args:
            table: parsed clinical columns, ``latent_*`` columns and, for weighting only, ``patient_id``; ``(rows,
                columns)``.
            schema: of the clinical columns.
            seed: the same table and seed give the same model.

        Raises:
            ValueError: if the table does not fit the schema, has missing latents or nothing that varies.
        """
        self.layout_, flat, latents, patients = TableLayout.fit(table, schema, minimum_patients=self.minimum_patients)
        weights = patient_weights(patients)
        values = {name: flat[name].to_numpy() for name in flat.columns}
        ordinal = {name for name in self.layout_.encoder.names if schema[name].kind == "ordinal"}
        self.columns_ = underlying_columns(
            self.layout_.encoder, values, ordinal=ordinal, weights=weights, patients=patients
        )
        self.whitening_: LatentWhitening | None = None
        scores, prior, along_public = np.zeros((len(table), 0)), np.zeros((0, 0)), False
        if latents.shape[1]:
            scores, prior, along_public = self._scores(latents, weights=weights, patients=patients, seed=seed)
        if not self.columns_ and not latents.shape[1]:
            raise ValueError("no column of the table varies; there is nothing to learn.")
        regions = [column.region(values, fitting=True) for column in self.columns_]
        empty = np.zeros((len(table), 0))
        lower = np.concatenate([empty, *[region.lower for region in regions]], axis=1)
        upper = np.concatenate([empty, *[region.upper for region in regions]], axis=1)
        copula, links = fit_copula(
            lower,
            upper,
            scores,
            is_number=np.array([flag for column in self.columns_ for flag in column.is_number], dtype=bool),
            prior=prior,
            shared=block_diag(*[column.shared for column in self.columns_]),
            weights=weights,
            patients=patients,
            seed=seed,
        )
        # What the artifact keeps, so that sampling before and after saving agrees to the bit.
        self.copula_ = GaussianCopula(copula.mean.astype(np.float32), copula.covariance.astype(np.float32))
        self.links_ = links.astype(np.float32)
        if along_public:
            # Along public axes the patients' scores correlate by chance: the links are those of uncorrelated ones.
            self.links_ = self.copula_.covariance[lower.shape[1] :, : lower.shape[1]]
        self.variation_ = None
        if scores.shape[1] and self.columns_:
            said = expected_values(lower, upper)
            # Not kept: columns are calibrated below, and images are drawn given what calibrated columns say.
            image = ImageGivenRow(self.copula_, self.columns_, links=self.links_, gain=self.link_gain)
            noise = image.noise(said, scores)
            self.variation_ = ImageVariation.fit(noise, said, weights=weights, patients=patients, seed=seed)
        self._calibrate()
        return self

    @one_thread
    def sample(self, num_records: int, *, conditions: Conditions | None = None, seed: int) -> pd.DataFrame:
        """Draw records.

        Args:
            num_records: how many.
            conditions: one value per column for all records, or a table with one row per record; clinical and latent
                columns. Requested values are returned unchanged.
            seed: the same seed gives the same records.

        Returns:
            the fitted table's clinical and latent columns, its order and dtypes.
        """
        require_fitted(self, "copula_", call="sample")
        return draw_records(self._draw_records, self.layout_, num_records, conditions=conditions, seed=seed)

    def _draw_records(self, fixed: FixedColumns | None, num_records: int, rng: np.random.Generator) -> pd.DataFrame:
        """Draw records given the fixed columns, block by block."""
        names, size = self.layout_.latent_names, sum(column.size for column in self.columns_)
        image = None
        copula = self.copula_
        if self.whitening_ is not None and (fixed is None or not set(names) & set(fixed.values.columns)):
            image = self._image_given_row()
            copula = GaussianCopula(copula.mean[:size], copula.covariance[:size, :size])
        draws = ConditionalDraws(copula, self.columns_, None if image else self.whitening_, names, fixed)
        parts = []
        for start in range(0, num_records, BLOCK):
            drawn = draws.draw(np.arange(start, min(start + BLOCK, num_records)), rng)
            if image is not None:
                drawn = np.concatenate([drawn, image.draw(drawn, rng, variation=self.variation_)], axis=1)
            parts.append(self._records(drawn, rng, spread=1.0 if image is None else self.image_spread))
        return pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0]

    def save(self, folder: str | Path) -> Path:
        """Write ``weights.safetensors`` and ``synthesizer.json``; no pickle, no row."""
        require_fitted(self, "copula_", call="save")
        arrays = {"mean": self.copula_.mean, "covariance": self.copula_.covariance, "links": self.links_}
        for name, part in (("whitening", self.whitening_), ("variation", self.variation_)):
            if part is not None:
                arrays |= {f"{name}.{key}": value for key, value in part.to_arrays().items()}
        return write_artifact(folder, type(self).__name__, self._content(), arrays)

    @classmethod
    def load(cls, folder: str | Path) -> ConditionalGaussianSynthesizer:
        """Read an artifact that ``save`` wrote; it samples as the saved synthesizer did."""
        content, arrays = read_artifact(folder, cls.__name__)
        synthesizer = cls(**content["arguments"])
        # Artifacts older than this argument were made, and go on to be drawn from, without it.
        synthesizer.image_spread = content["arguments"].get("image_spread", 1.0)
        synthesizer.layout_ = TableLayout.from_dict(content["layout"])
        synthesizer.columns_ = [read_underlying(column) for column in content["columns"]]
        synthesizer.copula_ = GaussianCopula(arrays["mean"], arrays["covariance"])
        synthesizer.links_ = arrays["links"]
        synthesizer.whitening_ = None
        if content["num_scores"] is not None:
            parts = arrays_below(arrays, "whitening")
            synthesizer.whitening_ = LatentWhitening.from_arrays(parts, num_scores=content["num_scores"])
        # Artifacts older than this part have none.
        variation = arrays_below(arrays, "variation")
        synthesizer.variation_ = ImageVariation(**variation) if variation else None
        return synthesizer

    def _content(self) -> dict[str, Any]:
        """Return the JSON values of the artifact."""
        arguments = ("latent_components", "link_gain", "image_spread", "minimum_patients")
        return {
            "arguments": {name: getattr(self, name) for name in arguments},
            "layout": self.layout_.to_dict(),
            "columns": [column.to_dict() for column in self.columns_],
            "num_scores": None if self.whitening_ is None else self.whitening_.num_scores_,
        }

    def _scores(
        self, latents: np.ndarray, *, weights: np.ndarray, patients: np.ndarray, seed: int
    ) -> tuple[np.ndarray, np.ndarray, bool]:
        """Learn the axes of the latents; return scores, the prior of slopes on them, and whether axes are public."""
        # As the whitening itself does: an extreme latent would reach every score that it is part of.
        latents = clip_outliers(latents, weights)
        known: dict[str, Any] = {"weights": weights, "patients": patients, "seed": seed}
        axes = public_axes(self.public_encoder, latents, **known)
        if self._gain_by_axes:
            self.link_gain = 1.0 if axes is None else PUBLIC_LINK_GAIN
        self.whitening_ = LatentWhitening(
            self.latent_components, directions="principal", patients_per_component=PATIENTS_PER_COMPONENT
        ).fit(latents, np.zeros((len(latents), 0)), **known, axes=axes)
        scores = np.clip(self.whitening_.transform(latents), -LARGEST_SCORE, LARGEST_SCORE)
        along_public = axes is not None
        expected = slope_prior(self.public_encoder, latents.shape[1], along_public=along_public)
        return scores, self.whitening_.mixing_.T[: scores.shape[1]] @ expected, along_public

    def _image_given_row(self) -> ImageGivenRow:
        """Return how images are drawn given rows, made once per fit: cohorts are drawn in many small blocks."""
        image = self._image
        if image is None or image.copula is not self.copula_ or image.gain != self.link_gain:
            image = ImageGivenRow(self.copula_, self.columns_, links=self.links_, gain=self.link_gain)
            self._image = image
        return image

    def _calibrate(self) -> None:
        """Let every column move its thresholds until what the model draws has the learned shares."""
        size = sum(column.size for column in self.columns_)
        part = GaussianCopula(self.copula_.mean[:size], self.copula_.covariance[:size, :size])
        noise = np.random.default_rng(0).standard_normal((CALIBRATION_ROWS, size))
        drawn = part.mean + noise @ part.root().T
        for column, variables in column_parts(self.columns_, drawn):
            column.calibrate(variables)

    def _records(self, drawn: np.ndarray, rng: np.random.Generator, *, spread: float) -> pd.DataFrame:
        """Return records from underlying variables ``(rows, clinical variables + scores)``."""
        flat: dict[str, np.ndarray] = {}
        for column, variables in column_parts(self.columns_, drawn):
            flat |= column.decode(variables)
        names = [part.name for part in self.layout_.encoder.flat_columns]
        latents = np.zeros((len(drawn), 0))
        if self.whitening_ is not None:
            latents = self.whitening_.inverse(drawn[:, sum(column.size for column in self.columns_) :], rng)
            latents += np.float32(spread - 1) * (latents - self.whitening_.mean_)
        return self.layout_.join(pd.DataFrame({name: flat[name] for name in names}, index=range(len(drawn))), latents)
