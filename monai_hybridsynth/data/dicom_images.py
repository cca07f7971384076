"""Read one DICOM image: decompress, rescale, apply its window, mark its padding, turn MONOCHROME1 upright.

MONAI's ``PydicomReader`` does none of the last three and returns three channels for a colour file, so pydicom is used
directly.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .image_files import ImageFileError, StoredImage

__all__ = ["read_dicom_image"]

# JPEG Lossless, whose only decoder is under the GPL and therefore an extra.
_JPEG_LOSSLESS = ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")


def read_dicom_image(path: str | Path) -> StoredImage:
    """Return the image of a DICOM file; CT in Hounsfield units, anything else as its own window or VOI LUT shows it.

    Raises:
        ImageFileError: if the file is no DICOM, holds no pixels, colour, or more than one frame, or if its compression
            needs a decoder that is not installed.
    """
    import pydicom
    from pydicom.errors import InvalidDicomError
    from pydicom.pixels import apply_modality_lut, apply_voi_lut

    try:
        dataset = pydicom.dcmread(path)
    except InvalidDicomError as error:
        raise ImageFileError("is no DICOM file, whatever its name says; export it again") from error
    if not any(name in dataset for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise ImageFileError("is a DICOM file without pixels; give the image object, not a report or a directory")
    photometric = str(dataset.get("PhotometricInterpretation", ""))
    if int(dataset.get("SamplesPerPixel", 1)) != 1 or photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise ImageFileError(f"is a DICOM colour image ({photometric}); only MONOCHROME1 and MONOCHROME2 are read")
    if int(dataset.get("NumberOfFrames", 1) or 1) > 1:
        raise ImageFileError(f"holds {dataset.NumberOfFrames} frames; give one frame per file")
    stored = _decode(dataset)
    outside = _padding(dataset, stored)
    pixels = np.asarray(apply_modality_lut(stored, dataset), dtype=np.float64)
    hounsfield = dataset.get("Modality") == "CT" and dataset.get("RescaleType", "HU") in ("HU", "", None)
    if not hounsfield:
        pixels = np.asarray(apply_voi_lut(apply_modality_lut(stored, dataset), dataset), dtype=np.float64)
        if photometric == "MONOCHROME1":
            inside = pixels if outside is None else pixels[~outside]
            pixels = inside.max() + inside.min() - pixels
    note = "MONOCHROME1 inverted" if photometric == "MONOCHROME1" and not hounsfield else ""
    return StoredImage(pixels.astype(np.float32), outside, bool(hounsfield), "dicom", note)


def _decode(dataset: Any) -> np.ndarray:
    """Return the stored values, or say which extra decodes them."""
    syntax = str(dataset.file_meta.get("TransferSyntaxUID", "")) if hasattr(dataset, "file_meta") else ""
    try:
        pixels = dataset.pixel_array
    except Exception as error:
        if syntax in _JPEG_LOSSLESS:
            raise ImageFileError(
                "is compressed with JPEG Lossless, whose decoder is under the GPL and not installed by default; "
                "pip install 'monai_hybridsynth[jpeg]'"
            ) from error
        raise ImageFileError(f"cannot be decoded ({str(error).splitlines()[0]}); export it again") from error
    if pixels.ndim != 2:
        raise ImageFileError(f"decodes to shape {pixels.shape}; only single grey images are read")
    return pixels


def _padding(dataset: Any, stored: np.ndarray) -> np.ndarray | None:
    """Return where the stored values say "no image here", or None."""
    value = dataset.get("PixelPaddingValue")
    if value is None:
        return None
    limit = dataset.get("PixelPaddingRangeLimit", value)
    low, high = sorted((_as_stored(value, dataset), _as_stored(limit, dataset)))
    outside = (stored >= low) & (stored <= high)
    return outside if outside.any() and not outside.all() else None


def _as_stored(value: Any, dataset: Any) -> int:
    """Return a padding value with the sign of the pixels: some writers store it unsigned beside signed pixels."""
    number = int.from_bytes(value, "little") if isinstance(value, bytes) else int(value)
    bits = int(dataset.BitsAllocated)
    if int(dataset.PixelRepresentation) == 1 and number >= 1 << (bits - 1):
        return number - (1 << bits)
    return number
