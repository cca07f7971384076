"""Open every image of a cohort and say what is wrong with it, before anything is built on it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from .image_files import ImageFileError, read_image
from .record_schema import ImageSettings, RecordProblem

__all__ = ["ImageCheck", "check_images"]


@dataclass
class ImageCheck:
    """What the images of a cohort are like.

    Attributes:
        problems: images that cannot be read safely.
        sizes: height and width of each readable image, int ``(images, 2)``.
        formats: how many images there are of each format.
        notes: readings that needed a decision, with how many images they concern.
        same_content: groups of row numbers whose files are identical.
    """

    problems: list[RecordProblem] = field(default_factory=list)
    sizes: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), dtype=int))
    formats: dict[str, int] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)
    same_content: list[list[int]] = field(default_factory=list)


def check_images(
    paths: Sequence[Path],
    names: Sequence[str],
    settings: ImageSettings,
    *,
    file: str,
    rows: Sequence[int],
    progress: bool = False,
) -> ImageCheck:
    """Open every image once.

    Args:
        paths: the image files.
        names: what the table calls them.
        settings: how they are going to be scaled; an image that this does not fit is a problem.
        file: the table's name, for messages.
        rows: each image's row, for messages.
        progress: whether to show a progress bar on stderr.
    """
    check = ImageCheck()
    sizes: list[tuple[int, int]] = []
    by_content: dict[str, list[int]] = {}
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        looks = pool.map(lambda path: _look(path, settings), paths)
        for look, name, row in zip(tqdm(looks, "images", len(paths), disable=not progress), names, rows, strict=True):
            if look.wrong:
                wrong, _, remedy = look.wrong.partition("; ")
                check.problems.append(RecordProblem(wrong, remedy, file=file, row=row, column="image", value=name))
                continue
            sizes.append(look.size)
            check.formats[look.format] = check.formats.get(look.format, 0) + 1
            for note in look.notes:
                check.notes[note] = check.notes.get(note, 0) + 1
            by_content.setdefault(look.digest, []).append(row)
    check.sizes = np.array(sizes, dtype=int).reshape(-1, 2)
    check.same_content = [found for found in by_content.values() if len(found) > 1]
    return check


@dataclass(frozen=True)
class _Look:
    wrong: str = ""
    size: tuple[int, int] = (0, 0)
    format: str = ""
    notes: tuple[str, ...] = ()
    digest: str = ""


def _look(path: Path, settings: ImageSettings) -> _Look:
    try:
        image = read_image(path, slice=settings.slice)
        scaling = settings.scaling
        if scaling["kind"] == "window" and not image.hounsfield:
            raise ImageFileError(
                "holds grey levels, not the Hounsfield units of a CT window; keep one modality in a cohort "
                "(--modality), or set the image scaling in schema.json to a range"
            )
        if scaling["kind"] == "range":
            low, high = float(image.pixels.min()), float(image.pixels.max())
            if low < scaling["minimum"] or high > scaling["maximum"]:
                raise ImageFileError(
                    f"holds values from {low:g} to {high:g}, beyond the range {scaling['minimum']:g} to "
                    f"{scaling['maximum']:g} of the image settings; correct the scaling in schema.json"
                )
        channels = 1 if image.pixels.ndim == 2 else image.pixels.shape[0]
        if channels != (1 if scaling["kind"] == "window" else settings.channels):
            raise ImageFileError(f"has {channels} channels; the image settings say {settings.channels}")
    except ImageFileError as error:
        return _Look(wrong=str(error))
    notes = [image.note] if image.note else []
    low, high = np.percentile(image.pixels, [1, 99])
    if high - low <= 1:
        notes.append("almost without contrast")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    height, width = image.pixels.shape[-2:]
    return _Look(size=(height, width), format=image.format, notes=tuple(notes), digest=digest)
