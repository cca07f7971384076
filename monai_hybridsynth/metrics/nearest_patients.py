"""Which patient an image comes nearest to, and how much nearer than to the next ones: by pixels or by features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from monai_hybridsynth.metrics.copy_share import neighbour_contrast
from monai_hybridsynth.metrics.nearest_record_distance import nearest_records
from monai_hybridsynth.metrics.pixel_correlation import maximal_pixel_correlation

__all__ = ["NearestPatients", "nearest_by_features", "nearest_by_pixels"]

NUM_OTHERS = 10
# What equals up to rounding is an exact copy.
ROUNDING = 1e-5


@dataclass(frozen=True)
class NearestPatients:
    """What one measure says about some images.

    Attributes:
        contrast: distance to the nearest patient over that to the next ones, shape ``(rows,)``, see
            `neighbour_contrast`.
        index: the nearest image of the bank, shape ``(rows,)``.
        correlation: pixel correlation with it, where that is the measure.
        move: how the image of the bank was moved for it, in words, where that is the measure.
    """

    contrast: np.ndarray
    index: np.ndarray
    correlation: np.ndarray | None = None
    move: list[str] | None = None


def nearest_by_features(candidates: np.ndarray, bank: np.ndarray, groups: np.ndarray) -> NearestPatients:
    """Compare by Euclidean distance of features.

    Args:
        candidates: to judge, shape ``(S, F)``.
        bank: features of patients' images, shape ``(T, F)``.
        groups: patient of each image of the bank, shape ``(T,)``.
    """
    codes, wanted = _codes(groups)
    distances, index = nearest_records(torch.from_numpy(candidates), torch.from_numpy(bank), num_neighbours=wanted)
    contrast = neighbour_contrast(distances.numpy(), codes[index.numpy()], num_others=NUM_OTHERS)
    return NearestPatients(contrast, index[:, 0].numpy())


def nearest_by_pixels(candidates: np.ndarray, bank: np.ndarray, groups: np.ndarray) -> NearestPatients:
    """Compare by the highest correlation over moves, sizes and mirror images, see `maximal_pixel_correlation`.

    Args:
        candidates: images to judge, ``(S, C, H, W)``, any number type.
        bank: patients' images, ``(T, C, H, W)``.
        groups: patient of each image of the bank, shape ``(T,)``.
    """
    codes, wanted = _codes(groups)
    matches = maximal_pixel_correlation(torch.from_numpy(candidates), torch.from_numpy(bank), num_best=wanted)
    index = matches.index.numpy()
    contrast = neighbour_contrast(1.0 - matches.correlation.numpy(), codes[index], num_others=NUM_OTHERS)
    contrast = np.where(contrast < ROUNDING, 0.0, contrast)
    words = [matches.moves[move].words(bank.shape[-1]) for move in matches.move[:, 0].tolist()]
    return NearestPatients(contrast, index[:, 0], matches.correlation[:, 0].numpy(), words)


def _codes(groups: np.ndarray) -> tuple[np.ndarray, int]:
    """Return patients as numbers, and enough neighbours even if all on the way have as many images as the richest."""
    codes = np.unique(groups, return_inverse=True)[1].reshape(-1)
    return codes, int(min(len(codes), NUM_OTHERS * np.bincount(codes).max() + 1))
