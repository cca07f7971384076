"""Read one image file of a cohort as grey levels or Hounsfield units, upright, without scaling it.

PNG, JPEG, NIfTI and NumPy go through MONAI's readers; DICOM has a file of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["IMAGE_SUFFIXES", "ImageFileError", "StoredImage", "image_format", "read_image"]

_FORMATS = {
    "picture": (".png", ".jpg", ".jpeg"),
    "dicom": (".dcm", ".dicom"),
    "nifti": (".nii", ".nii.gz"),
    "numpy": (".npy",),
}
IMAGE_SUFFIXES = tuple(suffix for suffixes in _FORMATS.values() for suffix in suffixes)
# JPEG decoders may round the three channels of a grey picture differently by a level or two.
_GREY_TOLERANCE = 2
_MOST_CHANNELS = 8
_PLANE_AXIS = {"sagittal": 0, "coronal": 1, "axial": 2}


class ImageFileError(ValueError):
    """An image file that cannot be read safely; the message says what to do."""


@dataclass(frozen=True)
class StoredImage:
    """One image as its file means it.

    Attributes:
        pixels: float32 ``(H, W)``, bright is dense: grey levels, or Hounsfield units where ``hounsfield``. Only a NumPy
            file may hold channels, ``(C, H, W)``.
        outside: bool ``(H, W)``, where the file marks pixels as padding, or None.
        hounsfield: whether the pixels are Hounsfield units.
        format: ``picture``, ``dicom``, ``nifti`` or ``numpy``.
        note: a reading that needed a decision, such as a grey picture stored as RGB; empty when there was none.
    """

    pixels: np.ndarray
    outside: np.ndarray | None = None
    hounsfield: bool = False
    format: str = "picture"
    note: str = ""


def image_format(path: str | Path) -> str | None:
    """Return the format by suffix, or ``dicom`` for a file without one that carries the DICOM mark, or None."""
    name = Path(path).name.lower()
    for found, suffixes in _FORMATS.items():
        if name.endswith(suffixes):
            return found
    try:
        with open(path, "rb") as file:
            return "dicom" if file.read(132)[128:] == b"DICM" else None
    except OSError:
        return None


def read_image(path: str | Path, *, slice: Mapping[str, Any] | None = None) -> StoredImage:
    """Return one image.

    Args:
        path: a PNG, JPEG, DICOM, NIfTI or NumPy file.
        slice: which slice of a NIfTI volume, ``{"plane": "axial", "position": 0.5}`` (the middle axial one) by default.

    Raises:
        ImageFileError: if the file is missing, damaged, of an unknown format, in colour, without pixels or not one
            two-dimensional image.
    """
    path = Path(path)
    if not path.is_file():
        raise ImageFileError("is missing; add the file or remove the row")
    kind = image_format(path)
    if kind is None:
        raise ImageFileError(f"has no known image format; convert it to one of {', '.join(IMAGE_SUFFIXES)}")
    try:
        if kind == "picture":
            image = _read_picture(path)
        elif kind == "dicom":
            from .dicom_images import read_dicom_image

            image = read_dicom_image(path)
        elif kind == "nifti":
            image = _read_nifti(path, slice or {"plane": "axial", "position": 0.5})
        else:
            image = _read_numpy(path)
    except ImageFileError:
        raise
    except Exception as error:
        # Image libraries raise many types for damaged files; all of them mean the same to the owner of the data.
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ImageFileError(f"cannot be read ({reason}); the file is damaged, export it again") from error
    if min(image.pixels.shape[-2:]) < 2:
        raise ImageFileError(f"has {image.pixels.shape} pixels; an image needs at least 2 x 2")
    if not np.isfinite(image.pixels).all():
        raise ImageFileError("holds pixels that are not finite numbers; export it again")
    return image


def _read_picture(path: Path) -> StoredImage:
    from monai.data import PILReader
    from PIL import ImageOps

    notes: list[str] = []

    def to_array(picture):
        if getattr(picture, "n_frames", 1) > 1:
            raise ImageFileError("is an animation; give one image per file")
        # A palette holds colours, not grey levels, so the numbers in the file mean nothing by themselves.
        picture = (
            picture.convert("RGBA" if "transparency" in picture.info else "RGB") if picture.mode == "P" else picture
        )
        if picture.mode == "CMYK":
            raise ImageFileError("is a CMYK colour picture; export it in grey")
        return ImageOps.exif_transpose(picture.convert("L") if picture.mode == "1" else picture)

    reader = PILReader(converter=to_array, reverse_indexing=False)
    pixels = np.asarray(reader.get_data(reader.read(path))[0])
    if pixels.ndim == 3:
        pixels, note = _grey(pixels)
        notes.append(note)
    return StoredImage(pixels.astype(np.float32), note="; ".join(notes))


def _grey(pixels: np.ndarray) -> tuple[np.ndarray, str]:
    """Return the one grey channel of ``(H, W, C)`` pixels, or refuse them as coloured or transparent."""
    channels = pixels.shape[-1]
    if channels not in (2, 3, 4):
        raise ImageFileError(f"has {channels} channels; an image of this project has one")
    if channels in (2, 4):
        if (pixels[..., -1] != np.iinfo(pixels.dtype).max).any():
            raise ImageFileError("has transparent pixels, whose grey level is undefined; flatten and export it in grey")
        pixels = pixels[..., :-1]
    spread = int((pixels.max(axis=-1).astype(int) - pixels.min(axis=-1)).max())
    if spread > _GREY_TOLERANCE:
        raise ImageFileError(f"is in colour (its channels differ by up to {spread} levels); export it in grey")
    return pixels[..., 0], f"stored with {channels} channels that all say the same grey"


def _read_nifti(path: Path, rule: Mapping[str, Any]) -> StoredImage:
    from monai.data import NibabelReader

    reader = NibabelReader(as_closest_canonical=True, squeeze_non_spatial_dims=True)
    volume = np.asarray(reader.get_data(reader.read(path))[0], dtype=np.float32)
    volume = np.squeeze(volume) if volume.ndim > 3 else volume
    if volume.ndim == 2:
        volume = volume[..., None]
    if volume.ndim != 3:
        raise ImageFileError(f"is a volume of shape {volume.shape}; give one three-dimensional volume per file")
    axis = _PLANE_AXIS[rule["plane"]]
    if volume.shape[2] == 1:
        axis = 2
    index = round((volume.shape[axis] - 1) * rule["position"])
    plane = np.take(volume, index, axis=axis)
    # After the turn to RAS, axes grow to the patient's right, front and top. As a radiologist sees it, rows start at
    # the front or top and columns at the patient's right, in a sagittal view at the front.
    pixels = np.ascontiguousarray(plane.T[::-1, ::-1])
    note = f"{rule['plane']} slice at {rule['position']:g} of the volume" if volume.shape[axis] > 1 else ""
    return StoredImage(pixels, hounsfield=True, format="nifti", note=note)


def _read_numpy(path: Path) -> StoredImage:
    pixels = np.load(path, allow_pickle=False)
    if pixels.ndim == 3 and 1 in (pixels.shape[0], pixels.shape[-1]):
        pixels = pixels[0] if pixels.shape[0] == 1 else pixels[..., 0]
    if pixels.ndim != 2 and not (pixels.ndim == 3 and pixels.shape[0] <= _MOST_CHANNELS):
        raise ImageFileError(f"has shape {pixels.shape}; save one image as (H, W), or (C, H, W) with C channels")
    if pixels.dtype.kind not in "buif":
        raise ImageFileError(f"holds {pixels.dtype} values; save numbers")
    # Signed and broken numbers are what CT in Hounsfield units is saved as; grey levels are whole and not negative.
    return StoredImage(pixels.astype(np.float32), hounsfield=pixels.dtype.kind in "if", format="numpy")
