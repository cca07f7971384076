"""Where the bundles lie that come with this package."""

from __future__ import annotations

from pathlib import Path

import monai_hybridsynth

__all__ = ["bundle_folder"]


def bundle_folder(name: str) -> Path:
    """Return the root of a bundle, for ``--bundle_root``.

    The bundles lie inside the installed package, and beside it in a clone of the repository.

    Raises:
        FileNotFoundError: if no bundle has that name; the error lists those there are.

    Example:
        >>> bundle_folder("hybrid_record_synthesis").name
        'hybrid_record_synthesis'
    """
    package = Path(monai_hybridsynth.__file__).resolve().parent
    places = [place for place in (package / "bundles", package.parent / "bundles") if place.is_dir()]
    there = {folder.name: folder for place in places for folder in place.iterdir() if (folder / "configs").is_dir()}
    if name not in there:
        raise FileNotFoundError(f"there is no bundle {name!r}; this package brings {sorted(there)}.")
    return there[name]
