"""Populations of images in feature spaces: Fréchet and kernel distance, precision, recall, density, coverage."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from monai_hybridsynth.evaluation.comparable_draws import Comparison, comparable_draws
from monai_hybridsynth.evaluation.image_appearance import judging_spaces
from monai_hybridsynth.evaluation.judged_cohort import JudgedCohort
from monai_hybridsynth.evaluation.metric_record import MetricRecord
from monai_hybridsynth.metrics import Estimate, frechet_distance, kernel_distance, precision_recall

__all__ = ["DISTANCES", "distance_records", "distance_statistics", "image_distances"]

NUM_NEIGHBOURS = 5
DISTANCES = ("kernel_distance", "frechet_distance", "precision", "recall", "density", "coverage")
_NEIGHBOURS = f"balls to the {NUM_NEIGHBOURS}th neighbour"
_HOW = {
    "kernel_distance": "unbiased squared MMD, cubic kernel",
    "frechet_distance": "Fréchet distance of means and covariances{shrunk}",
    "precision": f"share of synthetic images within reach of a real one, {_NEIGHBOURS}",
    "recall": f"share of real images within reach of a synthetic one, {_NEIGHBOURS}",
    "density": f"real balls around a synthetic image, divided by {NUM_NEIGHBOURS}, {_NEIGHBOURS}",
    "coverage": f"share of real images that have a synthetic one within their own reach, {_NEIGHBOURS}",
}
_READINGS = {
    "kernel_distance": "{where}the synthetic images lie {value:.3f} from the training images; other real patients lie "
    "{floor:.3f} away.",
    "frechet_distance": "{where}mean and spread of the synthetic images lie {value:.2f} from the training images; as "
    "many other real patients lie {floor:.2f} away.",
    "precision": "{where}{percent} of the synthetic images look like some real one; of other real patients {floor:.0%} "
    "do.",
    "recall": "{where}{percent} of the real images have synthetic ones around them; other real patients reach "
    "{floor:.0%}. A low share means that kinds of images are missing.",
    "density": "{where}synthetic images stand in regions {value:.2f} times as crowded with real images as expected; "
    "other real patients in {floor:.2f} times.",
    "coverage": "{where}{percent} of the real images have a synthetic one close by; other real patients reach "
    "{floor:.0%}. A low share means that kinds of images are missing.",
}
_SHARES = ("precision", "recall", "coverage")
_CAUTIONS = {"recall": "widely scattered images have far neighbours and reach many real ones: read beside coverage"}
_WHERE = {
    "judge": "In the judge's features ",
    "texture": "In texture ",
    "supervised": "In features learned from the labels ",
    "encoder": "In the encoder of a generator, which favours its own images, ",
}


def distance_statistics(
    sides: dict[str, np.ndarray], *, wanted: Sequence[str] = DISTANCES, shrunk: bool = False
) -> ComparableStatistic:
    """Return a function from rows of train and of another side to the wanted statistics, in that order.

    Args:
        sides: features by role: train, holdout and synthetic.
        wanted: of :data:`DISTANCES`.
        shrunk: whether the Fréchet distance takes shrunk covariances.
    """
    return ComparableStatistic(sides, tuple(wanted), shrunk)


class ComparableStatistic:
    """Distances between chosen rows; see :func:`distance_statistics`."""

    def __init__(self, sides: dict[str, np.ndarray], wanted: tuple[str, ...], shrunk: bool) -> None:
        self.sides, self.wanted, self.shrunk = sides, wanted, shrunk

    def __call__(self, real: np.ndarray, other: np.ndarray, role: str) -> np.ndarray:
        """Return the statistics, shape ``(K,)``."""
        first, second = self.sides["train"][real], self.sides[role][other]
        found: dict[str, float] = {}
        if "kernel_distance" in self.wanted:
            found["kernel_distance"] = float(kernel_distance(torch.from_numpy(second), torch.from_numpy(first)))
        if "frechet_distance" in self.wanted:
            found["frechet_distance"] = frechet_distance(second, first, shrunk=self.shrunk)
        if set(self.wanted) - set(found):
            found |= precision_recall(second, first, num_neighbours=NUM_NEIGHBOURS)
        return np.array([found[name] for name in self.wanted])


def image_distances(
    train: JudgedCohort, holdout: JudgedCohort, synthetic: JudgedCohort, *, seed: int
) -> list[MetricRecord]:
    """Return the six figures in the judge's features and in every further space that all cohorts have."""
    draws = comparable_draws(train, holdout, synthetic, seed=seed)
    records = []
    roles = ("train", "holdout", "synthetic")
    for space, features in judging_spaces((train, holdout, synthetic)).items():
        dimensions = {"features": space}
        if draws.problem or features[0].shape[1] == 0:
            problem = draws.problem or "the features are empty"
            records += distance_records(problem, synthetic.name, DISTANCES, dimensions, "", shrunk=False)
            continue
        shrunk = draws.smallest <= features[0].shape[1]
        statistic = distance_statistics(dict(zip(roles, features, strict=True)), shrunk=shrunk)
        found = draws.compare(statistic)
        records += distance_records(found, synthetic.name, DISTANCES, dimensions, draws.describe(), shrunk=shrunk)
    return records


def distance_records(
    found: Comparison | str,
    cohort: str,
    names: Sequence[str],
    dimensions: dict[str, str],
    how: str,
    *,
    shrunk: bool,
) -> list[MetricRecord]:
    """Return a line for each statistic, or, where ``found`` is a reason, lines without a value."""
    where = _WHERE.get(dimensions["features"], f"In {dimensions['features']} features ")
    if "subgroup" in dimensions:
        where = f"Among records with {dimensions['subgroup']}, {where[0].lower()}{where[1:]}"
    records = []
    for place, name in enumerate(names):
        is_distance = name.endswith("distance")
        what = _HOW[name].format(shrunk=", covariances shrunk (Ledoit-Wolf)" if shrunk else "")
        floor = None
        reading = "-"
        if isinstance(found, str):
            estimate = Estimate.absent(found)
        else:
            bounds = (-np.inf if name == "kernel_distance" else 0.0, 1.0 if name in _SHARES else np.inf)
            estimate = found.estimate(place, bounds=bounds)
            floor = float(found.floors[place])
            reading = _READINGS[name].format(
                where=where, value=found.values[place], percent=f"{100 * found.values[place]:.0f} %", floor=floor
            )
        records.append(
            MetricRecord.of(
                estimate,
                cohort=cohort,
                family="fidelity",
                name=name,
                dimensions=dimensions,
                better="lower" if is_distance else "higher",
                floor=floor,
                ceiling=0.0 if is_distance else (1.0 if name in _SHARES else None),
                estimator="; ".join(filter(None, [what, how, "" if name != "density" else "no best value exists"])),
                reading=reading[0].upper() + reading[1:],
                note=_CAUTIONS.get(name, "") if estimate.estimable else "",
            )
        )
    return records
