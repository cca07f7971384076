"""Kernel distance: squared maximum mean discrepancy between the features of two image populations."""

from __future__ import annotations

import torch
from monai.metrics import CumulativeIterationMetric

__all__ = ["KernelDistanceMetric", "kernel_distance"]


def kernel_distance(y_pred: torch.Tensor, y: torch.Tensor, *, block: int = 4096) -> torch.Tensor:
    """Return the unbiased squared MMD with the cubic kernel ``(x.y / F + 1)^3``; lower is better.

    Zero in expectation for equal distributions, so it can be negative. The kernel is not scale free: features should
    have a mean square near one.

    Args:
        y_pred: features of generated images, shape ``(B1, F)``.
        y: features of real images, shape ``(B2, F)``; ``B1`` and ``B2`` may differ.
        block: rows per block, so that memory does not grow with the square of the cohort.

    Returns:
        Scalar, float64.

    Raises:
        ValueError: if the feature lengths differ or a side has fewer than two rows.

    Source:
        Kernel Inception Distance, Binkowski et al. 2018, https://arxiv.org/abs/1801.01401.
    """
    if y_pred.ndim != 2 or y.ndim != 2 or y_pred.shape[1] != y.shape[1]:
        raise ValueError(f"expected two feature sets (B, F) with equal F, got {tuple(y_pred.shape)}, {tuple(y.shape)}.")
    if len(y_pred) < 2 or len(y) < 2:
        raise ValueError(f"each side needs at least two images, got {len(y_pred)} and {len(y)}.")
    fake, real = y_pred.double(), y.double()
    within = sum(
        _kernel_sum(side, side, block=block, diagonal=False) / (len(side) * (len(side) - 1)) for side in (fake, real)
    )
    return within - 2 * _kernel_sum(fake, real, block=block, diagonal=True) / (len(fake) * len(real))


def _kernel_sum(first: torch.Tensor, second: torch.Tensor, *, block: int, diagonal: bool) -> torch.Tensor:
    total = first.new_zeros(())
    for rows in first.split(block):
        total += ((rows @ second.T / first.shape[1] + 1) ** 3).sum()
    return total if diagonal else total - (((first**2).sum(1) / first.shape[1] + 1) ** 3).sum()


class KernelDistanceMetric(CumulativeIterationMetric):
    """Unbiased squared MMD between generated and real features; lower is better.

    Shape:
        - ``y_pred``: features of generated images, ``(B1, F)``
        - ``y``: features of real images, ``(B2, F)``; ``B1`` and ``B2`` may differ
        - result: scalar; zero in expectation for equal distributions, so it can be negative

    Source:
        Kernel Inception Distance, Binkowski et al. 2018, https://arxiv.org/abs/1801.01401, with the kernel
        ``(x.y / F + 1)^3``.
    """

    def _compute_tensor(self, y_pred: torch.Tensor, y: torch.Tensor | None = None):  # type: ignore[override]
        """Check one batch of features and keep it; the distance needs all of them."""
        if y is None or y_pred.ndim != 2 or y.ndim != 2 or y_pred.shape[1] != y.shape[1]:
            got = f"{tuple(y_pred.shape)} and {None if y is None else tuple(y.shape)}"
            raise ValueError(
                f"expected two feature batches (B, F) with equal F, got {got}; "
                "pass images through a feature extractor first."
            )
        return [y_pred, y]

    def _compute_list(self, y_pred, y=None):  # type: ignore[override]
        """Stack both lists: MONAI would pair them and drop the surplus of the longer one."""
        return self._compute_tensor(torch.stack(list(y_pred)), None if y is None else torch.stack(list(y)))

    def aggregate(self) -> torch.Tensor:  # type: ignore[override]
        """Return the distance over every batch seen since the last reset."""
        buffers = self.get_buffer()
        if buffers is None:
            raise ValueError("no features were added; call the metric on a batch before aggregate().")
        fake, real = buffers
        return kernel_distance(fake, real)
