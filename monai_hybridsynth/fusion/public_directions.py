"""Directions of a latent space that the public generator itself calls important, the most important first."""

from __future__ import annotations

from pathlib import Path

import numpy as np

__all__ = ["read_directions"]


def read_directions(path: str | Path | None, num_latents: int) -> np.ndarray:
    """Return orthonormal directions, one a row, float64 ``(num_latents, num_latents)``.

    Args:
        path: safetensors file with ``directions``; None for the latents as they are numbered.
        num_latents: of the table.

    Raises:
        ValueError: if the file's latent space has another size, or there is no such file.
    """
    if path is None:
        return np.eye(num_latents)
    from safetensors.numpy import load_file

    if not Path(path).is_file():
        raise ValueError(f"directions is {path}, which is no file; give encoder_public.safetensors, or None.")
    found = load_file(path).get("directions", np.zeros((0, 0))).astype(float)
    if found.shape != (num_latents, num_latents) or not np.allclose(found @ found.T, np.eye(len(found)), atol=1e-3):
        raise ValueError(
            f"{path} holds directions of shape {found.shape}, the table has {num_latents} latents; give the file of "
            "the encoder that made the latents."
        )
    return found
