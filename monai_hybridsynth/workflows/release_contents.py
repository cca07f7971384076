"""Whatever a file of a release holds, made visible without running it: text, arrays, tables, images, pickles."""

from __future__ import annotations

import base64
import gzip
import io
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch

__all__ = ["FileContents", "read_contents"]

PICKLE_START = re.compile(rb"\x80[\x02-\x05]")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
ARCHIVE_SUFFIXES = (".zip", ".pt", ".pth", ".ts", ".npz", ".ckpt", ".whl")
PICKLE_SUFFIXES = (".pkl", ".pickle", ".joblib", ".dill")
MOST_BYTES = 1 << 30
DEEPEST = 4


@dataclass
class FileContents:
    """What one file holds.

    Attributes:
        bytes_: raw or unpacked bytes in which names are searched.
        texts: metadata that the bytes do not show, such as the header of a compressed file.
        arrays: numeric arrays by place.
        tables: tables by place, every cell as text.
        images: grey images by place, uint8 ``(H, W)``.
        problems: ``(what, remedy)`` that need no cohort to be seen, such as a pickle.
    """

    bytes_: list[bytes] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    arrays: list[tuple[str, np.ndarray]] = field(default_factory=list)
    tables: list[tuple[str, pd.DataFrame]] = field(default_factory=list)
    images: list[tuple[str, np.ndarray]] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)


def read_contents(path: Path) -> FileContents:
    """Open one file, and what is packed into it, as far as it can be read without executing anything.

    What cannot be read becomes a problem: an audit must not pass over what it did not see.
    """
    found = FileContents()
    if path.stat().st_size > MOST_BYTES:
        found.problems.append(
            (f"{path.stat().st_size >> 20} MB is more than the audit reads", "release weights in smaller files")
        )
        return found
    _read(path.name, path.read_bytes(), found, depth=0)
    return found


def _read(name: str, data: bytes, found: FileContents, *, depth: int) -> None:
    """Read one file's bytes by their name and first bytes."""
    suffix = Path(name).suffix.lower()
    if depth > DEEPEST:
        found.problems.append((f"{name}: archives within archives, not opened", "unpack the archive"))
        return
    if suffix not in IMAGE_SUFFIXES:
        found.bytes_.append(data)
    if suffix in PICKLE_SUFFIXES or (PICKLE_START.match(data) and not _has_tensor_header(data)):
        found.problems.append(
            (f"{name} is a pickle: it runs code when loaded and can hold any training row", "save safetensors and JSON")
        )
        return
    reader = _reader_of(suffix, data)
    if reader is None:
        _carve(name, data, found)
        return
    try:
        reader(name, data, found, depth)
    except Exception as error:  # a damaged or disguised file can fail in any way of its library
        found.problems.append(
            (f"{name} cannot be read ({type(error).__name__}: {str(error)[:100]})", "remove the file or repair it")
        )


def _has_tensor_header(data: bytes) -> bool:
    """Return whether a JSON header as long as the first eight bytes say follows them, as in safetensors.

    Some lengths look like the start of a pickle.
    """
    size = int.from_bytes(data[:8], "little")
    return data[8:9] == b"{" and data[8 : 8 + size].rstrip()[-1:] == b"}" and len(data) >= 8 + size


def _reader_of(suffix: str, data: bytes) -> Callable[[str, bytes, FileContents, int], None] | None:
    """Choose by content where that is certain, else by suffix."""
    if data.startswith(b"PK\x03\x04"):
        return _read_archive
    if data.startswith(b"\x93NUMPY"):
        return _read_npy
    if data.startswith(b"\x1f\x8b"):
        return _read_gzip
    if data.startswith(b"PAR1"):
        return _read_parquet
    if data[128:132] == b"DICM":
        return _read_dicom
    if suffix in IMAGE_SUFFIXES:
        return _read_picture
    by_suffix = {".safetensors": _read_safetensors, ".csv": _read_csv, ".tsv": _read_csv, ".npy": _read_npy}
    if suffix in ARCHIVE_SUFFIXES:
        return _read_legacy_torch
    return by_suffix.get(suffix)


