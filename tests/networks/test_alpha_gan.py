"""The four networks: shapes, gradients, round trips, and the folded upsampling against the plain one."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from monai_hybridsynth.networks import (
    AlphaGanAutoencoder,
    AlphaGanCodeDiscriminator,
    AlphaGanEncoder,
    AlphaGanGenerator,
    AlphaGanImageDiscriminator,
    UpsampleConvolution,
)
from monai_hybridsynth.networks.alpha_gan import octave_channels


@pytest.mark.parametrize("spatial_dims", [2, 3])
@pytest.mark.parametrize("bias", [True, False])
def test_upsample_convolution_equals_nearest_upsampling_and_a_plain_convolution(spatial_dims, bias):
    torch.manual_seed(0)
    folded = UpsampleConvolution(spatial_dims, 3, 5, bias=bias).double()
    plain = (nn.Conv2d if spatial_dims == 2 else nn.Conv3d)(3, 5, 3, padding=1, bias=bias).double()
    plain.load_state_dict(folded.state_dict())
    x = torch.randn(2, 3, *[6] * spatial_dims, dtype=torch.float64)
    torch.testing.assert_close(folded(x), plain(nn.functional.interpolate(x, scale_factor=2)))


@pytest.mark.parametrize(("spatial_dims", "spatial_size"), [(2, 32), (2, 64), (2, 512), (3, 16), (3, 64)])
def test_shapes_of_every_network(spatial_dims, spatial_size):
    options = {"spatial_size": spatial_size, "channels": 2}
    image = torch.randn(2, 1, *[spatial_size] * spatial_dims)
    encoder = AlphaGanEncoder(spatial_dims, 1, latent_dim=7, **options)
    generator = AlphaGanGenerator(spatial_dims, 1, latent_dim=7, **options)
    code = encoder(image)
    assert code.shape == (2, 7)
    reconstruction = generator(code)
    assert reconstruction.shape == image.shape
    assert reconstruction.abs().max() <= 1
    assert AlphaGanImageDiscriminator(spatial_dims, 1, **options)(image).shape == (2, 1)
    assert AlphaGanCodeDiscriminator(7)(code).shape == (2, 1)


def test_channels_double_per_octave_up_to_the_limit():
    assert octave_channels(2, 64, 32, 512) == [32, 64, 128, 256]
    assert octave_channels(2, 512, 32, 512) == [32, 64, 128, 256, 512, 512, 512]


@pytest.mark.parametrize(("spatial_dims", "spatial_size"), [(2, 48), (2, 4), (2, 1024), (3, 128), (1, 64)])
def test_refuses_sizes_it_cannot_build(spatial_dims, spatial_size):
    with pytest.raises(ValueError, match="power of two|2-D and 3-D"):
        AlphaGanEncoder(spatial_dims, 1, spatial_size)


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_gradient_reaches_every_parameter(spatial_dims):
    torch.manual_seed(0)
    size = 16
    image = torch.randn(4, 2, *[size] * spatial_dims)
    autoencoder = AlphaGanAutoencoder(
        AlphaGanEncoder(spatial_dims, 2, size, 5, channels=2), AlphaGanGenerator(spatial_dims, 2, size, 5, channels=2)
    )
    critic = AlphaGanImageDiscriminator(spatial_dims, 2, size, channels=2)
    codes = AlphaGanCodeDiscriminator(5, 8)
    # squares: a plain sum through batch norm has no gradient
    (critic(autoencoder(image)).square().sum() + codes(autoencoder.encoder(image)).square().sum()).backward()
    for network in (autoencoder, critic, codes):
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name


def test_state_dict_round_trip_and_torchscript():
    torch.manual_seed(0)
    network, twin = (AlphaGanAutoencoder(AlphaGanEncoder(2, 1, 16, 4), AlphaGanGenerator(2, 1, 16, 4)) for _ in "ab")
    image = torch.randn(2, 1, 16, 16)
    network.eval()
    twin.eval()
    assert not torch.equal(network(image), twin(image))
    twin.load_state_dict(network.state_dict())
    torch.testing.assert_close(network(image), twin(image), rtol=0, atol=0)
    torch.testing.assert_close(torch.jit.script(network)(image), network(image))


def test_code_discriminator_has_no_norm():
    assert not any("Norm" in type(module).__name__ for module in AlphaGanCodeDiscriminator(8).modules())
