"""SHA-256 of what decides a result: files, folders, networks, settings. Equal digests mean the work can be reused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

__all__ = ["digest_file", "digest_folder", "digest_network", "digest_settings", "digest_sources"]


def digest_file(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest_folder(folder: str | Path) -> str:
    """Return the SHA-256 of all files below a folder: their relative names and their bytes, in sorted order.

    Raises:
        FileNotFoundError: if the folder is not there.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder.")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return digest_settings([[path.relative_to(folder).as_posix(), digest_file(path)] for path in files])


def digest_network(network: nn.Module) -> str:
    """Return the SHA-256 of a network: its structure and every parameter and buffer, wherever they lie."""
    digest = hashlib.sha256(repr(network).encode())
    for name, tensor in network.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def digest_settings(settings: dict[str, Any] | Sequence[Any] | str) -> str:
    """Return the SHA-256 of JSON values; the order of keys does not matter.

    Raises:
        TypeError: if a value is not JSON, e.g. a tensor or a path.
    """
    return hashlib.sha256(json.dumps(settings, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


@cache
def digest_sources() -> str:
    """Return the SHA-256 of this package's own source, so that results of other code are never taken for its own."""
    package = Path(__file__).resolve().parents[1]
    files = sorted(package.rglob("*.py"))
    return digest_settings([[path.relative_to(package).as_posix(), digest_file(path)] for path in files])
