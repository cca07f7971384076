"""What makes an evaluation meaningless, found before anything is computed: folders, patients and channels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from monai_hybridsynth.data import Cohort, CohortError, ImageFileError
from monai_hybridsynth.transforms import load_images

__all__ = ["check_channels", "check_folders", "check_patients"]


def check_folders(train: str | Path, holdout: str | Path, synthetic: Sequence[str | Path]) -> None:
    """Raise if a folder is absent or empty, or if one folder is given in two roles.

    Raises:
        ValueError: naming the folder, its role and what to give instead.
    """
    taken: dict[Path, str] = {}
    remedy = "give one that holds records.csv and images"
    roles = [("train", train), ("holdout", holdout), *(("synthetic", folder) for folder in synthetic)]
    for role, given in roles:
        folder = Path(given)
        if not folder.is_dir():
            raise ValueError(f"the {role} cohort {folder} is no folder; {remedy}.")
        if not any(folder.iterdir()):
            raise ValueError(f"the {role} cohort {folder} is an empty folder; {remedy}.")
        other = taken.setdefault(folder.resolve(), role)
        if other != role:
            raise ValueError(
                f"{folder} is given as {other} and as {role}; compared with itself every cohort looks perfect. Give "
                "three different cohorts: the one that was fitted, other patients of its source, and the synthetic one."
            )


def check_patients(train: Cohort, holdout: Cohort) -> None:
    """Raise if one side names patients and the other does not, or a patient stands on both sides.

    Every floor and ceiling compares different patients, so it must be known which rows belong to whom.

    Raises:
        ValueError: naming the column and the folder.
    """
    group = train.schema.group_name
    if group is None:
        return
    sides = {"train": train, "holdout": holdout}
    named = {
        role: group in side.table.columns and not bool(side.table[group].isna().all()) for role, side in sides.items()
    }
    if named["train"] != named["holdout"]:
        role = "holdout" if named["train"] else "train"
        raise ValueError(
            f"the {role} cohort {sides[role].folder} names no patients in the column {group!r}, the other one does; "
            "without them it cannot be known that nobody is on both sides. Add the column, or split with "
            "`python -m monai_hybridsynth prepare`."
        )
    if not named["train"]:
        return
    shared = set(train.table[group].dropna()) & set(holdout.table[group].dropna())
    if shared:
        raise ValueError(
            f"{len(shared)} patients are in train ({train.folder}) and in the holdout ({holdout.folder}); "
            "split by patient, for example with `python -m monai_hybridsynth prepare`."
        )


def check_channels(train: Cohort, others: Iterable[Cohort]) -> None:
    """Raise if a cohort's images have other channels than the training images, or its first one cannot be read.

    Other sizes are resized and need no check.

    Raises:
        ValueError: naming the cohort and the image.
    """
    channels = train.schema.image.channels
    for cohort in others:
        found = cohort.schema.image.channels
        path = cohort.image_paths[0]
        if found != channels:
            raise ValueError(
                f"images of {cohort.folder} have {found} channels according to its schema.json, those of the training "
                f"cohort {train.folder} have {channels}; write both with the same windows or channels."
            )
        try:
            load_images([path], cohort.schema.image, spatial_size=8)
        except (CohortError, ImageFileError, ValueError, RuntimeError) as error:
            text = str(error)
            raise ValueError(text if str(path) in text else f"{path}: {text}") from error
