"""Cohort folder to latent table: every image encoded once, in shards by rank, and never again while nothing changed."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from monai.data import DataLoader
from monai.inferers import SimpleInferer
from monai.networks.utils import eval_mode
from torch import nn
from torch.utils.data import Dataset, Subset

from monai_hybridsynth.data import Cohort, digest_file, digest_network, digest_settings
from monai_hybridsynth.data.record_schema import LATENT_PREFIX
from monai_hybridsynth.transforms import RecordImage

from .process_rank import gather_objects, process_rank, world_size

__all__ = ["CohortImages", "encode_cohort", "encode_images", "join_latents"]

logger = logging.getLogger(__name__)


class CohortImages(Dataset):
    """The images of a cohort as MONAI-style dictionaries, read when they are asked for.

    Shape:
        - item: ``{"image": (C, S, S) float32 in [-1, 1]}``, in the order of the cohort's rows

    Args:
        cohort: a cohort as `read_cohort` returns it.
        spatial_size: pixels a side after padding to a square.
    """

    def __init__(self, cohort: Cohort, *, spatial_size: int) -> None:
        self.cohort = cohort
        self.spatial_size = spatial_size
        self.transform = RecordImage(cohort.schema.image, spatial_size)

    def __len__(self) -> int:
        return len(self.cohort.image_paths)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"image": self.transform(self.cohort.image_paths[index])}

    def content_digest(self, index: int) -> str:
        """Return the SHA-256 of one image: its file's bytes, how it is scaled, and its size."""
        settings = [digest_file(self.cohort.image_paths[index]), self.cohort.schema.image.to_dict(), self.spatial_size]
        return digest_settings(settings)


def encode_cohort(
    cohort: Cohort,
    encoder: nn.Module,
    *,
    spatial_size: int,
    inferer: Callable[..., Any] | None = None,
    batch_size: int = 64,
    num_workers: int = 0,
    device: str | torch.device = "cpu",
    cache_dir: str | Path | None = None,
    out: str | Path | None = None,
) -> pd.DataFrame:
    """Return the latent table of a cohort: its patients, clinical columns, and one latent vector per image.

    Under ``torchrun`` every rank encodes its share of the batches and returns the whole table.

    Args:
        cohort: a cohort as `read_cohort` returns it.
        encoder: network, images ``(B, C, S, S)`` in [-1, 1] to codes ``(B, latent_dim)``.
        spatial_size: pixels a side that the encoder expects.
        inferer: MONAI inferer called as ``inferer(images, encoder)``; `SimpleInferer` unless given.
        batch_size: images encoded at a time; part of the cache key, because it can change the last bit of a latent.
        num_workers: processes that read images.
        device: where the encoder runs.
        cache_dir: folder of finished batches. A batch is encoded again only when one of its images, the image settings,
            the size or the encoder's weights changed. The folder holds encodings of patients: keep it private.
        out: Parquet file to write the table to, by rank 0.

    Returns:
        Table of ``patient_id`` (absent in a pool without patients), the schema's features and targets, and
        ``latent_000 ...`` as float32.

    Raises:
        ValueError: if the encoder's output is not one finite vector per image.
    """
    images = CohortImages(cohort, spatial_size=spatial_size)
    latents = encode_images(
        images,
        encoder,
        inferer=inferer,
        batch_size=batch_size,
        num_workers=num_workers,
        device=device,
        cache_dir=cache_dir,
    )
    table = join_latents(cohort, latents)
    if out is not None and process_rank() == 0:
        write_atomically(Path(out), lambda path: table.to_parquet(path, index=False))
    return table


