"""Is a cohort among the encoder's images, and which latent directions does its generator care about?"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from scipy.ndimage import gaussian_filter

from monai_hybridsynth.workflows.public_encoder import (
    generator_directions,
    images_seen,
    latent_axes,
    write_public_encoder,
)


def images(count: int, seed: int) -> list[dict[str, torch.Tensor]]:
    noise = np.random.default_rng(seed).standard_normal((count, 32, 32))
    return [{"image": torch.from_numpy(gaussian_filter(part, 2).astype(np.float32))[None]} for part in noise]


class Weighted(torch.nn.Module):
    """Images in which latent 2 counts most and latent 0 least."""

    def __init__(self):
        super().__init__()
        self.weights = torch.nn.Parameter(torch.tensor([1.0, 2.0, 4.0]))
        self.patterns = torch.randn(3, 64, generator=torch.Generator().manual_seed(0))

    def forward(self, z):
        return torch.tanh(0.01 * (z * self.weights) @ self.patterns).view(-1, 1, 8, 8)


class Squares(torch.nn.Module):
    """Means of three parts of an image."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))

    def forward(self, x):
        return self.scale * torch.stack([part.mean((1, 2, 3)) for part in x.chunk(3, dim=-1)], dim=1)


def test_images_that_trained_the_encoder_are_found(tmp_path):
    pool, strangers = images(12, 0), images(9, 1)
    path = write_public_encoder(tmp_path / "encoder_public.safetensors", pool, Squares(), Weighted(), latent_dim=3)
    brighter = [{"image": 0.9 * part["image"] + 0.05} for part in pool[:5]]
    assert images_seen(path, strangers) == (0, 12)
    assert images_seen(path, strangers + brighter) == (5, 12)
    shapes = {name: part.shape for name, part in load_file(path).items()}
    assert (shapes["axes"], shapes["directions"], shapes["changes"]) == ((3, 3), (3, 3), (3,))
    strict = write_public_encoder(
        tmp_path / "strict.safetensors", pool, Squares(), Weighted(), latent_dim=3, largest_distance=-1
    )
    assert images_seen(strict, pool) == (0, 12)
    save_file({"directions": np.eye(3, dtype=np.float32)}, tmp_path / "without.safetensors")
    with pytest.raises(ValueError, match="holds no fingerprints"):
        images_seen(tmp_path / "without.safetensors", strangers)


def test_directions_are_ordered_by_what_they_change():
    found, changes = generator_directions(Weighted(), 3)
    assert found @ found.T == pytest.approx(np.eye(3), abs=1e-4)
    assert np.abs(found).argmax(axis=1).tolist() == [2, 1, 0]
    patterns = 0.01 * Weighted().weights.detach()[:, None] * Weighted().patterns  # tanh is nearly straight here
    assert changes == pytest.approx(torch.linalg.svdvals(patterns).numpy(), rel=0.1)


def test_axes_are_the_principal_components_of_the_latents():
    strengths = np.random.default_rng(0).standard_normal((300, 2))
    pool = [{"image": torch.tensor(np.repeat([[3 * a, 3 * a, b]], 4, axis=0)).float()[None]} for a, b in strengths]
    found = latent_axes(Squares(), pool)
    assert found.dtype == np.float32
    assert np.abs(found) == pytest.approx(np.array([[0.707, 0.707, 0], [0, 0, 1], [0.707, 0.707, 0]]), abs=0.05)
