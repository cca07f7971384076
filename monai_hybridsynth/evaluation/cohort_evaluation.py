"""One command's work: judge synthetic cohorts against the patients they were made from and against held-out ones."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from tqdm.auto import tqdm

from monai_hybridsynth.data import Cohort
from monai_hybridsynth.evaluation.correspondence import correspondence_metrics
from monai_hybridsynth.evaluation.fidelity import fidelity_metrics
from monai_hybridsynth.evaluation.judged_cohort import embed_cohort, read_real_cohort, read_synthetic_cohort
from monai_hybridsynth.evaluation.metric_record import MetricRecord, write_metrics
from monai_hybridsynth.evaluation.nearness import nearness_metrics
from monai_hybridsynth.evaluation.report import write_report
from monai_hybridsynth.evaluation.train_on_synthetic import utility_metrics
from monai_hybridsynth.features import PixelPCA
from monai_hybridsynth.transforms import load_images

__all__ = ["evaluate_cohorts"]

Features = Callable[[torch.Tensor], torch.Tensor]

# Predictors learn nothing more from further records of a cohort; the volume they used is among their dimensions.
MAXIMUM_PROBE_RECORDS = 5000
# Families whose intervals refit predictors take the number of replicates; the others have their own.
_REFITTED: dict[str, Callable[..., list[MetricRecord]]] = {
    "correspondence": correspondence_metrics,
    "utility": utility_metrics,
}
_COMPARED: dict[str, Callable[..., list[MetricRecord]]] = {"fidelity": fidelity_metrics, "privacy": nearness_metrics}


def evaluate_cohorts(
    train: str | Path,
    holdout: str | Path,
    synthetic: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    features: str | Path | Features | None = None,
    seed: int = 0,
    spatial_size: int = 64,
    num_replicates: int = 150,
) -> dict[str, Any]:
    """Judge synthetic cohorts and write ``out/metrics.json`` and ``out/report/index.html``.

    Args:
        train: cohort folder that the generator was fitted on; its schema names columns and targets.
        holdout: cohort folder of other patients of the same source.
        synthetic: one synthetic cohort folder, or several that are shown side by side.
        out: folder for the results; created, files in it are replaced.
        features: how images are embedded: a folder that :meth:`PixelPCA.save` wrote, any callable from images
            ``(B, C, S, S)`` in [-1, 1] to ``(B, F)``, or None for components of the real training images' pixels.
        seed: seed of every fold, shuffle and bootstrap sample; one seed gives the same values.
        spatial_size: edge in pixels at which images are judged.
        num_replicates: bootstrap samples in which predictors are refitted.

    Returns:
        The content of metrics.json.

    Raises:
        CohortError: naming what cannot be read in a cohort.
        ValueError: if a cohort is empty, or a patient is in train and in the holdout.
    """
    out = Path(out)
    folders = [Path(synthetic)] if isinstance(synthetic, str | Path) else [Path(folder) for folder in synthetic]
    if not folders:
        raise ValueError("synthetic is empty; give at least one synthetic cohort folder.")
    out.mkdir(parents=True, exist_ok=True)
    seconds: dict[str, float] = {}
    with tqdm(total=0, unit="step", desc="evaluate") as bar:
        clock = _Clock(seconds, bar)
        with clock("read"):
            real = {"train": read_real_cohort(train)}
            schema = real["train"].schema
            real["holdout"] = read_real_cohort(holdout, schema=schema)
            _refuse_shared_patients(real["train"], real["holdout"])
            made = {
                name: read_synthetic_cohort(folder, schema)
                for name, folder in zip(_names(folders), folders, strict=True)
            }
        bar.total = 2 + len(made) * (1 + len(_REFITTED) + len(_COMPARED)) + 1
        with clock("embed"):
            embedding = _features(features, real["train"], spatial_size=spatial_size)
            a, b = (
                embed_cohort(cohort, embedding, name=role, role=role, spatial_size=spatial_size)
                for role, cohort in real.items()
            )
        judged = []
        metrics: list[MetricRecord] = []
        for name, (cohort, manifest) in made.items():
            with clock("embed", name):
                c = embed_cohort(
                    cohort, embedding, name=name, role="synthetic", spatial_size=spatial_size, manifest=manifest
                )
            judged.append(c)
            for family, refit in _REFITTED.items():
                with clock(family, name):
                    metrics += refit(
                        a, b, c.limited(MAXIMUM_PROBE_RECORDS, seed=seed), seed=seed, num_replicates=num_replicates
                    )
            for family, compare in _COMPARED.items():
                with clock(family, name):
                    metrics += compare(a, b, c, seed=seed)
        cohorts = {side.name: side.summary() for side in (a, b, *judged)}
        with clock("report"):
            write_report(out / "report", a, b, judged, metrics, seed=seed, judge=_name(embedding))
        return write_metrics(out / "metrics.json", metrics, cohorts=cohorts, seconds=seconds)


class _Clock:
    """Measures each stage and moves the progress bar."""

    def __init__(self, seconds: dict[str, float], bar: tqdm) -> None:
        self.seconds, self.bar = seconds, bar

    @contextmanager
    def __call__(self, stage: str, cohort: str = "") -> Iterator[None]:
        self.bar.set_description(" ".join(filter(None, ["evaluate:", stage, cohort])))
        started = time.perf_counter()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - started
        self.bar.update()


def _names(folders: Sequence[Path]) -> list[str]:
    """Return one name per folder: its own, with as much of its path as keeps names apart."""
    taken = {"train", "holdout"}
    for depth in range(1, max(len(folder.resolve().parts) for folder in folders) + 1):
        names = ["/".join(folder.resolve().parts[-depth:]) for folder in folders]
        if len(set(names)) == len(names) and not taken & set(names):
            return names
    return [f"synthetic {position + 1}" for position in range(len(folders))]


def _refuse_shared_patients(train: Cohort, holdout: Cohort) -> None:
    """Raise if a patient stands on both sides: every floor and ceiling would be wrong."""
    group = train.schema.group_name
    if group is None or group not in train.table.columns or group not in holdout.table.columns:
        return
    shared = set(train.table[group].dropna()) & set(holdout.table[group].dropna())
    if shared:
        raise ValueError(
            f"{len(shared)} patients are in train ({train.folder}) and in the holdout ({holdout.folder}); "
            "split by patient, for example with `python -m monai_hybridsynth prepare`."
        )


def _features(features: str | Path | Features | None, train: Cohort, *, spatial_size: int) -> Features:
    """Return the embedding: given, loaded, or fitted on the real training images."""
    if features is None:
        step = -(-len(train) // 1000)
        images = load_images(train.image_paths[::step], train.schema.image, spatial_size=spatial_size)
        return PixelPCA().fit(images)
    return PixelPCA.load(features) if isinstance(features, str | Path) else features


def _name(features: Features) -> str:
    return str(getattr(features, "name", type(features).__name__))
