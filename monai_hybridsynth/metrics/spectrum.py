"""Radial power spectrum: how much fine detail images hold, which blur takes away and checkerboards add."""

from __future__ import annotations

import numpy as np

__all__ = ["high_band_share", "radial_power_spectrum"]

# In cycles per pixel; the finest grating that pixels can show has 0.5.
HIGH_BAND = 0.25


def radial_power_spectrum(images: np.ndarray, *, block: int = 512) -> tuple[np.ndarray, np.ndarray]:
    """Return mean power by spatial frequency for each image.

    The mean of each image is taken off and its borders are faded out by a Hann window: without one, the jump from one
    border to the opposite one looks like fine detail.

    Args:
        images: shape ``(N, C, S, S)``, any numeric dtype and scale; channels are averaged.
        block: images transformed at a time.

    Returns:
        Frequencies in cycles per pixel, shape ``(S // 2,)``, the first above zero, the last 0.5; and the mean power in
        the ring around each, float64 ``(N, S // 2)``.

    Raises:
        ValueError: if the images are not square or have fewer than four pixels along an edge.
    """
    if images.ndim != 4 or images.shape[2] != images.shape[3] or images.shape[2] < 4:
        raise ValueError(f"expected square images (N, C, S, S) with S of at least 4, got {images.shape}.")
    size = images.shape[2]
    window = np.hanning(size + 2)[1:-1]
    window = window[:, None] * window[None]
    steps = np.fft.fftfreq(size) * size, np.fft.rfftfreq(size) * size
    ring = np.rint(np.hypot(steps[0][:, None], steps[1][None])).astype(int)
    # The half spectrum of a real image holds each inner column twice.
    twice = np.where((steps[1] == 0) | (2 * steps[1] == size), 1.0, 2.0)[None].repeat(size, 0)
    num_rings = size // 2
    members = np.zeros((ring.size, num_rings))
    used = (ring.ravel() >= 1) & (ring.ravel() <= num_rings)
    members[np.flatnonzero(used), ring.ravel()[used] - 1] = twice.ravel()[used]
    members /= members.sum(0)
    found = []
    for start in range(0, len(images), block):
        part = np.asarray(images[start : start + block], dtype=np.float32)
        part = (part - part.mean((2, 3), keepdims=True)) * window.astype(np.float32)
        power = (np.abs(np.fft.rfft2(part)) ** 2).mean(1)
        found.append(power.reshape(len(part), -1).astype(float) @ members)
    power = np.concatenate(found) if found else np.zeros((0, num_rings))
    return np.arange(1, num_rings + 1) / size, power


def high_band_share(frequencies: np.ndarray, power: np.ndarray) -> np.ndarray:
    """Return the share of an image's energy at or above a quarter cycle per pixel, shape ``(N,)``.

    Args:
        frequencies: of :func:`radial_power_spectrum`, shape ``(R,)``.
        power: mean power per ring, shape ``(N, R)``; a ring counts with its circumference.

    Returns:
        Shares between 0 and 1; 0 for an image of one colour.
    """
    energy = power * frequencies
    total = energy.sum(-1)
    high = energy[..., frequencies >= HIGH_BAND].sum(-1)
    return np.divide(high, total, out=np.zeros_like(total), where=total > 0)
