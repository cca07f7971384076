"""Any network that a user names as the judge of images: TorchScript, torch.export, or one of torchxrayvision."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from monai_hybridsynth.features.pixel_pca import PixelPCA

__all__ = ["NamedNetwork", "XrayNetwork", "load_network_file", "load_xray_network"]


class NamedNetwork(nn.Module):
    """A frozen network's output, pooled and reduced to components that predictors and distances can use.

    Args:
        network: images ``(B, C, S, S)`` in [-1, 1] to ``(B, F)`` or a feature map ``(B, F, ...)``, which is averaged.
        name: what judged, for the reader of a metric.
        num_components: principal components kept, over real training images; half whitened, mean square one.

    Shape:
        - input: ``(B, C, S, S)`` in [-1, 1]; output: ``(B, F)``, F at most ``num_components``
    """

    def __init__(self, network: nn.Module, *, name: str, num_components: int = 64) -> None:
        super().__init__()
        self.network, self.name = network, name
        self.components = PixelPCA(num_components)
        self.repeats = 1

    def fit(self, images: torch.Tensor) -> NamedNetwork:
        """Find out how the network takes these real training images, and fit the components.

        Raises:
            ValueError: if it takes them neither as they are nor, when grey, with three equal channels.
        """
        failure: Exception | None = None
        for repeats in (1, 3) if images.shape[1] == 1 else (1,):
            self.repeats = repeats
            try:
                found = self._pooled(images[:2])
            except Exception as error:  # whatever a foreign network raises: the reader needs the shape and the name
                failure = failure or error
                continue
            if found.ndim != 2 or not bool(torch.isfinite(found).all()):
                failure = ValueError(f"its output has the shape {tuple(found.shape)} or is not finite")
                continue
            self.components.fit(torch.cat([self._pooled(block) for block in images.split(128)])[:, None, None])
            return self
        raise ValueError(
            f"{self.name} does not take images of shape {('B', *images.shape[1:])} in [-1, 1]: {failure}. Wrap it so "
            "that it does and returns (B, F), with any batch size, and export it again."
        ) from failure

    @torch.no_grad()
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Embed images ``(B, C, S, S)``."""
        return self.components(self._pooled(images)[:, None, None])

    def extra_repr(self) -> str:
        """Show the name, which tells files with equal weights apart."""
        return self.name

    @torch.no_grad()
    def _pooled(self, images: torch.Tensor) -> torch.Tensor:
        found = self.network(images.float().repeat(1, self.repeats, 1, 1))
        if not isinstance(found, torch.Tensor):
            raise ValueError(f"it returns {type(found).__name__}, not one tensor of features")
        return found.flatten(2).mean(2) if found.ndim > 2 else found


def load_network_file(path: str | Path) -> NamedNetwork:
    """Return the network of a TorchScript or torch.export file, not yet fitted; load only files that you trust.

    Raises:
        ValueError: if the file holds neither.
    """
    path = Path(path)
    from monai_hybridsynth.data import digest_file

    loaders: list[Callable[[], nn.Module]] = [
        lambda: torch.jit.load(path, map_location="cpu").eval(),
        lambda: torch.export.load(path).module(),
    ]
    reasons = []
    for loader in loaders if path.suffix != ".pt2" else loaders[::-1]:
        try:
            network = loader()
        except Exception as error:  # either format may be meant; what both say is told below
            reasons.append(str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__)
            continue
        return NamedNetwork(network, name=f"network file {path.name} ({digest_file(path)[:8]})")
    raise ValueError(
        f"{path} is neither TorchScript nor a torch.export program ({'; '.join(reasons)}); write it with "
        "torch.jit.save or torch.export.save. A file of weights alone does not say which network they belong to."
    )


class XrayNetwork(nn.Module):
    """A torchxrayvision classifier's last feature map for radiographs in [-1, 1].

    Args:
        network: has ``features(x)`` for images of 224 pixels in [-1024, 1024], one channel.

    Shape:
        - input: ``(B, C, S, S)`` in [-1, 1]; output: ``(B, F, ...)``
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Resize, rescale and embed; several channels are averaged."""
        grey = images.mean(dim=1, keepdim=True)
        resized = functional.interpolate(grey, size=(224, 224), mode="bilinear", align_corners=False, antialias=True)
        return self.network.features(1024 * resized)  # type: ignore[operator, union-attr]


def load_xray_network(weights: str) -> NamedNetwork:
    """Return a torchxrayvision DenseNet whose weights lie in that library's cache; nothing is downloaded.

    Args:
        weights: as torchxrayvision names them, e.g. ``densenet121-res224-all``.

    Raises:
        ValueError: if the extra is not installed, the name is unknown, or the weights are not in the cache.
    """
    try:
        import torchxrayvision as xrv
    except ImportError as error:
        raise ValueError(
            f"--features xrv:{weights} needs torchxrayvision; install it with `pip install monai-hybridsynth[xrv]`."
        ) from error
    known = xrv.models.model_urls
    if weights not in known:
        raise ValueError(f"torchxrayvision has no weights {weights!r}; it has {sorted(known)}.")
    cache = Path(xrv.utils.get_cache_dir())
    stored = cache / Path(known[weights]["weights_url"]).name
    if not stored.is_file():
        raise ValueError(
            f"the weights {weights!r} are not in {cache}, and nothing is downloaded here; fetch them once with "
            f"`python -c \"import torchxrayvision as x; x.models.DenseNet(weights='{weights}')\"` and run this again."
        )
    network = xrv.models.DenseNet(weights=weights).eval()
    return NamedNetwork(XrayNetwork(network), name=f"torchxrayvision {weights}")
