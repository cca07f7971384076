"""Search the contents of one file for the traces of a cohort."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from monai_hybridsynth.workflows.cohort_traces import SIDE, CohortTraces, fingerprints, name_parts, normed_rows
from monai_hybridsynth.workflows.release_contents import FileContents

__all__ = ["search_traces"]

TOKEN = re.compile(rb"[A-Za-z0-9]+(?:[_\-.][A-Za-z0-9]+)*")
NUMBER = re.compile(rb"(?<![\w.])[+-]?\d*\.?\d+(?:[eE][+-]?\d+)?(?![\w])")
SHOWN = 3
RUN_LENGTH = 8
TELLING_BITS = 40.0
SMALL_ARRAY = 100_000
Trace = tuple[str, str]


def search_traces(contents: FileContents, traces: CohortTraces, *, is_release_data: bool) -> list[Trace]:
    """Return ``(what, remedy)`` for every trace of the cohort in one file.

    Args:
        contents: of the file.
        traces: of the cohort.
        is_release_data: whether the file belongs to an artifact or a synthetic cohort, where a rare category has no
            innocent reason; in a page of documentation it may be vocabulary.
    """
    found: list[Trace] = []
    for search in (_names, _phrases, _numbers, _tables, _arrays, _images):
        found += search(contents, traces)
    if is_release_data:
        found += _categories(contents, traces)
    return found


def _all_bytes(contents: FileContents) -> list[bytes]:
    """Return everything in which words are searched."""
    return contents.bytes_ + [text.encode("utf-8", errors="ignore") for text in contents.texts]


def _names(contents: FileContents, traces: CohortTraces) -> list[Trace]:
    """Find identifiers and file names."""
    hits: set[str] = set()
    folder = str(traces.folder.resolve()).encode()
    found: list[Trace] = []
    for data in _all_bytes(contents):
        for token in {match.group() for match in TOKEN.finditer(data)}:
            if 5 <= len(token) <= 200:
                hits |= name_parts(token.decode("ascii")) & traces.names
        if len(folder) >= 8 and folder in data:
            found.append((f"the path of the private cohort ({traces.folder})", "write relative names"))
    if hits:
        shown = ", ".join(sorted(hits)[:SHOWN])
        found.append((f"{len(hits)} identifiers or file names of the cohort ({shown})", "remove them, or rename"))
    return found


def _phrases(contents: FileContents, traces: CohortTraces) -> list[Trace]:
    """Find texts of the cohort's free columns."""
    hits: set[str] = set()
    for data in _all_bytes(contents):
        if len(data) < 1 << 25:
            text = data.decode("utf-8", errors="ignore").lower()
            hits |= {phrase for phrase in traces.phrases if phrase in text}
    return [(f"{len(hits)} free texts of the cohort ({min(hits)[:40]!r})", "remove the texts")] if hits else []


def _numbers(contents: FileContents, traces: CohortTraces) -> list[Trace]:
    """Find precise values that few patients have, as text or as float."""
    if not len(traces.numbers):
        return []
    hits: set[float] = set()
    for data in _all_bytes(contents):
        values = {float(match) for match in set(NUMBER.findall(data)) if len(match) >= 5}
        hits |= values & set(traces.numbers.tolist())
    wanted = np.unique(traces.numbers.astype(np.float32))
    for _, array in contents.arrays:
        flat = np.unique(array.astype(np.float32))
        flat = flat if array.size <= SMALL_ARRAY else flat[np.abs(flat) >= 16]
        hits |= {float(value) for value in np.intersect1d(flat, wanted)}
    shown = ", ".join(f"{value:g}" for value in sorted(hits)[:SHOWN])
    return [(f"{len(hits)} exact values of single patients ({shown})", "round or leave them out")] if hits else []


def _categories(contents: FileContents, traces: CohortTraces) -> list[Trace]:
    """Find categories that few patients have."""
    found = []
    data = b"\n".join(_all_bytes(contents)).decode("utf-8", errors="ignore")
    for name, rare in traces.categories.items():
        hits = sorted(value for value in rare if re.search(rf"(?<!\w){re.escape(value)}(?!\w)", data))
        if hits:
            shown = ", ".join(hits[:SHOWN])
            found.append(
                (
                    f"categories of {name!r} that fewer than five patients have ({shown})",
                    "fit again; merge rare categories",
                )
            )
    return found


