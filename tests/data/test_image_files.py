"""Pictures, NIfTI and NumPy files: read upright, and refused when they have no single grey reading."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
from PIL import Image

from monai_hybridsynth.data import ImageFileError, read_image
from monai_hybridsynth.data.image_files import image_format

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 7), dtype=np.uint8)


def save(path, pixels, **options):
    Image.fromarray(pixels).save(path, **options)
    return path


def test_a_png_keeps_rows_and_columns(tmp_path):
    image = read_image(save(tmp_path / "a.png", PIXELS))
    assert image.pixels.dtype == np.float32
    assert np.array_equal(image.pixels, PIXELS)
    assert (image.format, image.hounsfield, image.note) == ("picture", False, "")


def test_sixteen_bits_are_kept(tmp_path):
    deep = PIXELS.astype(np.uint16) * 257
    assert np.array_equal(read_image(save(tmp_path / "a.png", deep)).pixels, deep)


def test_a_jpeg_is_close(tmp_path):
    smooth = np.add.outer(np.arange(32), np.arange(40)).astype(np.uint8) * 3
    pixels = read_image(save(tmp_path / "a.jpg", smooth, quality=95)).pixels
    assert np.abs(pixels - smooth).max() < 6


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P", "1"])
def test_grey_in_disguise_is_read_and_noted(tmp_path, mode):
    grey = PIXELS if mode != "1" else np.where(PIXELS > 127, 255, 0).astype(np.uint8)
    Image.fromarray(grey).convert(mode).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    assert np.array_equal(image.pixels, grey)
    assert ("same grey" in image.note) == (mode in ("RGB", "RGBA", "LA", "P"))


def test_colour_is_refused(tmp_path):
    colour = np.stack([PIXELS, PIXELS, 255 - PIXELS], axis=-1)
    with pytest.raises(ImageFileError, match="in colour"):
        read_image(save(tmp_path / "a.png", colour))


def test_transparency_is_refused(tmp_path):
    pixels = np.stack([PIXELS, PIXELS, PIXELS, np.full_like(PIXELS, 9)], axis=-1)
    with pytest.raises(ImageFileError, match="transparent"):
        read_image(save(tmp_path / "a.png", pixels))


@pytest.mark.parametrize("data", [b"", b"no image", b"\x89PNG\r\n\x1a\n broken"])
def test_a_damaged_picture(tmp_path, data):
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(ImageFileError, match="cannot be read"):
        read_image(tmp_path / "a.png")


def test_a_truncated_picture(tmp_path):
    large = np.random.default_rng(1).integers(0, 256, (64, 64), dtype=np.uint8)
    data = save(tmp_path / "a.png", large).read_bytes()
    (tmp_path / "a.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageFileError, match="cannot be read"):
        read_image(tmp_path / "a.png")


def test_missing_and_unknown_files(tmp_path):
    with pytest.raises(ImageFileError, match="is missing"):
        read_image(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(ImageFileError, match="no known image format"):
        read_image(tmp_path / "a.txt")


def test_formats_by_name():
    assert [image_format(name) for name in ("a.PNG", "b.jpeg", "c.nii.gz", "d.dcm", "e.npy")] == [
        "picture",
        "picture",
        "nifti",
        "dicom",
        "numpy",
    ]


def test_an_upside_down_photograph_is_turned(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 3
    save(tmp_path / "a.png", PIXELS, exif=exif)
    assert np.array_equal(read_image(tmp_path / "a.png").pixels, PIXELS[::-1, ::-1])


def volume_file(tmp_path, affine):
    values = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
    nibabel.save(nibabel.Nifti1Image(values, affine), tmp_path / "a.nii.gz")
    return values


@pytest.mark.parametrize(("position", "index"), [(0.0, 0), (0.5, 2), (1.0, 5)])
def test_an_axial_slice_looks_as_a_radiologist_sees_it(tmp_path, position, index):
    values = volume_file(tmp_path, np.diag([-1.0, -1.0, 1.0, 1.0]))
    # The file is stored LPS: columns grow to the patient's left, rows to the back. That is the view itself.
    image = read_image(tmp_path / "a.nii.gz", slice={"plane": "axial", "position": position})
    assert np.array_equal(image.pixels, values[:, :, index].T)
    assert image.hounsfield
    assert f"axial slice at {position:g}" in image.note


def test_the_stored_orientation_does_not_matter(tmp_path):
    values = volume_file(tmp_path, np.diag([-1.0, -1.0, 1.0, 1.0]))
    first = read_image(tmp_path / "a.nii.gz").pixels
    turned = np.ascontiguousarray(values[::-1, ::-1])
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    nibabel.save(nibabel.Nifti1Image(turned, affine), tmp_path / "b.nii")
    assert np.array_equal(read_image(tmp_path / "b.nii").pixels, first)


def test_a_coronal_slice_has_the_head_on_top(tmp_path):
    values = volume_file(tmp_path, np.diag([-1.0, -1.0, 1.0, 1.0]))
    image = read_image(tmp_path / "a.nii.gz", slice={"plane": "coronal", "position": 1.0})
    # Position 1 is the patient's front, the first row of an LPS file.
    assert np.array_equal(image.pixels, values[:, 0, ::-1].T)


def test_a_series_of_volumes_is_refused(tmp_path):
    nibabel.save(nibabel.Nifti1Image(np.zeros((3, 4, 5, 2), dtype=np.int16), np.eye(4)), tmp_path / "a.nii")
    with pytest.raises(ImageFileError, match="one three-dimensional volume"):
        read_image(tmp_path / "a.nii")


def test_numpy_files(tmp_path):
    for shape in ((5, 7), (1, 5, 7), (5, 7, 1)):
        np.save(tmp_path / "a.npy", PIXELS.reshape(shape))
        assert np.array_equal(read_image(tmp_path / "a.npy").pixels, PIXELS)
    np.save(tmp_path / "a.npy", np.stack([PIXELS] * 3))
    assert read_image(tmp_path / "a.npy").pixels.shape == (3, 5, 7)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (np.zeros((4, 5, 6, 7)), "has shape"),
        (np.zeros((40, 50, 60)), "has shape"),
        (np.array([["a", "b"], ["c", "d"]]), "values; save numbers"),
        (np.full((4, 4), np.nan), "not finite"),
        (np.zeros((1, 1)), "at least 2 x 2"),
        (np.array([[{}, {}], [{}, {}]], dtype=object), "cannot be read"),
    ],
)
def test_numpy_files_that_are_no_image(tmp_path, values, told):
    np.save(tmp_path / "a.npy", values, allow_pickle=True)
    with pytest.raises(ImageFileError, match=told):
        read_image(tmp_path / "a.npy")
