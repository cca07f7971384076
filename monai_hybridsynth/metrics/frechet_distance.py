"""Fréchet distance between the features of two image populations, for unequal and for small samples."""

from __future__ import annotations

import numpy as np

__all__ = ["frechet_distance"]


def frechet_distance(first: np.ndarray, second: np.ndarray, *, shrunk: bool = False) -> float:
    """Return ``|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))``; lower is better, 0 for equal moments.

    Biased upwards: two samples of n rows of one population lie apart by about ``F (F + 5) / (2 n)`` times the
    features' variance. Never read it alone: compare with two real samples of the same sizes, as the evaluation does, or
    use the kernel distance, which has no such bias.

    Args:
        first: features, shape ``(n1, F)``.
        second: features, shape ``(n2, F)``; the sizes may differ.
        shrunk: whether covariances are shrunk towards a multiple of the identity (Ledoit and Wolf), as is needed where
            a side has fewer rows than features; shrink both or none of the values that are compared.

    Raises:
        ValueError: if the feature lengths differ or a side has fewer than two rows.

    Source:
        Heusel et al. 2017, https://arxiv.org/abs/1706.08500. Differs from the paper: features of the caller's choice,
        the trace of the root by eigenvalues of a symmetric product, which needs no correction of complex parts.

    Example:
        >>> a = np.array([[0.0], [2.0]])
        >>> round(frechet_distance(a, a + 3), 6)
        9.0
    """
    sides = [np.asarray(side, dtype=float) for side in (first, second)]
    if any(side.ndim != 2 for side in sides) or sides[0].shape[1] != sides[1].shape[1]:
        raise ValueError(f"expected two feature sets (n, F) with equal F, got {sides[0].shape} and {sides[1].shape}.")
    if min(len(side) for side in sides) < 2:
        raise ValueError(f"each side needs at least two images, got {len(sides[0])} and {len(sides[1])}.")
    gap = sides[0].mean(0) - sides[1].mean(0)
    covariances = [_covariance(side, shrunk=shrunk) for side in sides]
    values, vectors = np.linalg.eigh(covariances[0])
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    product = np.linalg.eigvalsh(root @ covariances[1] @ root)
    trace = np.sqrt(np.clip(product, 0, None)).sum()
    return float(gap @ gap + np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * trace)


def _covariance(features: np.ndarray, *, shrunk: bool) -> np.ndarray:
    if not shrunk:
        return np.atleast_2d(np.cov(features, rowvar=False))
    from sklearn.covariance import ledoit_wolf

    return np.atleast_2d(ledoit_wolf(features)[0])