def _tables(contents: FileContents, traces: CohortTraces) -> list[Trace]:
    """Find rows of the cohort.

    A match of few coarse columns happens by chance. So a row counts when it is telling (40 bits by the cohort's own
    frequencies), when eight rows follow each other as in the cohort, or when nearly all rows of the table match and far
    more than with its columns shuffled.
    """
    found: list[Trace] = []
    for place, table in contents.tables:
        shared = [name for name in traces.table.columns if name in table.columns]
        if len(shared) < 2 or not len(traces.table):
            continue
        real, theirs = _canonical(traces.table[shared]), _canonical(table[shared])
        bits = _bits(real)
        keys = {key: number for number, key in enumerate(map(tuple, real.to_numpy()))}
        rows = np.array([keys.get(key, -1) for key in map(tuple, theirs.to_numpy())])
        telling = (rows >= 0) & (bits[rows] >= TELLING_BITS)
        expected = _shuffled_share(theirs, keys)
        if telling.any():
            found.append((f"{place}: {telling.sum()} rows are rows of patients", "draw records, do not copy them"))
        elif len(rows) >= 5 and (rows >= 0).mean() >= 0.95 and (rows >= 0).mean() > expected + 0.2:
            found.append((f"{place}: {(rows >= 0).mean():.0%} of the rows are rows of patients", "draw new records"))
        elif _longest_run(theirs, real) >= RUN_LENGTH:
            found.append((f"{place}: rows follow each other as in the cohort", "draw new records"))
    return found


def _canonical(table: pd.DataFrame) -> pd.DataFrame:
    """Return cells as text in which 60, 60.0 and 060Y are the same."""

    def cell(value: object) -> str:
        text = str(value).strip()
        match = re.fullmatch(r"0*(\d+)Y", text)
        text = match.group(1) if match else text
        try:
            return f"{float(text):.9g}"
        except ValueError:
            return text

    return table.apply(lambda column: column.map({value: cell(value) for value in column.unique()}))


def _bits(table: pd.DataFrame) -> np.ndarray:
    """Return how telling each row is: minus the sum of the log frequencies of its values."""
    bits = np.zeros(len(table))
    for name in table.columns:
        share = table[name].map(table[name].value_counts(normalize=True)).to_numpy(dtype=float)
        bits -= np.where(table[name].isin(["", "nan", "None", "<NA>"]), 0.0, np.log2(share))
    return bits


def _shuffled_share(table: pd.DataFrame, keys: dict[tuple, int]) -> float:
    """Return the share of matching rows once every column is shuffled on its own."""
    rng = np.random.default_rng(0)
    shuffled = {name: rng.permutation(table[name].to_numpy()) for name in table.columns}
    return float(np.mean([key in keys for key in zip(*shuffled.values(), strict=True)]))


def _longest_run(theirs: pd.DataFrame, real: pd.DataFrame) -> int:
    """Return the length of the longest block of rows that stands in both tables in the same order."""
    places: dict[tuple, list[int]] = {}
    for number, key in enumerate(map(tuple, real.to_numpy())):
        places.setdefault(key, []).append(number)
    longest, ends = 0, dict[int, int]()
    for key in map(tuple, theirs.to_numpy()):
        ends = {number: ends.get(number - 1, 0) + 1 for number in places.get(key, [])}
        longest = max(longest, max(ends.values(), default=0))
    return longest


def _arrays(contents: FileContents, traces: CohortTraces) -> list[Trace]:
    """Find latents, pixel rows, row numbers of categories and encoded columns of the cohort."""
    found: list[Trace] = []
    for place, array in contents.arrays:
        for search in (_latent_rows, _row_numbers, _encoded_columns):
            what = search(array, traces)
            if what:
                found.append((f"{place}: {what}", "remove the array; nothing of a training row may be in a release"))
                break
        contents.images.extend((place, plane) for plane in _image_planes(array))
    return found


def _latent_rows(array: np.ndarray, traces: CohortTraces) -> str | None:
    """Return how many rows or columns of an array are latents of the cohort, whatever their scale."""
    if traces.latents is None or array.ndim != 2:
        return None
    width = traces.latents.shape[1]
    for rows in (array, array.T):
        if rows.shape[1] < width:
            continue
        part = rows[:, -width:] if rows.shape[1] > width else rows
        alike = (
            normed_rows(part - part.mean(1, keepdims=True))
            @ normed_rows(traces.latents - traces.latents.mean(1, keepdims=True)).T
        )
        count = int((alike.max(axis=1) > 0.9999).sum())
        if count:
            return f"{count} latents of the cohort"
    return None


