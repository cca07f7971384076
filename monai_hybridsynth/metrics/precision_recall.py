"""Precision, recall, density and coverage: are generated images like real ones, and are all real ones represented?"""

from __future__ import annotations

import numpy as np
import torch

__all__ = ["neighbour_radii", "precision_recall"]


def neighbour_radii(features: torch.Tensor, *, num_neighbours: int = 5, block: int = 2048) -> torch.Tensor:
    """Return each row's distance to its k-th nearest other row, shape ``(n,)``, float64.

    Args:
        features: shape ``(n, F)``.
        num_neighbours: k, at most ``n - 1``.
        block: rows compared at a time; memory is ``block * n`` numbers.

    Raises:
        ValueError: if there are too few rows.
    """
    if not 1 <= num_neighbours < len(features):
        raise ValueError(f"num_neighbours is {num_neighbours} but there are {len(features)} rows; give more rows.")
    features = features.double()
    radii = []
    for start in range(0, len(features), block):
        distances = torch.cdist(features[start : start + block], features)
        rows = torch.arange(len(distances))
        distances[rows, rows + start] = torch.inf
        radii.append(distances.kthvalue(num_neighbours, dim=1).values)
    return torch.cat(radii)


def precision_recall(
    y_pred: np.ndarray | torch.Tensor, y: np.ndarray | torch.Tensor, *, num_neighbours: int = 5, block: int = 2048
) -> dict[str, float]:
    """Return precision, recall, density and coverage of generated images in a feature space; higher is better.

    Around each image lies a ball that reaches to its k-th nearest neighbour of the same side. ``precision``: share of
    generated images in the ball of some real one. ``recall``: share of real images in the ball of some generated one.
    ``density``: balls of real images around a generated one, divided by k; it can exceed 1. ``coverage``: share of
    real images whose own ball holds a generated one. A far generated image has a large ball and lifts recall, a far
    real one lifts precision: density and coverage do not have that weakness. All four depend on both sizes: compare
    only values of equal sizes.

    Args:
        y_pred: features of generated images, shape ``(n1, F)``.
        y: features of real images, shape ``(n2, F)``.
        num_neighbours: k.
        block: rows compared at a time; memory is ``block * n`` numbers.

    Raises:
        ValueError: if the feature lengths differ or a side has no more than ``num_neighbours`` rows.

    Source:
        Precision and recall: Kynkaanniemi et al. 2019, https://arxiv.org/abs/1904.06991. Density and coverage: Naeem
        et al. 2020, https://arxiv.org/abs/2002.09797. Differs from the first: k is 5 for all four, as in the second.
    """
    fake, real = torch.as_tensor(y_pred).double(), torch.as_tensor(y).double()
    if fake.ndim != 2 or real.ndim != 2 or fake.shape[1] != real.shape[1]:
        raise ValueError(
            f"expected two feature sets (n, F) with equal F, got {tuple(fake.shape)}, {tuple(real.shape)}."
        )
    radii_fake = neighbour_radii(fake, num_neighbours=num_neighbours, block=block)
    radii_real = neighbour_radii(real, num_neighbours=num_neighbours, block=block)
    inside_fake = 0
    balls = 0
    recalled = torch.zeros(len(real), dtype=torch.bool)
    closest = torch.full((len(real),), torch.inf, dtype=torch.float64)
    for start in range(0, len(fake), block):
        distances = torch.cdist(fake[start : start + block], real)
        held = distances <= radii_real
        inside_fake += int(held.any(1).sum())
        balls += int(held.sum())
        recalled |= (distances <= radii_fake[start : start + block, None]).any(0)
        closest = torch.minimum(closest, distances.min(0).values)
    return {
        "precision": inside_fake / len(fake),
        "recall": float(recalled.double().mean()),
        "density": balls / (num_neighbours * len(fake)),
        "coverage": float((closest <= radii_real).double().mean()),
    }
