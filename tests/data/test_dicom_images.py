"""DICOM files made here: compression, rescale, windows, padding, MONOCHROME1, and everything that is refused."""

from __future__ import annotations

import io

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

from monai_hybridsynth.data import ImageFileError, read_image

SMOOTH = np.add.outer(np.arange(16) * 3, np.arange(24) * 5).astype(np.uint8)


def dataset_of(pixels: np.ndarray, *, modality: str = "CR", photometric: str = "MONOCHROME2") -> FileDataset:
    """Return a small uncompressed DICOM dataset."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.Modality, dataset.PhotometricInterpretation = modality, photometric
    dataset.SamplesPerPixel = 1 if pixels.ndim == 2 else pixels.shape[-1]
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    bits = pixels.dtype.itemsize * 8
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    if pixels.ndim == 3:
        dataset.PlanarConfiguration = 0
    dataset.PixelData = pixels.tobytes()
    return dataset


def saved(tmp_path, dataset: FileDataset, name: str = "a.dcm"):
    dataset.save_as(tmp_path / name, enforce_file_format=True)
    return tmp_path / name


def refused(tmp_path, dataset: FileDataset) -> str:
    with pytest.raises(ImageFileError) as caught:
        read_image(saved(tmp_path, dataset))
    return str(caught.value)


def test_a_plain_file_with_any_name(tmp_path):
    image = read_image(saved(tmp_path, dataset_of(SMOOTH), "IM0001"))
    assert np.array_equal(image.pixels, SMOOTH)
    assert (image.format, image.hounsfield, image.outside) == ("dicom", False, None)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless])
def test_lossless_compression(tmp_path, syntax):
    deep = SMOOTH.astype(np.uint16) * 97
    dataset = dataset_of(deep)
    dataset.compress(syntax)
    assert np.array_equal(read_image(saved(tmp_path, dataset)).pixels, deep)


@pytest.mark.parametrize(
    ("syntax", "format", "options", "tolerance"),
    [(JPEGBaseline8Bit, "JPEG", {"quality": 97}, 4), (JPEG2000Lossless, "JPEG2000", {"no_jp2": True}, 0)],
)
def test_jpeg_inside_dicom(tmp_path, syntax, format, options, tolerance):
    buffer = io.BytesIO()
    Image.fromarray(SMOOTH).save(buffer, format=format, **options)
    dataset = dataset_of(SMOOTH)
    dataset.PixelData = encapsulate([buffer.getvalue()])
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = syntax
    assert np.abs(read_image(saved(tmp_path, dataset)).pixels - SMOOTH).max() <= tolerance


def test_jpeg_lossless_names_the_extra(tmp_path):
    dataset = dataset_of(SMOOTH)
    dataset.PixelData = encapsulate([b"\xff\xd8\xff\xc3 nothing a decoder here knows \xff\xd9"])
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    assert "monai_hybridsynth[jpeg]" in refused(tmp_path, dataset)


def test_monochrome1_is_turned_upright(tmp_path):
    image = read_image(saved(tmp_path, dataset_of(SMOOTH, photometric="MONOCHROME1")))
    assert np.array_equal(image.pixels, SMOOTH.max() + SMOOTH.min() - SMOOTH.astype(int))
    assert image.note == "MONOCHROME1 inverted"


def test_signed_ct_is_rescaled_to_hounsfield_units_with_its_padding(tmp_path):
    stored = (SMOOTH.astype(np.int16) - 60) * 10
    stored[:3] = -1500
    dataset = dataset_of(stored, modality="CT")
    dataset.RescaleSlope, dataset.RescaleIntercept = 2, -24
    dataset.add_new(0x00280120, "SS", -1500)
    image = read_image(saved(tmp_path, dataset))
    assert image.hounsfield
    assert np.array_equal(image.outside, stored == -1500)
    assert np.array_equal(image.pixels, stored.astype(int) * 2 - 24)


def test_a_padding_value_stored_without_its_sign(tmp_path):
    stored = SMOOTH.astype(np.int16)
    stored[0] = -2000
    dataset = dataset_of(stored, modality="CT")
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0
    dataset.add_new(0x00280120, "US", 2**16 - 2000)
    image = read_image(saved(tmp_path, dataset))
    assert image.outside is not None
    assert image.outside[0].all()
    assert not image.outside[1:].any()


def test_a_padding_range(tmp_path):
    dataset = dataset_of(SMOOTH)
    dataset.add_new(0x00280120, "US", 0)
    dataset.add_new(0x00280121, "US", 10)
    image = read_image(saved(tmp_path, dataset))
    assert np.array_equal(image.outside, SMOOTH <= 10)


def test_padding_does_not_shift_an_inverted_image(tmp_path):
    stored = SMOOTH.astype(np.uint16) + 1000
    stored[0] = 0
    dataset = dataset_of(stored, photometric="MONOCHROME1")
    dataset.add_new(0x00280120, "US", 0)
    image = read_image(saved(tmp_path, dataset))
    inside = stored[1:].astype(int)
    assert np.array_equal(image.pixels[1:], inside.max() + inside.min() - inside)


def test_a_radiograph_is_seen_through_its_window(tmp_path):
    dataset = dataset_of(SMOOTH.astype(np.uint16) * 16)
    dataset.WindowCenter, dataset.WindowWidth = 1000, 400
    pixels = read_image(saved(tmp_path, dataset)).pixels
    stored = SMOOTH.astype(float) * 16
    assert np.unique(pixels[stored <= 1000 - 0.5 - 199.5]).size == 1
    assert np.unique(pixels[stored > 1000 - 0.5 + 199.5]).size == 1
    middle = (stored > 810) & (stored < 1190)
    assert np.corrcoef(pixels[middle], stored[middle])[0, 1] > 0.9999


def test_a_lookup_table_is_applied(tmp_path):
    table = pydicom.Dataset()
    table.LUTDescriptor = [256, 0, 16]
    table.LUTData = [(255 - number) ** 2 for number in range(256)]
    table["LUTDescriptor"].VR, table["LUTData"].VR = "US", "US"
    dataset = dataset_of(SMOOTH)
    dataset.VOILUTSequence = [table]
    assert np.array_equal(read_image(saved(tmp_path, dataset)).pixels, (255 - SMOOTH.astype(int)) ** 2)


def test_the_window_of_a_ct_is_not_applied(tmp_path):
    dataset = dataset_of(SMOOTH.astype(np.int16), modality="CT")
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, -20
    dataset.WindowCenter, dataset.WindowWidth = 40, 20
    assert np.array_equal(read_image(saved(tmp_path, dataset)).pixels, SMOOTH.astype(int) - 20)


def test_a_file_without_pixels(tmp_path):
    dataset = dataset_of(SMOOTH)
    del dataset.PixelData
    assert "without pixels" in refused(tmp_path, dataset)


def test_colour(tmp_path):
    colour = np.stack([SMOOTH] * 3, axis=-1)
    assert "colour image (RGB)" in refused(tmp_path, dataset_of(colour, photometric="RGB"))


def test_a_palette(tmp_path):
    assert "colour image (PALETTE COLOR)" in refused(tmp_path, dataset_of(SMOOTH, photometric="PALETTE COLOR"))


def test_several_frames(tmp_path):
    dataset = dataset_of(SMOOTH)
    dataset.NumberOfFrames = 2
    dataset.PixelData = SMOOTH.tobytes() * 2
    assert "holds 2 frames" in refused(tmp_path, dataset)


def test_pixels_that_end_too_soon(tmp_path):
    dataset = dataset_of(SMOOTH)
    dataset.PixelData = dataset.PixelData[:100]
    assert "cannot be decoded" in refused(tmp_path, dataset)


def test_no_dicom_at_all(tmp_path):
    (tmp_path / "a.dcm").write_bytes(b"hello" * 100)
    with pytest.raises(ImageFileError, match="is no DICOM file"):
        read_image(tmp_path / "a.dcm")
