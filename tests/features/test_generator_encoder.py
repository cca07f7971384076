from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from monai_hybridsynth.features import find_encoder_weights, load_generator_encoder
from monai_hybridsynth.networks import AlphaGanEncoder


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return AlphaGanEncoder(2, 1, 16, latent_dim=6, channels=4).eval()


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
@pytest.mark.parametrize("place", ["models", ""])
def test_sizes_are_read_from_the_weights(encoder, tmp_path, suffix, place):
    folder = tmp_path / place
    folder.mkdir(exist_ok=True)
    path = folder / f"encoder.{suffix}"
    torch.save(encoder.state_dict(), path) if suffix == "pt" else save_file(encoder.state_dict(), path)
    assert find_encoder_weights(tmp_path) == path
    space = load_generator_encoder(tmp_path, in_channels=1)
    images = torch.rand(20, 1, 16, 16) * 2 - 1
    torch.testing.assert_close(space.network(images), encoder(images))
    assert space.fit(images)(images).shape == (20, 6)
    assert space.name == "generator's own encoder"
    assert space(torch.rand(3, 1, 24, 24)).shape == (3, 6)


def test_the_shipped_bundle_is_found():
    from pathlib import Path

    bundle = Path(__file__).parents[2] / "bundles" / "cxr_alpha_gan"
    assert find_encoder_weights(bundle) == bundle / "models" / "encoder.safetensors"
    assert load_generator_encoder(bundle, in_channels=1).network.encoder.latent_dim == 128


def test_what_is_no_encoder_is_refused(encoder, tmp_path):
    assert find_encoder_weights(tmp_path) is None
    with pytest.raises(ValueError, match="holds no encoder.safetensors or encoder.pt"):
        load_generator_encoder(tmp_path, in_channels=1)
    save_file({"a": torch.zeros(1)}, tmp_path / "encoder.safetensors")
    with pytest.raises(ValueError, match="no two-dimensional alphaGAN encoder"):
        load_generator_encoder(tmp_path, in_channels=1)
    save_file(encoder.state_dict(), tmp_path / "encoder.safetensors")
    with pytest.raises(ValueError, match="with 1 channels, but the cohort's have 3"):
        load_generator_encoder(tmp_path, in_channels=3)
