"""Metrics: arrays in, numbers out; they know no cohort and no engine."""

from __future__ import annotations

from monai_hybridsynth.metrics.agreement import agreement_estimate, agreement_ratio
from monai_hybridsynth.metrics.attack_choice import (
    CrossFittedAttack,
    learned_attack,
    patient_halves,
    strongest_attack,
)
from monai_hybridsynth.metrics.attack_power import (
    attack_auroc_estimate,
    attack_curve,
    attack_true_positive_estimate,
    auroc_score_interval,
    patient_scores,
)
from monai_hybridsynth.metrics.calibration import LogisticLink, reliability_curve, squared_calibration_error
from monai_hybridsynth.metrics.column_shape import kolmogorov_smirnov_complement, total_variation_complement
from monai_hybridsynth.metrics.constraint_violations import missing_share_gap, violates_levels, violates_limits
from monai_hybridsynth.metrics.cooccurrence import conditional_shares, cooccurrence_gap
from monai_hybridsynth.metrics.distance_correlation import Dependence, centred_distances, distance_correlation
from monai_hybridsynth.metrics.estimate import (
    REFIT_CONTRACTION,
    Estimate,
    bootstrap_estimate,
    bootstrap_weights,
    interval,
    record_weights,
    share_estimate,
)
from monai_hybridsynth.metrics.exact_rows import exact_rows
from monai_hybridsynth.metrics.frechet_distance import frechet_distance
from monai_hybridsynth.metrics.half_samples import half_samples
from monai_hybridsynth.metrics.kernel_distance import KernelDistanceMetric, kernel_distance
from monai_hybridsynth.metrics.map_agreement import map_agreement
from monai_hybridsynth.metrics.membership_attacks import (
    atypicality,
    closest_ratio_score,
    closest_score,
    density_ratio_score,
    match_score,
    neighbourhood_score,
)
from monai_hybridsynth.metrics.missing_pattern import missing_correlation, missing_pattern_gap
from monai_hybridsynth.metrics.moment_attack import moment_ratio_score
from monai_hybridsynth.metrics.ms_ssim import pairwise_ms_ssim
from monai_hybridsynth.metrics.nearest_record_distance import (
    nearest_neighbour_ratio,
    nearest_record_distance,
    nearest_records,
)
from monai_hybridsynth.metrics.outlier_score import broken_share, outlier_scores
from monai_hybridsynth.metrics.pair_trend import contingency_similarity, correlation_similarity
from monai_hybridsynth.metrics.pixel_correlation import PixelMatches, PixelMove, maximal_pixel_correlation, pixel_moves
from monai_hybridsynth.metrics.precision_recall import neighbour_radii, precision_recall
from monai_hybridsynth.metrics.ranking import weighted_auroc, weighted_average_precision, weighted_order_score
from monai_hybridsynth.metrics.retrieval import hit_chances, permutation_p_value
from monai_hybridsynth.metrics.spectrum import high_band_share, radial_power_spectrum
from monai_hybridsynth.metrics.utility import (
    supplement_weight,
    utility_ratio,
    utility_ratio_estimate,
    weighted_r2,
)

__all__ = [
    "REFIT_CONTRACTION",
    "CrossFittedAttack",
    "Dependence",
    "Estimate",
    "KernelDistanceMetric",
    "LogisticLink",
    "PixelMatches",
    "PixelMove",
    "agreement_estimate",
    "agreement_ratio",
    "attack_auroc_estimate",
    "attack_curve",
    "attack_true_positive_estimate",
    "atypicality",
    "auroc_score_interval",
    "bootstrap_estimate",
    "bootstrap_weights",
    "broken_share",
    "centred_distances",
    "closest_ratio_score",
    "closest_score",
    "conditional_shares",
    "contingency_similarity",
    "cooccurrence_gap",
    "correlation_similarity",
    "density_ratio_score",
    "distance_correlation",
    "exact_rows",
    "frechet_distance",
    "half_samples",
    "high_band_share",
    "hit_chances",
    "interval",
    "kernel_distance",
    "kolmogorov_smirnov_complement",
    "learned_attack",
    "map_agreement",
    "match_score",
    "maximal_pixel_correlation",
    "missing_correlation",
    "missing_pattern_gap",
    "missing_share_gap",
    "moment_ratio_score",
    "nearest_neighbour_ratio",
    "nearest_record_distance",
    "nearest_records",
    "neighbour_radii",
    "neighbourhood_score",
    "outlier_scores",
    "pairwise_ms_ssim",
    "patient_halves",
    "patient_scores",
    "permutation_p_value",
    "pixel_moves",
    "precision_recall",
    "radial_power_spectrum",
    "record_weights",
    "reliability_curve",
    "share_estimate",
    "squared_calibration_error",
    "strongest_attack",
    "supplement_weight",
    "total_variation_complement",
    "utility_ratio",
    "utility_ratio_estimate",
    "violates_levels",
    "violates_limits",
    "weighted_auroc",
    "weighted_average_precision",
    "weighted_order_score",
    "weighted_r2",
]
