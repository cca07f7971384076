"""Whole records, image and row joined: how far they lie from each other, and where they lie on a map."""

from __future__ import annotations

from typing import Any

import numpy as np

from monai_hybridsynth.evaluation.comparable_draws import ComparableDraws, comparable_draws
from monai_hybridsynth.evaluation.findings import Findings
from monai_hybridsynth.evaluation.judged_cohort import JudgedCohort
from monai_hybridsynth.evaluation.metric_record import MetricRecord
from monai_hybridsynth.evaluation.train_on_synthetic import encoded_rows
from monai_hybridsynth.metrics import Estimate, kolmogorov_smirnov_complement

__all__ = ["joined_records", "record_fidelity"]

NUM_BINS = 40
MAXIMUM_SHOWN = 500
PERPLEXITY = 30
_PAIRINGS = {
    "as released": "image and row as released",
    "unmatched": "rows of the synthetic cohort given to other images of it",
}


def record_fidelity(train: JudgedCohort, holdout: JudgedCohort, synthetic: JudgedCohort, *, seed: int) -> Findings:
    """Return record_distance_shape, as released and unmatched, and the drawings ``record_distances`` and ``tsne``.

    Source:
        Distances between records, original, synthetic and unmatched, and the t-SNE overlay: Kikuchi et al.,
        https://arxiv.org/abs/2308.07573, as named in this project's method notes. Differs from the paper: the
        distributions are compared by a number with an interval and with what held-out patients reach.
    """
    sides = (train, holdout, synthetic)
    images, rows = [side.features for side in sides], encoded_rows(train.cohort.schema, sides)
    # The last one: the same images and the same rows, the pairing broken.
    shuffled = np.random.default_rng(seed).permutation(len(synthetic))
    records = joined_records([*images, images[2]], [*rows, rows[2][shuffled]])
    draws = comparable_draws(*sides, seed=seed, num_draws=4)
    if draws.problem or records[0].shape[1] == 0:
        problem = draws.problem or "there is nothing to measure a distance in"
        return Findings([_record(Estimate.absent(problem), synthetic.name, name, None, "") for name in _PAIRINGS])
    found = []
    for name, made in zip(_PAIRINGS, records[2:], strict=True):
        arrays = {"train": records[0], "holdout": records[1], "synthetic": made}

        def agreement(
            real: np.ndarray, other: np.ndarray, role: str, arrays: dict[str, np.ndarray] = arrays
        ) -> np.ndarray:
            return np.array(
                [kolmogorov_smirnov_complement(_distances(arrays["train"][real]), _distances(arrays[role][other]))]
            )

        comparison = draws.compare(agreement)
        estimate = comparison.estimate(0, bounds=(0.0, 1.0))
        found.append(_record(estimate, synthetic.name, name, float(comparison.floors[0]), draws.describe()))
    drawings = {
        "record_distances": _densities(records[0], records[2], records[3], draws),
        "tsne": _map(records[0], records[2], draws, seed=seed),
    }
    return Findings(found, drawings)


def joined_records(images: list[np.ndarray], rows: list[np.ndarray]) -> list[np.ndarray]:
    """Return image features and encoded rows side by side, the training (first) side of each with mean square length 1.

    Args:
        images: features by cohort, each ``(rows, F)``.
        rows: encoded clinical rows by cohort, each ``(rows, G)``.
    """
    scaled = []
    for part in (images, rows):
        centre = part[0].mean(0)
        length = float(np.sqrt(((part[0] - centre) ** 2).sum(1).mean())) if part[0].shape[1] else 0.0
        scaled.append([(side - centre) / max(length, 1e-12) for side in part])
    return [np.hstack(pair) for pair in zip(*scaled, strict=True)]


def _distances(records: np.ndarray) -> np.ndarray:
    from scipy.spatial.distance import pdist

    return pdist(records)


def _densities(
    train: np.ndarray, synthetic: np.ndarray, unmatched: np.ndarray, draws: ComparableDraws
) -> dict[str, Any]:
    """Return histograms of the distances on common edges, as densities; of all draws, so that curves are smooth."""
    pools = {
        "real": [_distances(train[rows[: draws.count]]) for rows in draws.train],
        "synthetic": [_distances(synthetic[rows]) for rows in draws.synthetic],
        "unmatched": [_distances(unmatched[rows]) for rows in draws.synthetic],
    }
    joined = {name: np.concatenate(parts) for name, parts in pools.items()}
    highest = max(float(np.quantile(values, 0.999)) for values in joined.values())
    edges = np.linspace(0.0, max(highest, 1e-9), NUM_BINS + 1)
    curves = {}
    for name, values in joined.items():
        density = np.histogram(values, bins=edges)[0] / (len(values) * (edges[1] - edges[0]))
        curves[name] = [round(float(value), 5) for value in density]
    return {"edges": [round(float(edge), 5) for edge in edges], **curves}


def _map(
    train: np.ndarray, synthetic: np.ndarray, draws: ComparableDraws, *, seed: int
) -> dict[str, list[list[float]]]:
    """Return real and synthetic records on one t-SNE map, equally many and at most 500 of each."""
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    rows = (draws.train[0], np.unique(np.concatenate(draws.synthetic)))
    count = min(MAXIMUM_SHOWN, *(len(side) for side in rows))
    chosen = [np.random.default_rng(seed + order).permutation(side)[:count] for order, side in enumerate(rows)]
    points = np.vstack([train[chosen[0]], synthetic[chosen[1]]])
    # Sums over threads differ in their last digits, and the map follows them: one thread, one map.
    with threadpool_limits(limits=1):
        found = TSNE(
            perplexity=min(PERPLEXITY, (len(points) - 1) / 3), init="pca", max_iter=500, random_state=seed, n_jobs=1
        ).fit_transform(points)
    placed = [[round(float(x), 2), round(float(y), 2)] for x, y in found]
    return {"real": placed[:count], "synthetic": placed[count:]}


def _record(estimate: Estimate, cohort: str, pairing: str, floor: float | None, how: str) -> MetricRecord:
    percent = "" if estimate.value is None else f"{100 * estimate.value:.0f} %"
    other = "unknown" if floor is None else f"{100 * floor:.0f} %"
    subject = {
        "as released": "Distances between synthetic records (image and row together)",
        "unmatched": "With image and row of the synthetic records paired at random, distances between them",
    }[pairing]
    return MetricRecord.of(
        estimate,
        cohort=cohort,
        family="fidelity",
        name="record_distance_shape",
        dimensions={"pairing": pairing},
        floor=floor,
        ceiling=1.0,
        estimator=(
            "one minus Kolmogorov-Smirnov distance between the distances of any two records within train and within "
            f"the synthetic cohort; judge features and encoded row, each with mean square length one; "
            f"{_PAIRINGS[pairing]}; {how}"
        ),
        reading=f"{subject} are distributed like those between training patients by {percent} (other real patients: "
        f"{other}).",
        note="" if pairing == "as released" else "a benchmark, not a property of the cohort",
    )
