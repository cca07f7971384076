"""Every image is opened, and all that is wrong or remarkable is told with its row."""

from __future__ import annotations

import numpy as np
from PIL import Image

from monai_hybridsynth.data import ImageSettings
from monai_hybridsynth.data.image_check import check_images

GENERATOR = np.random.default_rng(0)


def write(folder, images: dict[str, np.ndarray]):
    for name, pixels in images.items():
        Image.fromarray(pixels).save(folder / name)
    return list(images), [folder / name for name in images]


def test_sizes_notes_and_copies(tmp_path):
    noise = GENERATOR.integers(0, 256, (10, 14), dtype=np.uint8)
    other = GENERATOR.integers(0, 256, (20, 8), dtype=np.uint8)
    grey = np.stack([other] * 3, axis=-1)
    names, paths = write(tmp_path, {"a.png": noise, "b.png": grey, "c.png": noise, "d.png": np.zeros_like(other)})
    check = check_images(paths, names, ImageSettings(), file="records.csv", rows=[2, 3, 4, 5])
    assert check.problems == []
    assert check.sizes.tolist() == [[10, 14], [20, 8], [10, 14], [20, 8]]
    assert check.formats == {"picture": 4}
    assert check.notes == {"stored with 3 channels that all say the same grey": 1, "almost without contrast": 1}
    assert check.same_content == [[2, 4]]


def test_all_bad_images_are_told_with_row_and_remedy(tmp_path):
    noise = GENERATOR.integers(0, 256, (9, 9, 3), dtype=np.uint8)
    names, paths = write(tmp_path, {"colour.png": noise})
    (tmp_path / "broken.jpg").write_bytes(b"broken")
    names.append("broken.jpg")
    paths.append(tmp_path / "broken.jpg")
    check = check_images(paths, names, ImageSettings(), file="records.csv", rows=[2, 7])
    told = [str(problem) for problem in check.problems]
    assert told[0].startswith("records.csv, row 2, column 'image': 'colour.png' is in colour")
    assert told[0].endswith("; export it in grey")
    assert told[1].startswith("records.csv, row 7, column 'image': 'broken.jpg' cannot be read")
    assert "; the file is damaged, export it again" in told[1]


def test_images_must_suit_their_scaling(tmp_path):
    deep = GENERATOR.integers(0, 4096, (9, 9), dtype=np.uint16)
    names, paths = write(tmp_path, {"deep.png": deep})
    for settings, told in (
        (ImageSettings.for_modality("head_ct"), "beyond the range 0 to 255"),
        (ImageSettings.for_modality("head_ct", hounsfield=True), "not the Hounsfield units"),
    ):
        check = check_images(paths, names, settings, file="records.csv", rows=[2])
        assert told in str(check.problems[0])


def test_no_images_give_no_sizes():
    assert check_images([], [], ImageSettings(), file="records.csv", rows=[]).sizes.shape == (0, 2)
