"""Do two models look at the same places? Rank correlation between their maps, image by image."""

from __future__ import annotations

import numpy as np

__all__ = ["map_agreement"]


def map_agreement(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the rank correlation between two maps of each image, shape ``(N,)``; 0 where a map is constant.

    Ranks, because the size of an effect depends on a model's scale and on nothing that it looks at.

    Args:
        first: maps ``(N, ...)``.
        second: maps of the same images by another model, same shape.

    Raises:
        ValueError: if shapes differ or a map has fewer than two places.
    """
    from scipy.stats import rankdata

    first, second = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if first.shape != second.shape or first.ndim < 2 or first[:1].size == 1:
        raise ValueError(f"expected two stacks of maps (N, ...) of one shape, got {first.shape} and {second.shape}.")
    if not len(first):
        return np.zeros(0)
    ranks = [rankdata(maps.reshape(len(maps), -1), axis=1) for maps in (first, second)]
    centred = [rank - rank.mean(1, keepdims=True) for rank in ranks]
    spread = np.sqrt((centred[0] ** 2).sum(1) * (centred[1] ** 2).sum(1))
    return np.divide((centred[0] * centred[1]).sum(1), spread, out=np.zeros(len(first)), where=spread > 0)
