"""What ``results.json`` of a study holds: scores, gains, costs and co-occurring labels, and no patient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from monai_hybridsynth.evaluation.report.data_card import share_text
from monai_hybridsynth.evaluation.report.figure import compact
from monai_hybridsynth.metrics import conditional_shares, cooccurrence_gap, record_weights
from monai_hybridsynth.studies.supplementation.computing_cost import cost_rows
from monai_hybridsynth.studies.supplementation.replica_rows import ReplicaRows
from monai_hybridsynth.studies.supplementation.study_cohorts import StudyCohorts
from monai_hybridsynth.studies.supplementation.study_scores import StudyScores
from monai_hybridsynth.workflows.blockwise_synthesis import package_versions

if TYPE_CHECKING:
    from monai_hybridsynth.studies.supplementation.supplementation_study import SupplementationStudy

__all__ = ["cooccurring_labels", "study_results"]

VERSION = 1
# Shares of fewer patients are not told.
SMALLEST_COUNT = 10
_PACKAGES = ("monai-hybridsynth", "monai", "torch", "numpy")
_TOLD = ("seed", "replicas", "paired", "sampling", "generator")


def study_results(
    study: SupplementationStudy, finished: Mapping[int, Mapping[str, Any]], scores: StudyScores
) -> dict[str, Any]:
    """Return the content of ``results.json`` as JSON values.

    Args:
        study: for its settings.
        finished: what finished cells wrote, by number.
        scores: of the same cells.

    Raises:
        ValueError: if no cell is finished.
    """
    if not finished:
        raise ValueError(f"no cell of {study.out} is finished; run one first (run_cell, or run for all).")
    gains = [asdict(gain) for gain in scores.gains()]
    cohorts = study.cohorts
    return {
        "version": VERSION,
        "study": _settings(study, finished),
        "cohorts": _cohorts(cohorts, scores),
        "scores": [asdict(score) for score in scores.scores()],
        "gains": gains,
        "cost": _costs(study, finished, gains),
        "cooccurrence": cooccurring_labels(cohorts),
    }


def _settings(study: SupplementationStudy, finished: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    network = study.network()
    return {
        "findings": study.cohorts.findings,
        "arms": [asdict(arm) for arm in study.arms.values()],
        "real_percents": sorted({cell.real_percent for cell in study.cells}),
        "seeds": sorted({cell.seed for cell in study.cells}),
        "cells": {"finished": len(finished), "all": len(study.cells)},
        "spatial_size": study.spatial_size,
        "network": {
            "name": type(network).__name__,
            "parameters": sum(parameter.numel() for parameter in network.parameters()),
            "flops": study.flops[0],
        },
        "training": study.training.settings(),
        "num_replicates": study.num_replicates,
        "packages": package_versions(*_PACKAGES),
        "trainings": [
            {**content["cell"], **content["records"], **content["training"]} for content in finished.values()
        ],
    }


def _cohorts(cohorts: StudyCohorts, scores: StudyScores) -> dict[str, Any]:
    real, aside = cohorts.real, cohorts.aside
    sides = {"training": ~aside, "validation": aside}
    result: dict[str, Any] = {
        name: {"records": int(rows.sum()), "patients": len(np.unique(real.patients[rows]))}
        for name, rows in sides.items()
    }
    result["tests"] = {
        name: {
            "records": len(test),
            "patients": scores.sizes[name],
            "findings": {
                cohorts.findings[place]: _share(test.labels[:, place], test.patients) for place in scores.scored[name]
            },
        }
        for name, test in cohorts.tests.items()
    }
    result["sources"] = {
        name: {
            "records": len(cohorts.records(name)),
            "kind": _kind(cohorts, name),
            **{key: cohorts.manifests.get(name, {}).get(key) for key in _TOLD},
        }
        for name in cohorts.sources
    }
    return result


def _share(labels: np.ndarray, patients: np.ndarray) -> str:
    """Return the share of patients with a finding, as a text that names no small count."""
    known, present = (len(np.unique(patients[chosen])) for chosen in (~np.isnan(labels), labels == 1))
    return share_text(present, known, SMALLEST_COUNT)


def _kind(cohorts: StudyCohorts, name: str) -> str:
    found = cohorts.sources[name]
    if not isinstance(found, ReplicaRows):
        return "further real patients"
    return "replicas of own rows" if found.origin is cohorts.real else "replicas of another cohort's rows"


def _costs(
    study: SupplementationStudy, finished: Mapping[int, Mapping[str, Any]], gains: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return the cost of each supplemented arm per test, from the mean over its seeds."""
    trainings: dict[tuple[str, int, int], list[tuple[float, float, float]]] = {}
    for content in finished.values():
        cell, training = content["cell"], content["training"]
        source = study.arms[cell["arm"]].synthetic
        drawn = content["records"]["added"] / len(study.cohorts.records(source)) if source else 0.0
        key = (cell["arm"], cell["real_percent"], cell["percent"])
        trainings.setdefault(key, []).append((training["flops"], training["seconds"] / 3600, drawn))
    means = {
        key: dict(zip(("flops", "hours", "drawn"), map(float, np.mean(found, axis=0)), strict=True))
        for key, found in trainings.items()
    }
    macro = [
        {**gain, "gain": gain["value"], "synthetic": study.arms[gain["arm"]].synthetic}
        for gain in gains
        if gain["finding"] is None
    ]
    return cost_rows(macro, means, study.generator_costs)


def cooccurring_labels(cohorts: StudyCohorts) -> dict[str, Any]:
    """Return P(column | row) of the findings in the training patients and in each source, and how far they differ.

    Args:
        cohorts: of the study.
    """
    rows = np.flatnonzero(~cohorts.aside)
    real, weights = cohorts.real.labels[rows], record_weights(cohorts.real.patients[rows])
    result: dict[str, Any] = {"labels": cohorts.findings, "real": _plain(conditional_shares(real, weights))}
    sources = {name: cohorts.records(name).labels for name in cohorts.sources}
    result["sources"] = {name: _plain(conditional_shares(labels)) for name, labels in sources.items()}
    result["gaps"] = {name: _plain(cooccurrence_gap(real, labels, weights)) for name, labels in sources.items()}
    return result


def _plain(values: np.ndarray) -> Any:
    return compact(np.asarray(values, dtype=float).tolist())
