"""What may be known of an encoder by everybody: fingerprints of its images, directions that matter, axes of latents."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from monai.networks.utils import eval_mode
from torch import nn

from monai_hybridsynth.transforms.perceptual_hash import hash_distances, perceptual_hashes

from .encode_cohort import CohortImages, encode_images

__all__ = ["LARGEST_DISTANCE", "generator_directions", "images_seen", "latent_axes", "write_public_encoder"]

# Bits, for chest radiographs: measured in `benchmarks/encoder_pool.py`.
LARGEST_DISTANCE = 40
DRAWS, BLOCK = 2048, 128


def write_public_encoder(
    path: str | Path,
    images: CohortImages,
    encoder: nn.Module,
    generator: nn.Module,
    *,
    latent_dim: int,
    largest_distance: int = LARGEST_DISTANCE,
) -> Path:
    """Write the safetensors file that stands beside the weights of an encoder.

    Fewer images than a latent has entries give no axes (`latent_axes`).

    Args:
        path: ``encoder_public.safetensors``.
        images: all images on which encoder and generator were trained or validated, as `CohortImages` gives them.
        encoder: images ``(B, C, S, S)`` to latents ``(B, latent_dim)``.
        generator: latents ``(B, latent_dim)`` to images ``(B, C, S, S)``.
        latent_dim: entries of a latent.
        largest_distance: bits by which a copy may differ; strangers must differ in more. It depends on how alike the
            images of a modality are.
    """
    from safetensors.numpy import save_file

    directions, changes = generator_directions(generator, latent_dim)
    arrays = {"hashes": _hashes(images), "directions": directions, "changes": changes}
    if len(images) >= latent_dim:
        arrays["axes"] = latent_axes(encoder, images)
    save_file(arrays | {"largest_distance": np.array([largest_distance])}, path)
    return Path(path)


def images_seen(path: str | Path, images: CohortImages) -> tuple[int, int]:
    """Return how many of the images the encoder was trained on, and on how many it was trained.

    An image counts as seen when its fingerprint differs from one of the pool in as many of 255 bits as the file allows,
    or fewer. What cannot be found this way are other images of the same patients.

    Args:
        path: file that `write_public_encoder` wrote.
        images: of the private cohort, as `CohortImages` gives them.

    Raises:
        ValueError: if the file holds no fingerprints.
    """
    from safetensors.numpy import load_file

    known = load_file(path)
    if not {"hashes", "largest_distance"} <= set(known):
        raise ValueError(f"{path} holds no fingerprints; write it with write_public_encoder().")
    pool = known["hashes"]
    return int((hash_distances(_hashes(images), pool) <= int(known["largest_distance"][0])).sum()), len(pool)


def generator_directions(generator: nn.Module, latent_dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Return orthonormal latent directions, those that change images most first, and by how much each changes them.

    Directions are float32 ``(latent_dim, latent_dim)``, one a row, and the changes ``(latent_dim,)``, of all pixels
    together, per unit of latent. They are the singular vectors and values of the generator's mean derivative, taken
    from the covariance of drawn latents with their images (Stein's lemma), so no image of anybody is needed.
    """
    latents = torch.randn(DRAWS, latent_dim, generator=torch.Generator().manual_seed(0))
    device = next(generator.parameters()).device
    with torch.no_grad(), eval_mode(generator):
        images = torch.cat([generator(part.to(device)).cpu().flatten(1) for part in latents.split(BLOCK)])
    slopes = (images - images.mean(0)).T @ latents / DRAWS
    _, changes, directions = torch.linalg.svd(slopes, full_matrices=False)
    return directions.numpy().copy(), changes.numpy().copy()


def latent_axes(encoder: nn.Module, images: CohortImages) -> np.ndarray:
    """Return the principal components of the images' latents, float32 ``(latent_dim, latent_dim)``, largest first.

    A cohort learned along them tells less of its patients than one learned along its own, and what is learned holds
    better for others, as far as its images vary as these do.
    """
    device = next(encoder.parameters()).device
    latents = encode_images(images, encoder, batch_size=BLOCK, device=device)
    _, axes = np.linalg.eigh(np.cov(latents.astype(float), rowvar=False))
    return np.ascontiguousarray(axes[:, ::-1].T, dtype=np.float32)


def _hashes(images: CohortImages) -> np.ndarray:
    """Return the fingerprints of all images, read one by one; the first channel stands for all."""
    found = [perceptual_hashes(images[index]["image"][:1].numpy()) for index in range(len(images))]
    return np.concatenate(found)
