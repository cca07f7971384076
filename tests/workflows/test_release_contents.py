"""Every kind of file is opened without running it, and what cannot be opened is told."""

from __future__ import annotations

import gzip
import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.numpy import save_file

from monai_hybridsynth.workflows.release_contents import read_contents

VALUES = np.arange(12, dtype=np.float32).reshape(4, 3)


def save_npy(path):
    np.save(path, VALUES)


def save_npz(path):
    np.savez(path, a=VALUES)


def save_safetensors(path):
    save_file({"a": VALUES}, path)


def save_torch(path):
    torch.save({"epoch": 3, "nested": [{"a": torch.from_numpy(VALUES)}]}, path)


def save_csv(path):
    pd.DataFrame(VALUES).to_csv(path, index=False)


def save_parquet(path):
    pd.DataFrame(VALUES, columns=["a", "b", "c"]).to_parquet(path)


def save_gzip(path):
    data = io.BytesIO()
    np.save(data, VALUES)
    path.write_bytes(gzip.compress(data.getvalue()))


def save_zip(path):
    data = io.BytesIO()
    np.save(data, VALUES)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("deep/values.npy", data.getvalue())


@pytest.mark.parametrize(
    ("name", "save"),
    [
        ("a.npy", save_npy),
        ("a.npz", save_npz),
        ("a.safetensors", save_safetensors),
        ("a.pt", save_torch),
        ("a.csv", save_csv),
        ("a.parquet", save_parquet),
        ("a.npy.gz", save_gzip),
        ("a.zip", save_zip),
        ("no_suffix", lambda path: save_npy(path.with_suffix(".npy")) or path.with_suffix(".npy").rename(path)),
    ],
)
def test_arrays_are_seen(tmp_path, name, save):
    save(tmp_path / name)
    contents = read_contents(tmp_path / name)
    assert contents.problems == []
    assert any(np.array_equal(array, VALUES) for _, array in contents.arrays)


def test_tables_are_text(tmp_path):
    (tmp_path / "a.csv").write_text("id;age\n007;060Y\n", encoding="utf-8-sig")
    pd.DataFrame({"id": ["007"], "age": pd.array([None], dtype="Int64")}).to_parquet(tmp_path / "a.parquet")
    assert read_contents(tmp_path / "a.csv").tables[0][1].to_dict("list") == {"id": ["007"], "age": ["060Y"]}
    parquet = read_contents(tmp_path / "a.parquet")
    assert parquet.tables[0][1].to_dict("list") == {"id": ["007"], "age": [""]}
    assert any("007" in text for text in parquet.texts), "parquet compresses its strings"


def test_images_and_their_headers_are_seen(tmp_path):
    pixels = np.random.default_rng(0).integers(255, size=(20, 30), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x010E] = "patient of ward 7"
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    contents = read_contents(tmp_path / "a.png")
    np.testing.assert_array_equal(contents.images[0][1], pixels)
    assert "ward 7" in "".join(contents.texts)


@pytest.mark.parametrize(
    ("name", "data", "what"),
    [
        ("a.bin", pickle.dumps([1]), "is a pickle"),
        ("a.pkl", b"", "is a pickle"),
        ("old.pth", b"\x80\x02\x8a\nl\xfc", "is a pickle"),
        ("a.pt", b"not a zip", "is no zip archive"),
        ("a.zip", b"PK\x03\x04....", "cannot be read"),
        ("a.safetensors", b"\x01", "cannot be read"),
        ("a.png", b"\x89PNG broken", "cannot be read"),
        ("a.parquet", b"PAR1", "cannot be read"),
    ],
)
def test_what_is_dangerous_or_damaged_is_told(tmp_path, name, data, what):
    (tmp_path / name).write_bytes(data)
    assert [what in problem for problem, _ in read_contents(tmp_path / name).problems] == [True]


def test_a_header_whose_length_looks_like_a_pickle_is_no_pickle(tmp_path):
    """Of safetensors files, some have a header of 640 bytes: 0x280, the first bytes of a pickle."""
    path = tmp_path / "a.safetensors"
    lengths = []
    for size in range(1, 640):
        save_file({"a": VALUES}, path, metadata={"note": "x" * size})
        if path.read_bytes().startswith(b"\x80\x02"):
            lengths.append(size)
            assert read_contents(path).problems == []
    assert lengths
    # A pickle with a brace at that place is still one.
    (tmp_path / "b.bin").write_bytes(b"\x80\x02" + bytes(6) + b"{" + pickle.dumps([1])[2:])
    assert "is a pickle" in read_contents(tmp_path / "b.bin").problems[0][0]


def test_a_program_is_no_weights_file(tmp_path):
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(tmp_path / "model.ts"))
    assert "TorchScript" in read_contents(tmp_path / "model.ts").problems[0][0]


def test_an_unmarked_dicom_file_is_told(tmp_path):
    from pydicom.data import get_testdata_file

    (tmp_path / "a.dcm").write_bytes(Path(get_testdata_file("CT_small.dcm")).read_bytes())
    contents = read_contents(tmp_path / "a.dcm")
    assert "not marked as synthetic" in contents.problems[0][0]
    assert contents.images[0][1].shape == (128, 128)
    assert "CompressedSamples^CT1" in contents.texts[0]
