from __future__ import annotations

import sys
import types

import pytest
import torch
from torch import nn

from monai_hybridsynth.data import digest_network
from monai_hybridsynth.features import NamedNetwork, XrayNetwork, load_network_file, load_xray_network


class Pools(nn.Module):
    """A feature map of three channels, from images with any number of channels."""

    def __init__(self, in_channels: int = 1) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.convolution = nn.Conv2d(in_channels, 5, 3, padding=1)

    def forward(self, x):
        return torch.relu(self.convolution(x))


@pytest.fixture
def images():
    return torch.rand(30, 1, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_a_feature_map_is_averaged_and_scaled(images):
    network = Pools()
    found = NamedNetwork(network, name="pools").fit(images)
    features = found(images)
    assert features.shape == (30, 5)
    assert features.pow(2).mean().item() == pytest.approx(1, abs=0.05)
    pooled = network(images).mean(dim=(2, 3)).detach()
    # Components keep what distinguishes images: distances along them follow from the pooled features alone.
    assert torch.linalg.matrix_rank(features) == torch.linalg.matrix_rank(pooled - pooled.mean(0))
    torch.testing.assert_close(torch.cat([found(images[:7]), found(images[7:])]), features)


@pytest.mark.parametrize("kind", ["script", "export"])
def test_stored_networks_judge(kind, images, tmp_path):
    network = Pools().eval()
    if kind == "script":
        path = tmp_path / "network.pt"
        torch.jit.save(torch.jit.trace(network, images[:2]), path)
    else:
        path = tmp_path / "network.pt2"
        torch.export.save(
            torch.export.export(network, (images[:2],), dynamic_shapes=({0: torch.export.Dim("b")},)), path
        )
    found = load_network_file(path).fit(images)
    torch.testing.assert_close(found(images), NamedNetwork(network, name="-").fit(images)(images))
    assert "network file network.pt" in found.name
    assert digest_network(found) == digest_network(load_network_file(path).fit(images))


def test_grey_images_are_repeated_for_a_network_of_colour_pictures(images):
    assert NamedNetwork(Pools(3), name="colour").fit(images)(images).shape == (30, 5)


def test_a_network_that_takes_other_images_is_named(images):
    with pytest.raises(ValueError, match=r"picky does not take images of shape .*Wrap it"):
        NamedNetwork(nn.Linear(7, 2), name="picky").fit(images)


def test_a_file_that_is_no_network_is_refused(tmp_path):
    path = tmp_path / "weights.pt"
    torch.save({"a": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match="neither TorchScript nor a torch.export program"):
        load_network_file(path)


def test_the_extra_is_named_when_it_is_absent(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchxrayvision", None)
    with pytest.raises(ValueError, match=r"pip install monai-hybridsynth\[xrv\]"):
        load_xray_network("densenet121-res224-all")


def test_weights_of_the_extra_come_from_its_cache_only(monkeypatch, tmp_path, images):
    """A stand-in for torchxrayvision: the library is an extra and its weights are never downloaded here."""

    class Dense(nn.Module):
        def __init__(self, weights: str) -> None:
            super().__init__()
            self.inner = Pools()

        def features(self, x):
            assert x.shape[1:] == (1, 224, 224)
            assert x.abs().max() > 500
            return self.inner(x)

    library = types.SimpleNamespace(
        models=types.SimpleNamespace(model_urls={"all": {"weights_url": "https://somewhere/all.pt"}}, DenseNet=Dense),
        utils=types.SimpleNamespace(get_cache_dir=lambda: str(tmp_path)),
    )
    monkeypatch.setitem(sys.modules, "torchxrayvision", library)
    with pytest.raises(ValueError, match="has no weights 'none'"):
        load_xray_network("none")
    with pytest.raises(ValueError, match="nothing is downloaded here"):
        load_xray_network("all")
    (tmp_path / "all.pt").touch()
    found = load_xray_network("all").fit(images)
    assert found(images).shape == (30, 5)
    assert found.name == "torchxrayvision all"
    assert XrayNetwork(Dense("all"))(images.repeat(1, 3, 1, 1)).shape == (30, 5, 224, 224)
