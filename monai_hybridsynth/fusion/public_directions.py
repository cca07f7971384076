"""Directions of a latent space that are known without any patient of a cohort: the encoder's public file holds them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

__all__ = ["read_directions"]


def read_directions(path: str | Path | None, num_latents: int, *, kind: str = "directions") -> np.ndarray:
    """Return orthonormal directions, one a row, float64 ``(num_latents, num_latents)``.

    Args:
        path: safetensors file that `write_public_encoder` wrote; None for the latents as they are numbered.
        num_latents: of the table.
        kind: ``"directions"``, those first that change images of the generator most, or ``"axes"``, the principal
            components of the latents of public images.

    Raises:
        ValueError: if the file's latent space has another size, or there is no such file.
    """
    if path is None:
        return np.eye(num_latents)
    from safetensors.numpy import load_file

    if not Path(path).is_file():
        raise ValueError(f"{kind}: {path} is no file; give encoder_public.safetensors, or None.")
    found = load_file(path).get(kind, np.zeros((0, 0))).astype(float)
    if found.shape != (num_latents, num_latents) or not np.allclose(found @ found.T, np.eye(len(found)), atol=1e-3):
        raise ValueError(
            f"{path} holds {kind} of shape {found.shape}, the table has {num_latents} latents; give the file of "
            "the encoder that made the latents, written anew if it is older than this version."
        )
    return found
