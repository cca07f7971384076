"""The cells of the study's grid: an arm, a share of the real patients, a share of synthetic records, a seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from monai_hybridsynth.studies.supplementation.replica_rows import check_percent

__all__ = ["ORDERS", "REAL_ARM", "StudyArm", "StudyCell", "study_arms", "study_cells"]

REAL_ARM = "real"
ORDERS = ("mixed", "pretrain")


@dataclass(frozen=True)
class StudyArm:
    """What the classifiers of an arm are trained on.

    Attributes:
        name: of the arm.
        synthetic: name of the synthetic cohort (or of the cohort of further patients); None for real records alone.
        real: whether the study's own real records take part; without them synthetic records are all there is.
        order: ``mixed``, or ``pretrain``: on synthetic records first, then on real ones.
        percents: synthetic records per hundred real ones, each a cell of its own.
    """

    name: str
    synthetic: str | None = None
    real: bool = True
    order: str = "mixed"
    percents: tuple[int, ...] = (100, 300, 1000)

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        if self.order not in ORDERS:
            raise ValueError(f"arm {self.name!r} has order {self.order!r}; choose one of {', '.join(ORDERS)}.")
        if self.synthetic is None and (not self.real or self.order != "mixed"):
            raise ValueError(f"arm {self.name!r} names no synthetic cohort, so it can only be real and mixed.")
        if self.order == "pretrain" and not self.real:
            raise ValueError(f"arm {self.name!r} pretrains without real records to fine-tune on; set real to true.")
        if self.synthetic is not None:
            for percent in self.percents:
                check_percent(percent)


@dataclass(frozen=True)
class StudyCell:
    """One training: the smallest piece of the study that a scheduler can run.

    Attributes:
        number: place in the grid.
        arm: name of the arm.
        real_percent: share of the real training patients, 1 to 100.
        percent: synthetic records per hundred real ones; 0 in the real arm.
        seed: of the subset, the start of the weights, the order and the augmentation.
    """

    number: int
    arm: str
    real_percent: int
    percent: int
    seed: int

    @property
    def name(self) -> str:
        """Name of the cell's files."""
        return f"{_file_name(self.arm)}-real{self.real_percent}-add{self.percent}-seed{self.seed}"

    def plain(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self)


def study_arms(settings: Sequence[Mapping[str, Any]], synthetic: Sequence[str]) -> list[StudyArm]:
    """Return the arms of a config; the real arm, to which all others are compared, is always among them.

    Args:
        settings: the arguments of :class:`StudyArm`, one mapping per arm.
        synthetic: names of the synthetic cohorts that there are.

    Raises:
        ValueError: if a setting is unknown, a name is used twice, or an arm names a cohort that is not there.
    """
    arms = [StudyArm(REAL_ARM, percents=(0,))]
    for given in settings:
        unknown = sorted(set(given) - set(StudyArm.__dataclass_fields__))
        if unknown or "name" not in given:
            known = ", ".join(StudyArm.__dataclass_fields__)
            raise ValueError(f"arm {dict(given)} has {unknown or 'no name'}; an arm is told by {known}.")
        arm = StudyArm(**{**given, "percents": tuple(given.get("percents", StudyArm.percents))})
        if arm.synthetic is not None and arm.synthetic not in synthetic:
            raise ValueError(f"arm {arm.name!r} uses {arm.synthetic!r}; the study's cohorts are {sorted(synthetic)}.")
        if arm.synthetic is not None:
            arms.append(arm)
        elif arm.name != REAL_ARM:
            raise ValueError(f"arm {arm.name!r} is real records alone, which is the arm {REAL_ARM!r}.")
    names = [arm.name for arm in arms]
    if len({_file_name(name) for name in names}) != len(names):
        raise ValueError(f"arms are called {names}; give each a name of its own, told apart by letters and digits.")
    return arms


def study_cells(arms: Sequence[StudyArm], real_percents: Sequence[int], seeds: Sequence[int]) -> list[StudyCell]:
    """Return the grid; a seed's cells stand together, so that a study that is cut short is one of fewer seeds.

    Raises:
        ValueError: if there are no sizes or seeds, or a size is no percentage.
    """
    if not seeds or not real_percents or not all(0 < size <= 100 for size in real_percents):
        raise ValueError(f"real_percents is {list(real_percents)} and seeds {list(seeds)}; give sizes in 1 ... 100.")
    places = [
        (arm.name, size, percent, seed)
        for seed in seeds
        for size in sorted(set(real_percents), reverse=True)
        for arm in arms
        for percent in arm.percents
    ]
    return [StudyCell(number, *place) for number, place in enumerate(places)]


def _file_name(arm: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in arm)