def _read_archive(name: str, data: bytes, found: FileContents, depth: int) -> None:
    """Read a zip: tensor-only state dicts are allowed, every other pickle in it is not."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [info for info in archive.infolist() if not info.is_dir()]
        if sum(info.file_size for info in members) > MOST_BYTES:
            raise ValueError("unpacks to more than the audit reads")
        names = [info.filename for info in members]
        found.texts.append("\n".join(names))
        is_torch = any(member.endswith("/data.pkl") or member == "data.pkl" for member in names)
        if is_torch and any(member.endswith("constants.pkl") for member in names):
            found.problems.append((f"{name} is a TorchScript archive: a program", "release a tensor-only state dict"))
        elif is_torch:
            _read_torch(name, data, found)
        for info in members:
            inner = Path(info.filename).name
            if is_torch and (inner == "data.pkl" or "/data/" in f"/{info.filename}"):
                continue
            _read(f"{name}:{info.filename}", archive.read(info), found, depth=depth + 1)


def _read_torch(name: str, data: bytes, found: FileContents) -> None:
    """Accept what loads with ``weights_only=True``."""
    try:
        content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # whatever refuses the file, the answer is the same
        reason = str(error).splitlines()[0][:100]
        found.problems.append(
            (f"{name} holds pickled objects other than tensors ({reason})", "save a tensor-only state dict")
        )
        return
    _walk_tensors(name, content, found)


def _read_legacy_torch(name: str, data: bytes, found: FileContents, depth: int) -> None:
    """Refuse what has the suffix of an archive and is none."""
    found.problems.append(
        (f"{name} is no zip archive: an old torch file is a bare pickle", "save it again as safetensors")
    )


def _walk_tensors(name: str, content: object, found: FileContents) -> None:
    """Collect tensors, numbers and strings of nested containers."""
    if isinstance(content, torch.Tensor):
        found.arrays.append((name, content.detach().to_dense().float().numpy()))
    elif isinstance(content, dict):
        found.texts.append("\n".join(str(key) for key in content))
        for key, value in content.items():
            _walk_tensors(f"{name}:{key}", value, found)
    elif isinstance(content, list | tuple | set):
        values = list(content)
        if values and all(isinstance(value, int | float) for value in values):
            found.arrays.append((name, np.array(values, dtype=float)))
            return
        for number, value in enumerate(values):
            _walk_tensors(f"{name}[{number}]", value, found)
    elif isinstance(content, str | int | float):
        found.texts.append(str(content))


def _read_npy(name: str, data: bytes, found: FileContents, depth: int) -> None:
    """Read a NumPy array; object arrays are pickles."""
    try:
        array = np.load(io.BytesIO(data), allow_pickle=False)
    except ValueError as error:
        found.problems.append((f"{name} is an object array, that is a pickle ({error})", "save plain numbers"))
        return
    if array.dtype.kind in "US":
        found.texts.append("\n".join(str(value) for value in array.ravel()))
    elif array.dtype.kind in "biuf":
        found.arrays.append((name, array))


def _read_gzip(name: str, data: bytes, found: FileContents, depth: int) -> None:
    """Read what a gzip file holds."""
    inner = name[:-3] if name.lower().endswith(".gz") else name
    _read(inner, gzip.decompress(data), found, depth=depth + 1)


def _read_safetensors(name: str, data: bytes, found: FileContents, depth: int) -> None:
    """Read tensors; names and metadata stand in the bytes as they are."""
    from safetensors.torch import load

    for key, value in load(data).items():
        found.arrays.append((f"{name}:{key}", value.float().numpy()))


def _read_csv(name: str, data: bytes, found: FileContents, depth: int) -> None:
    """Read a table of text."""
    separator = "\t" if name.lower().endswith(".tsv") else None
    text = data.decode("utf-8-sig", errors="replace")
    table = pd.read_csv(io.StringIO(text), dtype=str, sep=separator, keep_default_na=False, engine="python")
    _keep_table(name, table, found)


def _read_parquet(name: str, data: bytes, found: FileContents, depth: int) -> None:
    """Read a table of typed columns; its bytes are compressed, so its text is kept apart."""
    table = pd.read_parquet(io.BytesIO(data))
    as_text = table.astype(object).where(table.notna(), "").map(str)
    _keep_table(name, as_text, found)
    found.texts.append(as_text.to_csv(index=True))


def _keep_table(name: str, table: pd.DataFrame, found: FileContents) -> None:
    """Keep a table and the latents in it."""
    found.tables.append((name, table))
    numbers = table.apply(pd.to_numeric, errors="coerce")
    numbers = numbers.loc[:, numbers.notna().mean() > 0.5]
    if numbers.shape[1]:
        found.arrays.append((name, numbers.to_numpy(dtype=float)))


def _read_picture(name: str, data: bytes, found: FileContents, depth: int) -> None:
    """Read an image and its text chunks."""
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        found.texts.append("\n".join(f"{key} {value}" for key, value in image.info.items()))
        found.texts.append("\n".join(str(value) for value in dict(image.getexif()).values()))
        found.images.append((name, np.asarray(image.convert("L"))))


def _read_dicom(name: str, data: bytes, found: FileContents, depth: int) -> None:
    """Read a DICOM file: every header value, and the pixels."""
    import pydicom

    dataset = pydicom.dcmread(io.BytesIO(data))
    found.texts.append("\n".join(str(element.value) for element in dataset.iterall() if element.tag != 0x7FE00010))
    if str(dataset.get("SyntheticData", "NO")) != "YES":
        found.problems.append(
            (f"{name} is not marked as synthetic data (0008,001C)", "write it with SyntheticData YES")
        )
    if "PixelData" in dataset:
        pixels = np.asarray(dataset.pixel_array, dtype=float)
        pixels = pixels.max() - pixels if dataset.get("PhotometricInterpretation") == "MONOCHROME1" else pixels
        found.images.extend((name, plane) for plane in _as_images(pixels))


def _carve(name: str, data: bytes, found: FileContents) -> None:
    """Find pictures inside other files: data URIs of a page, summaries of an event file."""
    from PIL import Image

    for number, match in enumerate(re.finditer(rb"data:image/\w+;base64,([A-Za-z0-9+/=\s]+)", data)):
        _carve(f"{name}#{number}", base64.b64decode(match.group(1)), found)
    for pattern in (rb"\x89PNG\r\n\x1a\n.*?IEND....", rb"\xff\xd8\xff.*?\xff\xd9"):
        for match in re.finditer(pattern, data, re.DOTALL):
            try:
                with Image.open(io.BytesIO(match.group())) as image:
                    found.texts.append("\n".join(f"{key} {value}" for key, value in image.info.items()))
                    found.images.append((f"{name}@{match.start()}", np.asarray(image.convert("L"))))
            except (OSError, ValueError, SyntaxError):
                continue  # bytes that look like the start of a picture and are none


def _as_images(array: np.ndarray) -> list[np.ndarray]:
    """Return grey uint8 planes of an array ``(..., H, W)``, scaled to its own range."""
    planes = array.reshape(-1, *array.shape[-2:]).astype(float)
    low, high = np.nanmin(planes), np.nanmax(planes)
    scaled = np.nan_to_num((planes - low) / (high - low if high > low else 1.0)) * 255
    return list(scaled.astype(np.uint8))