def _row_numbers(array: np.ndarray, traces: CohortTraces) -> str | None:
    """Return the category whose row numbers an array lists, as upstream's sampler keeps them."""
    flat = array.ravel()
    if (
        not 3 <= flat.size <= len(traces.table)
        or not np.array_equal(flat, np.round(flat))
        or (np.diff(flat) <= 0).any()
    ):
        return None
    for name in traces.table.columns:
        values = traces.table[name].to_numpy()
        rows = flat.astype(int)
        if rows[-1] >= len(values) or rows[0] < 0 or rows[-1] - rows[0] + 1 == len(rows):
            continue
        if np.array_equal(np.flatnonzero(values == values[rows[0]]), rows):
            return f"the row numbers of {name!r} = {values[rows[0]]!r}"
    return None


def _encoded_columns(array: np.ndarray, traces: CohortTraces) -> str | None:
    """Return the column that an array with one row per record holds in another coding, in the cohort's order."""
    if array.ndim not in (1, 2) or len(array) != len(traces.table) or len(array) < 20:
        return None
    columns = array[:, None] if array.ndim == 1 else array[:, :4096]
    for name in traces.table.columns:
        codes = pd.factorize(traces.table[name])[0]
        if not 1 <= codes.max() < len(codes) // 3:
            continue  # constant, or so fine that any numbering of the rows would match
        for number in range(columns.shape[1]):
            coded = pd.factorize(columns[:, number])[0]
            for category in range(min(codes.max() + 1, 50)):
                hit = codes == category
                if (
                    3 <= hit.sum() <= len(hit) - 3
                    and coded.max() == 1
                    and len(set(coded[hit])) == 1 == len(set(coded[~hit]))
                ):
                    return f"column {name!r} of all training rows, encoded"
            if coded.max() == codes.max() and np.array_equal(codes, coded):
                return f"column {name!r} of all training rows, encoded"
    return None


def _image_planes(array: np.ndarray) -> list[np.ndarray]:
    """Return the images an array may hold: the last two axes, or rows that are flattened squares."""
    if array.ndim >= 3 and min(array.shape[-2:]) >= 16:
        return [plane for plane in array.reshape(-1, *array.shape[-2:])[:5000]]
    if array.ndim == 2:
        side = int(round(np.sqrt(array.shape[1])))
        if side >= 16 and side * side == array.shape[1]:
            return [row.reshape(side, side) for row in array[:5000]]
        if min(array.shape) >= 16 and max(array.shape) <= 4096:
            return [array]
    return []


def _images(contents: FileContents, traces: CohortTraces) -> list[Trace]:
    """Find copies of the cohort's images, also rescaled, recoded or as tiles of a grid."""
    if not len(traces.images) or not contents.images:
        return []
    hits: dict[str, float] = {}
    normed = normed_rows(traces.images)
    for place, image in contents.images:
        views = [image, *_tiles(image)]
        found = fingerprints([view for view in views if np.ptp(view) > 0])
        if not len(found):
            continue
        best = float((normed_rows(found - traces.mean_image) @ normed.T).max())
        if best >= traces.copy_threshold:
            hits[place] = max(best, hits.get(place, 0.0))
    if not hits:
        return []
    place = max(hits, key=lambda name: hits[name])
    what = f"{len(hits)} images are images of patients ({place}: correlation {hits[place]:.3f})"
    return [(what, "remove them; show synthetic images only")]


def _tiles(image: np.ndarray) -> list[np.ndarray]:
    """Return the tiles of a grid of square images, with or without a frame of two pixels."""
    height, width = image.shape
    found: list[np.ndarray] = []
    for size in (32, 64, 96, 128, 224, 256):
        for frame in (0, 2):
            step = size + frame
            rows, columns = (height - frame) // step, (width - frame) // step
            fits = (height - frame) % step == 0 and (width - frame) % step == 0
            if not fits or rows * columns < 2 or rows * columns > 400 or size < SIDE:
                continue
            found += [
                image[frame + r * step : frame + r * step + size, frame + c * step : frame + c * step + size]
                for r in range(rows)
                for c in range(columns)
            ]
    return found
