"""Write a phantom cohort as a cohort folder, so that everything runs without any patient's data."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from monai_hybridsynth.data.chest_phantom.chest_drawing import draw_images
from monai_hybridsynth.data.chest_phantom.clinical_rows import draw_rows
from monai_hybridsynth.data.chest_phantom.phantom_schema import phantom_schema

__all__ = ["write_phantom_cohort"]

_BLOCK = 256


def write_phantom_cohort(
    folder: str | Path, num_records: int, *, seed: int, variant: str = "paper", spatial_size: int = 128
) -> Path:
    """Draw a cohort and write ``records.csv``, ``schema.json`` and ``images/*.png``.

    Missing values are blank in the table. Images are drawn and written in blocks, so memory does not grow with the
    cohort. Files of the same names are overwritten; equal arguments give equal bytes.

    Args:
        folder: where to write; made if needed.
        num_records: images and rows.
        seed: another seed gives other patients.
        variant: ``paper``, ``wide``, ``two_site`` or ``findings``, see ``draw_rows``.
        spatial_size: pixels along a side, a power of two from 32 to 512.

    Returns:
        The folder.

    Raises:
        ValueError: as ``draw_rows`` and ``draw_images``.
    """
    folder = Path(folder)
    table = draw_rows(num_records, seed=seed, variant=variant)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for start in range(0, num_records, _BLOCK):
        block = table.iloc[start : start + _BLOCK]
        for name, pixels in zip(block["image"], draw_images(block, spatial_size=spatial_size, seed=seed), strict=True):
            Image.fromarray(pixels).save(folder / name)
    table.to_csv(folder / "records.csv", index=False)
    phantom_schema(variant).save(folder / "schema.json")
    return folder