def encode_images(
    images: CohortImages,
    encoder: nn.Module,
    *,
    inferer: Callable[..., Any] | None = None,
    batch_size: int = 64,
    num_workers: int = 0,
    device: str | torch.device = "cpu",
    cache_dir: str | Path | None = None,
) -> np.ndarray:
    """Return the latents of a cohort's images, shape ``(N, latent_dim)``, float32; see `encode_cohort`."""
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; give a positive number of images.")
    inferer = inferer or SimpleInferer()
    device = torch.device(device)
    encoder = encoder.to(device)
    blocks = [range(start, min(start + batch_size, len(images))) for start in range(0, len(images), batch_size)]
    encoder_digest = digest_network(encoder)
    done: dict[int, np.ndarray] = {}
    # Blocks are cut by position, not by what is missing: a run that was interrupted, or that has another number of
    # ranks, puts the same images into the same batches and so gets the same bits.
    for number in range(process_rank(), len(blocks), world_size()):
        path = _block_path(cache_dir, images, blocks[number], encoder_digest)
        latents = None if path is None else _read_block(path, len(blocks[number]))
        if latents is None:
            latents = _encode_block(Subset(images, blocks[number]), encoder, inferer, device, num_workers)
            _check_latents(latents, images, blocks[number])
            if path is not None:
                save_array(path, latents)
            logger.info("encoded images %d to %d of %d", blocks[number][0] + 1, blocks[number][-1] + 1, len(images))
        done[number] = latents
    merged = {number: latents for part in gather_objects(done) for number, latents in part.items()}
    return np.concatenate([merged[number] for number in range(len(blocks))])


def join_latents(cohort: Cohort, latents: np.ndarray) -> pd.DataFrame:
    """Return patients, clinical columns and latents ``(N, latent_dim)`` side by side, one row per image.

    Raises:
        ValueError: if a clinical column bears the name of a latent, or the numbers of rows differ.
    """
    schema = cohort.schema
    taken = [name for name in schema.feature_names if name.startswith(LATENT_PREFIX)]
    if taken:
        raise ValueError(f"clinical columns {taken} are named like latents; rename them in the table and the schema.")
    if len(latents) != len(cohort.table):
        raise ValueError(f"there are {len(latents)} latents for {len(cohort.table)} rows; encode this cohort's images.")
    kept = [name for name in (schema.group_name, *schema.feature_names) if name is not None]
    clinical = cohort.table[kept].reset_index(drop=True)
    clinical = clinical.rename(columns={schema.group_name: "patient_id"}) if schema.group_name else clinical
    names = [f"{LATENT_PREFIX}{index:03d}" for index in range(latents.shape[1])]
    return pd.concat([clinical, pd.DataFrame(latents.astype(np.float32, copy=False), columns=names)], axis=1)


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file beside its place and move it there, so that a killed process leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    write(part)
    part.replace(path)


def save_text(path: Path, text: str) -> None:
    """Write a text, whole or not at all."""
    write_atomically(path, lambda part: part.write_text(text, encoding="utf-8"))


def save_array(path: Path, array: np.ndarray) -> None:
    """Write an array as ``.npy``, whole or not at all."""

    def write(part: Path) -> None:
        # A stream, since np.save would add ".npy" to the name.
        with part.open("wb") as stream:
            np.save(stream, array, allow_pickle=False)

    write_atomically(path, write)


def _encode_block(
    images: Dataset, encoder: nn.Module, inferer: Callable[..., Any], device: torch.device, num_workers: int
) -> np.ndarray:
    """Read and encode one block in one batch."""
    loader = DataLoader(images, batch_size=len(images), num_workers=num_workers)  # type: ignore[arg-type]
    batch = next(iter(loader))["image"].to(device)
    with eval_mode(encoder):
        return inferer(batch, encoder).float().cpu().numpy()


def _check_latents(latents: np.ndarray, images: CohortImages, block: range) -> None:
    """Stop at an encoder that does not fit, and at a latent that is not a number."""
    if latents.ndim != 2 or len(latents) != len(block):
        raise ValueError(
            f"the encoder gave shape {latents.shape} for {len(block)} images; it must return (B, latent_dim)."
        )
    broken = np.flatnonzero(~np.isfinite(latents).all(axis=1))
    if len(broken):
        path = images.cohort.image_paths[block[broken[0]]]
        raise ValueError(f"the encoder gave values that are not finite for {path}; look at the image and the weights.")


def _block_path(cache_dir: str | Path | None, images: CohortImages, block: range, encoder_digest: str) -> Path | None:
    """Return where a block is cached: a name that any change of content changes."""
    if cache_dir is None:
        return None
    digest = hashlib.sha256(encoder_digest.encode())
    for index in block:
        digest.update(images.content_digest(index).encode())
    return Path(cache_dir) / f"{digest.hexdigest()}.npy"


def _read_block(path: Path, count: int) -> np.ndarray | None:
    """Return a cached block; None where there is none, or where the file is damaged."""
    try:
        latents = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return latents if latents.ndim == 2 and len(latents) == count else None
