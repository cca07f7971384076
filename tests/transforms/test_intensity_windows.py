"""From file to network input: scaling, padding to a square, resizing; array and dictionary twins."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from monai_hybridsynth.data import ImageFileError, ImageSettings, StoredImage
from monai_hybridsynth.transforms import RecordImage, RecordImaged, load_images, scale_intensity

BRAIN = {"name": "brain", "center": 40.0, "width": 80.0}
BONE = {"name": "bone", "center": 600.0, "width": 2800.0}
PIXELS = np.random.default_rng(0).integers(0, 256, (16, 16), dtype=np.uint8)
BYTES = ImageSettings(scaling={"kind": "range", "minimum": 0.0, "maximum": 255.0})


@pytest.fixture
def picture(tmp_path):
    def save(pixels, name="a.png"):
        Image.fromarray(pixels).save(tmp_path / name)
        return tmp_path / name

    return save


def test_windows_in_hounsfield_units():
    units = np.array([[-1000, 0, 40], [80, 600, 3000]], dtype=np.float32)
    image = StoredImage(units, hounsfield=True)
    settings = ImageSettings("head_ct", scaling={"kind": "window", "windows": [BRAIN, BONE]})
    channels = scale_intensity(image, settings)
    assert channels.shape == (2, 2, 3)
    assert channels[0].tolist() == [[-1, -1, 0], [1, 1, 1]]
    assert channels[1] == pytest.approx(np.clip((units + 800) / 2800, 0, 1) * 2 - 1, abs=1e-6)


def test_windows_need_hounsfield_units():
    with pytest.raises(ImageFileError, match="not the Hounsfield units"):
        scale_intensity(StoredImage(PIXELS.astype(np.float32)), ImageSettings.for_modality("head_ct", hounsfield=True))


def test_percentiles_ignore_outliers_and_padding():
    pixels = np.linspace(100, 200, 10_000, dtype=np.float32).reshape(100, 100)
    pixels[0, 0] = 60_000
    outside = np.zeros((100, 100), dtype=bool)
    outside[50:] = True
    pixels[outside] = -30_000
    settings = ImageSettings(scaling={"kind": "percentile", "lower": 1.0, "upper": 99.0})
    scaled = scale_intensity(StoredImage(pixels, outside), settings)[0]
    assert (scaled[50:] == -1).all()
    low, high = np.percentile(pixels[:50], [1, 99])
    assert scaled[:50] == pytest.approx(np.clip((pixels[:50] - low) / (high - low), 0, 1) * 2 - 1, abs=1e-5)


def test_a_fixed_range_reads_written_bytes_back(picture):
    image = RecordImage(BYTES, 16)(picture(PIXELS))
    assert torch.equal(((image[0] + 1) * 127.5).round().byte(), torch.from_numpy(PIXELS))


def test_an_image_without_contrast_is_black():
    flat = StoredImage(np.full((4, 4), 7, dtype=np.float32))
    assert (scale_intensity(flat, ImageSettings()) == -1).all()


@pytest.mark.parametrize("shape", [(16, 8), (8, 16), (15, 8)])
def test_padding_keeps_the_shape_of_things(picture, shape):
    image = RecordImage(BYTES, 16 if max(shape) == 16 else 15)(picture(PIXELS[: shape[0], : shape[1]]))[0]
    edge, (height, width) = max(shape), shape
    top, left = (edge - height) // 2, (edge - width) // 2
    inner = image[top : top + height, left : left + width]
    assert torch.allclose(inner, torch.from_numpy(PIXELS[:height, :width]).float() / 127.5 - 1, atol=1e-6)
    assert (image == -1).sum() >= edge * edge - height * width
    assert image.shape == (edge, edge)


def test_a_shrunk_pixel_is_the_mean_of_its_area(picture):
    image = RecordImage(BYTES, 4)(picture(PIXELS))[0]
    blocks = PIXELS.reshape(4, 4, 4, 4).mean(axis=(1, 3)) / 127.5 - 1
    assert image.numpy() == pytest.approx(blocks, abs=1e-5)


def test_an_enlarged_image_stays_in_range(picture):
    image = RecordImage(BYTES, 64)(picture(PIXELS))
    assert image.shape == (1, 64, 64)
    assert -1 <= image.min() < image.max() <= 1
    assert image.mean() == pytest.approx(float(PIXELS.mean() / 127.5 - 1), abs=0.02)


def test_dictionary_twin_and_batch(picture):
    paths = [picture(PIXELS, "a.png"), picture(PIXELS.T.copy(), "b.png")]
    single = RecordImage(ImageSettings(), 8)
    batch = load_images(paths, ImageSettings(), spatial_size=8)
    assert batch.dtype == torch.float32
    assert batch.shape == (2, 1, 8, 8)
    twin = RecordImaged(["image"], ImageSettings().to_dict(), spatial_size=8)({"image": paths[1], "age": 3})
    assert twin["age"] == 3
    assert torch.equal(twin["image"], batch[1])
    assert torch.equal(single(paths[0]), batch[0])


def test_channels_of_numpy_files(tmp_path):
    values = np.stack([PIXELS, 255 - PIXELS])
    np.save(tmp_path / "a.npy", values)
    settings = ImageSettings(scaling={"kind": "range", "minimum": 0.0, "maximum": 255.0, "channels": 2})
    image = RecordImage(settings, 16)(tmp_path / "a.npy")
    assert torch.allclose(image, torch.from_numpy(values).float() / 127.5 - 1, atol=1e-6)
    with pytest.raises(ImageFileError, match="has 2 channels"):
        RecordImage(BYTES, 16)(tmp_path / "a.npy")


def test_the_error_names_the_file(tmp_path):
    with pytest.raises(ImageFileError, match="gone.png is missing"):
        RecordImage(ImageSettings(), 8)(tmp_path / "gone.png")
    with pytest.raises(ValueError, match="spatial_size is 0"):
        RecordImage(ImageSettings(), 0)
