"""One command's work: judge synthetic cohorts against the patients they were made from and against held-out ones."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn
from tqdm.auto import tqdm

from monai_hybridsynth.data import Cohort, digest_folder, digest_network, digest_sources
from monai_hybridsynth.data.patient_split import is_stratified_split
from monai_hybridsynth.evaluation.copies import copy_metrics
from monai_hybridsynth.evaluation.correspondence import correspondence_metrics
from monai_hybridsynth.evaluation.dependence import dependence_findings
from monai_hybridsynth.evaluation.disclosure import disclosure_metrics
from monai_hybridsynth.evaluation.findings import Findings, FinishedStages
from monai_hybridsynth.evaluation.image_fidelity import image_fidelity
from monai_hybridsynth.evaluation.input_checks import check_channels, check_folders, check_patients
from monai_hybridsynth.evaluation.judged_cohort import (
    CODES,
    JudgedCohort,
    embed_cohort,
    read_real_cohort,
    read_synthetic_cohort,
    row_groups,
)
from monai_hybridsynth.evaluation.judges import Features, Judges, choose_judges, refuse_features_of_the_synthetic
from monai_hybridsynth.evaluation.membership import membership_findings
from monai_hybridsynth.evaluation.metric_record import MetricRecord, write_metrics
from monai_hybridsynth.evaluation.nearness import nearness_metrics
from monai_hybridsynth.evaluation.network_training import network_findings
from monai_hybridsynth.evaluation.record_fidelity import record_fidelity
from monai_hybridsynth.evaluation.report import write_report
from monai_hybridsynth.evaluation.retrieval import retrieval_findings
from monai_hybridsynth.evaluation.table_fidelity import table_fidelity
from monai_hybridsynth.evaluation.thresholds import Thresholds
from monai_hybridsynth.evaluation.train_on_synthetic import utility_findings

__all__ = ["evaluate_cohorts"]

Stage = Callable[[JudgedCohort, JudgedCohort, JudgedCohort], Findings]

# Predictors learn nothing more from further records of a cohort; the volume they used is among their dimensions.
MAXIMUM_PROBE_RECORDS = 5000


def evaluate_cohorts(
    train: str | Path,
    holdout: str | Path,
    synthetic: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    features: str | Path | Features | None = None,
    encoder: str | Path | None = None,
    thresholds: str | Path | None = None,
    seed: int = 0,
    spatial_size: int = 64,
    num_replicates: int = 150,
    thorough: bool = False,
) -> dict[str, Any]:
    """Judge synthetic cohorts and write ``out/metrics.json`` and ``out/report/index.html``.

    Interrupted, the same call goes on after the last finished stage: notes lie in ``out/.unfinished`` until the end.

    Args:
        train: cohort folder that the generator was fitted on; its schema names columns and targets.
        holdout: cohort folder of other patients of the same source.
        synthetic: one synthetic cohort folder, or several that are shown side by side.
        out: folder for the results; created, files in it are replaced.
        features: how images are embedded: a folder that :meth:`PixelPCA.save` wrote, ``"supervised"`` (a network
            trained on the real labels), a TorchScript or torch.export file, ``"xrv:<weights>"``, any callable from
            images ``(B, C, S, S)`` in [-1, 1] to ``(B, F)``, or None for components of the real training images'
            pixels.
        encoder: bundle or models folder of an alphaGAN; its encoder gives a further space, labelled as its own, and the
            membership attacks of whoever has it.
        thresholds: the house's file of limits of the traffic lights; see :class:`.thresholds.Thresholds`.
        seed: seed of every fold, shuffle and bootstrap sample; one seed gives the same values.
        spatial_size: edge in pixels at which images are judged.
        num_replicates: bootstrap samples in which predictors are refitted.
        thorough: whether networks are also trained in place on every arm; says beforehand how long that can take.

    Returns:
        The content of metrics.json.

    Raises:
        CohortError: naming what cannot be read in a cohort.
        ValueError: if a cohort is empty, a patient is in train and in the holdout, or a limit is unknown.
    """
    out = Path(out)
    folders = [Path(synthetic)] if isinstance(synthetic, str | Path) else [Path(folder) for folder in synthetic]
    if not folders:
        raise ValueError("synthetic is empty; give at least one synthetic cohort folder.")
    limits = Thresholds.defaults() if thresholds is None else Thresholds.load(thresholds)
    out.mkdir(parents=True, exist_ok=True)
    how = dict[str, Any](seed=seed, num_replicates=num_replicates, stratified=is_stratified_split(train, holdout))
    stages = _stages(**how, thorough=thorough)
    with tqdm(total=2 + len(folders) * (1 + len(stages)) + 1, unit="step", desc="evaluate") as bar:
        clock = _Clock(bar)
        with clock("read"):
            real, made = _read(train, holdout, folders)
        with clock("embed"):
            contents = {role: _content(role, cohort) for role, cohort in real.items()}
            judges, finished = _judges(
                features,
                real["train"],
                out / ".unfinished",
                encoder=encoder,
                supervised=thorough,
                real=[content["files"] for content in contents.values()],
                spatial_size=spatial_size,
                **how,
            )
            embed = partial(_embed, finished, judges, spatial_size=spatial_size)
            a, b = (embed(cohort, contents[role], role=role) for role, cohort in real.items())
        judged: list[JudgedCohort] = []
        found: dict[str, list[Findings]] = {}
        for name, (cohort, manifest) in made.items():
            with clock("embed", name):
                content = _content(name, cohort)
                c = embed(cohort, content, role="synthetic", manifest=manifest)
                refuse_features_of_the_synthetic(judges.judge, a, [c])
            judged.append(c)
            for stage, work in stages.items():
                with clock(stage, name):
                    found.setdefault(name, []).append(finished.once(stage, content, partial(work, a, b, c)))
        metrics = [record for results in found.values() for result in results for record in result.metrics]
        drawings = {
            name: {key: value for result in results for key, value in result.drawings.items()}
            for name, results in found.items()
        }
        cohorts = {side.name: side.summary() for side in (a, b, *judged)}
        with clock("report"):
            page: dict[str, Any] = {"drawings": drawings, "seed": seed, "judge": _name(judges.judge)}
            options = {"features": features, "encoder": encoder}
            write_report(out / "report", a, b, judged, metrics, thresholds=limits, options=options, **page)
        document = write_metrics(out / "metrics.json", metrics, cohorts=cohorts, seconds=clock.seconds)
        finished.remove()
        return document


def _stages(*, seed: int, num_replicates: int, stratified: bool = False, thorough: bool = False) -> dict[str, Stage]:
    """Return the stages by name, in the order of the report; each takes train, holdout and a synthetic cohort."""
    refitted = {"seed": seed, "num_replicates": num_replicates}

    def limited(work: Callable[..., list[MetricRecord]]) -> Stage:
        return lambda a, b, c: Findings(work(a, b, c.limited(MAXIMUM_PROBE_RECORDS, seed=seed), **refitted))

    stages: dict[str, Stage] = {
        "correspondence": limited(correspondence_metrics),
        "retrieval": lambda a, b, c: retrieval_findings(a, b, c, seed=seed),
        "dependence": lambda a, b, c: dependence_findings(a, b, c, seed=seed),
        "utility": lambda a, b, c: utility_findings(a, b, c.limited(MAXIMUM_PROBE_RECORDS, seed=seed), **refitted),
        "fidelity": lambda a, b, c: table_fidelity(a, b, c, seed=seed, stratified=stratified),
        "image fidelity": lambda a, b, c: image_fidelity(a, b, c, seed=seed),
        "record fidelity": lambda a, b, c: record_fidelity(a, b, c, seed=seed),
        "privacy": lambda a, b, c: Findings(nearness_metrics(a, b, c, seed=seed)),
        "copies": lambda a, b, c: copy_metrics(a, b, c, seed=seed),
        "disclosure": lambda a, b, c: disclosure_metrics(a, b, c, seed=seed),
        "membership": lambda a, b, c: membership_findings(a, b, c, seed=seed),
    }
    if thorough:
        stages["networks"] = lambda a, b, c: network_findings(
            a, b, c.limited(MAXIMUM_PROBE_RECORDS, seed=seed), seed=seed
        )
    return stages


def _read(
    train: str | Path, holdout: str | Path, folders: Sequence[Path]
) -> tuple[dict[str, Cohort], dict[str, tuple[Cohort, dict[str, Any] | None]]]:
    """Return the real cohorts by role, and the synthetic ones by name with their manifests."""
    check_folders(train, holdout, folders)
    real = {"train": read_real_cohort(train)}
    schema = real["train"].schema
    real["holdout"] = read_real_cohort(holdout, schema=schema)
    check_patients(real["train"], real["holdout"])
    made = {name: read_synthetic_cohort(folder, schema) for name, folder in zip(_names(folders), folders, strict=True)}
    check_channels(real["train"], [real["holdout"], *(cohort for cohort, _ in made.values())])
    return real, made


def _judges(
    features: str | Path | Features | None,
    train: Cohort,
    folder: Path,
    *,
    encoder: str | Path | None,
    supervised: bool,
    real: list[str],
    num_replicates: int,
    stratified: bool,
    seed: int,
    spatial_size: int,
) -> tuple[Judges, FinishedStages]:
    """Return the embeddings, and notes of the stages that hold for these embeddings, cohorts and settings only."""
    settings: dict[str, Any] = {"seed": seed, "spatial_size": spatial_size, "code": digest_sources()}
    judges = choose_judges(
        features,
        train,
        encoder=encoder,
        supervised=supervised,
        notes=FinishedStages(folder, settings),
        spatial_size=spatial_size,
        seed=seed,
    )
    networks = [judges.judge, *judges.spaces.values()]
    settings |= {"num_replicates": num_replicates, "stratified": stratified}
    settings |= {"judge": [_digest(one) for one in networks], "real": real}
    return judges, FinishedStages(folder, settings)


def _embed(
    finished: FinishedStages,
    judges: Judges,
    cohort: Cohort,
    content: dict[str, str],
    *,
    role: str,
    spatial_size: int,
    manifest: dict[str, Any] | None = None,
) -> JudgedCohort:
    """Return the cohort with its embeddings, from the notes if an interrupted evaluation left them there."""

    def work() -> dict[str, np.ndarray]:
        side = embed_cohort(
            cohort,
            judges.judge,
            name=content["name"],
            role=role,
            spatial_size=spatial_size,
            spaces=judges.spaces,
            codes=judges.codes,
        )
        return {"features": side.features, "pixels": side.pixels, CODES: side.codes, **side.spaces}

    arrays = finished.arrays_once("embed", content, work)
    features, pixels, codes = (arrays.pop(name) for name in ("features", "pixels", CODES))
    groups = row_groups(cohort, role)
    return JudgedCohort(content["name"], role, cohort, features, groups, manifest, pixels, arrays, codes)


def _digest(embedding: Features) -> str:
    """Return what tells the judge from others; one that is no network is taken anew in every process."""
    return digest_network(embedding) if isinstance(embedding, nn.Module) else f"{id(embedding)} {os.getpid()}"


def _content(name: str, cohort: Cohort) -> dict[str, str]:
    """Return what tells a cohort from others in the notes of finished stages."""
    return {"name": name, "files": digest_folder(cohort.folder)}


class _Clock:
    """Measures each stage and moves the progress bar."""

    def __init__(self, bar: tqdm) -> None:
        self.seconds: dict[str, float] = {}
        self.bar = bar

    @contextmanager
    def __call__(self, stage: str, cohort: str = "") -> Iterator[None]:
        self.bar.set_description(" ".join(filter(None, ["evaluate:", stage, cohort])))
        started = time.perf_counter()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - started
        self.bar.update()


def _names(folders: Sequence[Path]) -> list[str]:
    """Return one name per folder: its own, or that of the nearest folder above which keeps them apart."""
    taken = {"train", "holdout"}
    parts = [folder.resolve().parts for folder in folders]
    for depth in range(1, min(map(len, parts))):
        names = [path[-depth] for path in parts]
        if len(set(names)) == len(names) and not taken & set(names):
            return names
    return [f"synthetic {position + 1}" for position in range(len(folders))]


def _name(features: Features) -> str:
    return str(getattr(features, "name", type(features).__name__))
