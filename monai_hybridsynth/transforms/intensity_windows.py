"""From an image file to a network's input: window or percentiles to [-1, 1], pad to a square, resize by area."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, Transform

from monai_hybridsynth.data import ImageFileError, ImageSettings, StoredImage, read_image

__all__ = ["RecordImage", "RecordImaged", "load_images", "scale_intensity"]


def scale_intensity(image: StoredImage, settings: ImageSettings) -> np.ndarray:
    """Return an image with its intensities in [-1, 1].

    Args:
        image: as read from its file; pixels that the file marks as padding become -1.
        settings: percentiles of the image, windows in Hounsfield units (one channel each), or a fixed range.

    Returns:
        float32 ``(C, H, W)``. An image without contrast is -1 everywhere.

    Raises:
        ImageFileError: if windows are asked of an image whose values are not Hounsfield units.
    """
    scaling = settings.scaling
    stored = image.pixels if image.pixels.ndim == 3 else image.pixels[None]
    if scaling["kind"] != "window" and len(stored) != settings.channels:
        raise ImageFileError(f"has {len(stored)} channels, the image settings say {settings.channels}")
    if scaling["kind"] == "window" and len(stored) != 1:
        raise ImageFileError(f"has {len(stored)} channels; windows are cut from one")
    inside = stored if image.outside is None else stored[0][~image.outside]
    if scaling["kind"] == "window":
        if not image.hounsfield:
            raise ImageFileError(
                "holds grey levels, not the Hounsfield units that a CT window needs; if it was windowed on export, set "
                'the image scaling in schema.json to {"kind": "range", "minimum": 0, "maximum": 255}'
            )
        bounds = [(w["center"] - w["width"] / 2, w["center"] + w["width"] / 2) for w in scaling["windows"]]
    elif scaling["kind"] == "range":
        bounds = [(scaling["minimum"], scaling["maximum"])] * len(stored)
    else:
        bounds = [tuple(np.percentile(inside, [scaling["lower"], scaling["upper"]]))]
    channels = []
    for number, (low, high) in enumerate(bounds):
        source = stored[number] if len(stored) > 1 else stored[0]
        share = (source - low) / (high - low) if high > low else np.zeros_like(source)
        channel = np.clip(share, 0.0, 1.0) * 2.0 - 1.0
        if image.outside is not None:
            channel = np.where(image.outside, -1.0, channel)
        channels.append(channel)
    return np.stack(channels).astype(np.float32)


class RecordImage(Transform):
    """Read an image file as a network sees it.

    Args:
        settings: the cohort schema's image settings, or the dictionary that ``schema.json`` holds.
        spatial_size: edge of the square image that comes out, in pixels.

    Shape:
        path -> float32 ``(C, spatial_size, spatial_size)`` in [-1, 1]; C is one, or the number of windows. An image
        that is not square is padded with -1 on both sides, never stretched.
    """

    def __init__(self, settings: ImageSettings | Mapping[str, Any], spatial_size: int):
        self.settings = settings if isinstance(settings, ImageSettings) else ImageSettings.from_dict(settings)
        if spatial_size < 1:
            raise ValueError(f"spatial_size is {spatial_size}; give the edge of the image in pixels.")
        self.spatial_size = spatial_size

    def __call__(self, path: str | Path) -> torch.Tensor:
        """Return the image behind a path."""
        try:
            pixels = scale_intensity(read_image(path, slice=self.settings.slice), self.settings)
        except ImageFileError as error:
            raise ImageFileError(f"{path} {error}") from error
        return _square(torch.from_numpy(pixels), self.spatial_size)


class RecordImaged(MapTransform):
    """Dictionary twin of :class:`RecordImage`: replaces paths by images.

    Args:
        keys: entries that hold a path.
        settings: see :class:`RecordImage`.
        spatial_size: see :class:`RecordImage`.
        allow_missing_keys: whether an absent key is passed over.
    """

    def __init__(
        self,
        keys: KeysCollection,
        settings: ImageSettings | Mapping[str, Any],
        *,
        spatial_size: int,
        allow_missing_keys: bool = False,
    ):
        super().__init__(keys, allow_missing_keys)
        self.record_image = RecordImage(settings, spatial_size)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the dictionary with images in place of paths."""
        record = dict(data)
        for key in self.key_iterator(record):
            record[key] = self.record_image(record[key])
        return record


def load_images(
    paths: Sequence[str | Path], settings: ImageSettings | Mapping[str, Any], *, spatial_size: int
) -> torch.Tensor:
    """Return the images behind paths, float32 ``(N, C, spatial_size, spatial_size)`` in [-1, 1]."""
    transform = RecordImage(settings, spatial_size)
    images = torch.empty(len(paths), transform.settings.channels, spatial_size, spatial_size)
    for position, path in enumerate(paths):
        images[position] = transform(path)
    return images


def _square(image: torch.Tensor, spatial_size: int) -> torch.Tensor:
    """Pad ``(C, H, W)`` with -1 to a square and resize it; a shrunk pixel is the mean of the area it covers."""
    height, width = image.shape[-2:]
    edge = max(height, width)
    if height != width:
        top, left = (edge - height) // 2, (edge - width) // 2
        image = torch.nn.functional.pad(image, (left, edge - width - left, top, edge - height - top), value=-1.0)
    if edge == spatial_size:
        return image
    if edge > spatial_size:
        return torch.nn.functional.interpolate(image[None], size=(spatial_size, spatial_size), mode="area")[0]
    return torch.nn.functional.interpolate(
        image[None], size=(spatial_size, spatial_size), mode="bilinear", align_corners=False
    )[0]
