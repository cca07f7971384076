"""How columns and latents hang together, from sums with noise: latents' scale, correlations, links of row and image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monai_hybridsynth.fusion.gaussian_copula import GaussianCopula, joint_copula
from monai_hybridsynth.fusion.gaussian_mechanism import GaussianMechanism, patient_means, shortened
from monai_hybridsynth.fusion.latent_whitening import LatentWhitening
from monai_hybridsynth.fusion.score_regression import expected_values
from monai_hybridsynth.fusion.underlying_columns import UnderlyingColumn

__all__ = ["fit_copula_privately", "fit_whitening_privately"]

REFERENCE_DRAWS = 20_000
ROOM = 0.75  # lengths up to this much above the usual count in full
SURE = 2.5  # a correlation below this many standard errors is not kept
MOST_EXPLAINED = 0.9  # largest correlation, and share of a clinical variable's variance that the image explains
SMALLEST_UNIT = 1e-3
LEAST_VARIANCE, MOST_VARIANCE = 0.2, 5.0


def fit_whitening_privately(
    latents: np.ndarray,
    patients: np.ndarray,
    directions: np.ndarray,
    mechanism: GaussianMechanism,
    *,
    num_scores: int,
    num_patients: float,
    shares: tuple[float, float],
) -> LatentWhitening:
    """Scale the latents along public directions; what is not measured is N(0, I), as in training.

    Args:
        latents: ``(rows, latents)``.
        patients: one identifier per row.
        directions: orthonormal rows, the most important first, ``(latents, latents)``.
        mechanism: adds the noise.
        num_scores: leading directions that are measured and modelled.
        num_patients: the noisy count.
        shares: of the budget, for means and for variances.
    """
    scores = latents @ directions[:num_scores].T
    # The mean of a cohort can lie far from zero in a few directions; lengths count in full up to twice the usual.
    total, noise = mechanism.release(
        patient_means(shortened(scores, 2 * np.sqrt(num_scores)), patients),
        norm=2 * np.sqrt(num_scores),
        share=shares[0],
    )
    mean = _towards_zero(total / num_patients, noise / num_patients)
    apart = (scores - mean) ** 2
    norm = np.sqrt(3 * num_scores) + 2 * ROOM
    total, noise = mechanism.release(patient_means(shortened(apart, norm), patients), norm=norm, share=shares[1])
    variance = 1 + _towards_zero(total / num_patients - 1, noise / num_patients)
    scale = np.ones(len(directions))
    scale[:num_scores] = np.sqrt(np.clip(variance, LEAST_VARIANCE, MOST_VARIANCE))
    return LatentWhitening.from_arrays(
        {
            "mean": mean @ directions[:num_scores],
            "mixing": directions.T * scale,
            "unmixing": directions / scale[:, None],
            "residual": np.zeros(len(directions)),
        },
        num_scores=num_scores,
    )


def fit_copula_privately(
    columns: Sequence[UnderlyingColumn],
    bounds: tuple[np.ndarray, np.ndarray],
    scores: np.ndarray,
    patients: np.ndarray,
    mechanism: GaussianMechanism,
    *,
    num_patients: float,
    shares: tuple[float, float],
) -> GaussianCopula:
    """Fit the joint normal from noisy products of expected underlying values, with each other and with the scores.

    A clinical value bounds its underlying variable; its expectation covaries with other variables as the variable does,
    times its own variance, which follows from the margins. What is released is shrunk by the noise it is known to have,
    so that a small budget gives independence and not nonsense. Shortening draws large correlations towards zero.

    Args:
        columns: cuts of normal variables, from noisy margins.
        bounds: lower and upper limits of the underlying variables, ``(rows, d)`` each.
        scores: of the latents, about standard normal, ``(rows, m)``.
        patients: one identifier per row.
        mechanism: adds the noise.
        num_patients: the noisy count.
        shares: of the budget, for products within the row and with the scores.
    """
    reference = _Reference(columns)
    expected = shortened(expected_values(*bounds), reference.norm)
    size = expected.shape[1]
    covariance, slopes = np.eye(size), np.zeros((scores.shape[1], size))
    first, second = np.triu_indices(size, 1)
    if len(first):
        products = patient_means(expected[:, first] * expected[:, second], patients)
        # The squares of all pairs sum to less than half of the length's fourth power.
        total, noise = mechanism.release(products, norm=reference.norm**2 / np.sqrt(2), share=shares[0])
        unit = reference.product_unit()[first, second]
        found, error = (
            total / num_patients / unit,
            np.sqrt((noise / num_patients / unit) ** 2 + 1 / num_patients / unit),
        )
        kept = np.abs(found) > SURE * error
        found = np.where(kept, found - error**2 / np.where(kept, found, 1.0), 0.0)
        covariance[first, second] = covariance[second, first] = np.clip(found, -MOST_EXPLAINED, MOST_EXPLAINED)
    if slopes.size:
        reach = np.sqrt(len(slopes)) + ROOM
        products = (shortened(scores, reach)[:, :, None] * expected[:, None, :]).reshape(len(scores), -1)
        total, noise = mechanism.release(
            patient_means(products, patients), norm=reach * reference.norm, share=shares[1]
        )
        unit = reference.link_unit(len(slopes), reach)
        error = np.sqrt((noise / num_patients / unit) ** 2 + 1 / num_patients / unit)
        found = total.reshape(slopes.shape) / num_patients / unit
        slopes = np.stack([_towards_zero(found[:, i], error[i]) for i in range(size)], axis=1)
        slopes /= np.maximum(np.sqrt((slopes**2).sum(axis=0) / MOST_EXPLAINED), 1.0)
    return joint_copula(np.zeros(size), covariance.round(4), slopes.round(4))


class _Reference:
    """What a correlation of one would give in the sums: from draws of the noisy margins, so that it costs no budget.

    Attributes:
        norm: limit of a row's expected values.
    """

    def __init__(self, columns: Sequence[UnderlyingColumn]) -> None:
        self.random = np.random.default_rng(0)
        values, known = [np.zeros((REFERENCE_DRAWS, 0))], [np.zeros(0)]
        for column in columns:
            drawn = column.decode(self.random.standard_normal((REFERENCE_DRAWS, column.size)))
            region = column.region(drawn, fitting=True)
            values.append(expected_values(region.lower, region.upper))
            known.append(((region.lower > -np.inf) | (region.upper < np.inf)).mean(axis=0))
        self.values, self.known = np.concatenate(values, axis=1), np.maximum(np.concatenate(known), 1e-3)
        self.norm = ROOM + float(np.sqrt((self.values**2).sum(axis=1).mean()))
        self.cut = self.values * shortened(self.values, self.norm)

    def product_unit(self) -> np.ndarray:
        """Return the mean product of two shortened expected values per unit of correlation, ``(d, d)``."""
        # Where one of two is missing the other often is too.
        known = np.maximum(self.known, self.known[:, None])
        return np.maximum(self.cut.T @ self.cut / REFERENCE_DRAWS / known, SMALLEST_UNIT)

    def link_unit(self, num_scores: int, reach: float) -> np.ndarray:
        """Return the mean product of a shortened expected value and a shortened score per unit of slope, ``(d,)``."""
        scores = self.random.standard_normal((REFERENCE_DRAWS, num_scores))
        kept = (scores * shortened(scores, reach)).mean()
        return np.maximum(self.cut.mean(axis=0) * kept, SMALLEST_UNIT)


def _towards_zero(values: np.ndarray, error: float) -> np.ndarray:
    """Return noisy values of a known error shrunk towards zero (positive-part rule of James and Stein).

    What noise alone could well have given, two standard deviations above its mean squared length, is set to zero.
    """
    size, square = len(values), float((values**2).sum())
    if square <= (size + 2 * np.sqrt(2 * size)) * error**2:
        return np.zeros_like(values)
    return values * (1 - size * error**2 / square)
