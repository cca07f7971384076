"""The alphaGAN's own encoder as a further space; it shares the generator's view, so it never judges."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from monai_hybridsynth.features.named_network import NamedNetwork
from monai_hybridsynth.networks import AlphaGanEncoder

__all__ = ["EncoderSpace", "find_encoder_weights", "load_generator_encoder"]

_COARSEST = 4


class EncoderSpace(nn.Module):
    """Codes of images of any size: they are resized to what the encoder was trained on.

    Shape:
        - input: ``(B, C, S, S)`` in [-1, 1]; output: ``(B, latent_dim)``
    """

    def __init__(self, encoder: AlphaGanEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    @torch.no_grad()
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Encode images."""
        size = (self.encoder.spatial_size,) * 2
        if tuple(images.shape[2:]) != size:
            images = functional.interpolate(images, size=size, mode="bilinear", align_corners=False, antialias=True)
        return self.encoder(images)


def find_encoder_weights(folder: str | Path, *, in_channels: int | None = None) -> Path | None:
    """Return an alphaGAN encoder's weight file in a bundle, a models folder, or as a file itself; None without one.

    Args:
        folder: bundle root, models folder or weight file.
        in_channels: where a folder holds several encoders, the first that takes this many channels is preferred.
    """
    folder = Path(folder)
    if folder.is_file():
        return folder if folder.name.startswith("encoder") else None
    places = [folder / "models", folder]
    files = [
        path for place in places for kind in ("safetensors", "pt") for path in sorted(place.glob(f"encoder*.{kind}"))
    ]
    files.sort(key=lambda path: (path.stem != "encoder", path.suffix != ".safetensors"))
    for path in files:
        if in_channels is None or _channels(_read(path)) == in_channels:
            return path
    return files[0] if files else None


def load_generator_encoder(folder: str | Path, *, in_channels: int) -> NamedNetwork:
    """Return the encoder as a space, not yet fitted; its sizes are read from its weights.

    Args:
        folder: bundle root, models folder or weight file with ``encoder.safetensors`` or ``encoder.pt``.
        in_channels: channels of the cohort's images.

    Raises:
        ValueError: if there is no encoder, it is of another kind, or it takes other channels.
    """
    path = find_encoder_weights(folder, in_channels=in_channels)
    if path is None:
        raise ValueError(
            f"{folder} holds no encoder.safetensors or encoder.pt; give the bundle or the models folder of an alphaGAN."
        )
    state = _read(path)
    convolutions = sorted(name for name in state if name.startswith("features.") and name.endswith("conv.weight"))
    if not convolutions or "code.weight" not in state or state[convolutions[0]].ndim != 4:
        raise ValueError(f"{path} holds no two-dimensional alphaGAN encoder; it has {sorted(state)[:4]} ...")
    if _channels(state) != in_channels:
        raise ValueError(
            f"{path} encodes images with {_channels(state)} channels, but the cohort's have {in_channels}; "
            "give the encoder that was trained for this modality."
        )
    latent_dim, flat = state["code.weight"].shape
    encoder = AlphaGanEncoder(
        2,
        in_channels,
        _COARSEST << len(convolutions),
        latent_dim,
        channels=state["features.0.conv.weight"].shape[0],
        max_channels=flat // _COARSEST**2,
        norm="batch" if any("running_mean" in name for name in state) else None,
    )
    encoder.load_state_dict(dict(state))
    return NamedNetwork(EncoderSpace(encoder.eval()), name="generator's own encoder", num_components=latent_dim)


def _read(path: Path) -> Mapping[str, torch.Tensor]:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def _channels(state: Mapping[str, torch.Tensor]) -> int | None:
    first = state.get("features.0.conv.weight")
    return None if first is None else int(first.shape[1])
