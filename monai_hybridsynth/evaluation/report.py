"""The report: one folder of files that opens without a network, for readers who are no statisticians."""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from monai_hybridsynth.evaluation.column_views import column_views
from monai_hybridsynth.evaluation.judged_cohort import JudgedCohort
from monai_hybridsynth.evaluation.metric_record import FAMILIES, MetricRecord
from monai_hybridsynth.evaluation.report_figures import agreement_figure, score_figure, shape_figures, utility_figure
from monai_hybridsynth.evaluation.report_images import closest_pairs, display_size, draw_gallery
from monai_hybridsynth.evaluation.verdict import family_verdicts

__all__ = ["write_report"]

NUM_PICTURES = 12
MAXIMUM_SHAPES = 30
_PACKAGES = ("monai-hybridsynth", "monai", "torch", "numpy", "pandas", "scipy", "plotly")


def write_report(
    folder: str | Path,
    train: JudgedCohort,
    holdout: JudgedCohort,
    synthetic: Sequence[JudgedCohort],
    metrics: Sequence[MetricRecord],
    *,
    drawings: Mapping[str, Mapping[str, Any]],
    seed: int,
    judge: str,
) -> Path:
    """Write ``index.html`` with its images and its plot library into a folder of their own.

    The page shows real images: it is for the house that owns them, and says so.

    Args:
        folder: replaced if it exists.
        train: patients the generator was fitted on.
        holdout: patients it never saw.
        synthetic: cohorts that are judged, one after the other.
        metrics: what metrics.json holds.
        drawings: per synthetic cohort, what the stages left to be drawn; see :class:`.findings.Findings`.
        seed: seed of the evaluation; also draws the pictures.
        judge: the image features that judged.

    Returns:
        The path of ``index.html``.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from plotly.offline import get_plotlyjs

    folder = Path(folder)
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    environment = Environment(
        loader=PackageLoader("monai_hybridsynth.evaluation"), autoescape=True, undefined=StrictUndefined
    )
    environment.filters.update(number=_number, span=_span, dimensions=_dimensions)
    figures = _figures(train, synthetic, metrics)
    content = environment.get_template("report.html.j2").render(
        train=train,
        holdout=holdout,
        synthetic=list(synthetic),
        verdicts={side.name: family_verdicts(metrics, side.name) for side in synthetic},
        galleries=_galleries(folder, train, holdout, synthetic, seed=seed),
        figures=figures,
        # "<" would end the script element early if a column's name held a closing tag.
        figures_json=json.dumps(figures, allow_nan=False).replace("<", "\\u003c"),
        families={family: _of_family(metrics, family) for family in FAMILIES},
        seed=seed,
        judge=judge,
        versions=_versions(),
        manifests={
            side.name: json.dumps(side.manifest, indent=2, ensure_ascii=False) if side.manifest else ""
            for side in synthetic
        },
    )
    (folder / "plotly.min.js").write_text(get_plotlyjs(), encoding="utf-8")
    page = folder / "index.html"
    page.write_text(content, encoding="utf-8")
    return page


def _figures(train: JudgedCohort, synthetic: Sequence[JudgedCohort], metrics: Sequence[MetricRecord]) -> dict[str, Any]:
    """Return all figures by the id of the element that shows them; None where there is nothing to draw."""
    names = [side.name for side in synthetic]
    views = column_views(train.cohort.schema, [train.table, *(side.table for side in synthetic)])
    figures: dict[str, Any] = {}
    for order, name in enumerate(names):
        figures[f"agreement-{order}"] = agreement_figure(metrics, name)
        figures[f"utility-{order}"] = utility_figure(metrics, name)
    figures["column-shape"] = score_figure(metrics, names, "column_shape", "column shape (1: the same distribution)")
    figures["pair-trend"] = score_figure(metrics, names, "pair_trend", "pair trend (1: the same relations)")
    for order, figure in enumerate(shape_figures(views[:MAXIMUM_SHAPES], [train, *synthetic])):
        figures[f"shape-{order}"] = figure
    return figures


def _galleries(
    folder: Path, train: JudgedCohort, holdout: JudgedCohort, synthetic: Sequence[JudgedCohort], *, seed: int
) -> dict[str, Any]:
    """Write the pictures and return them: a draw of each cohort, and the closest pairs beside the holdout's."""
    size = display_size(synthetic)
    schema = train.cohort.schema

    def drawn(side: JudgedCohort, prefix: str) -> list:
        rows = np.random.default_rng(seed).permutation(len(side))[:NUM_PICTURES]
        return draw_gallery(side, rows.tolist(), schema, folder, prefix=prefix, size=size)

    close = {
        side.name: closest_pairs(side, train, folder, prefix=f"synthetic{order}", size=size)
        for order, side in enumerate(synthetic)
    }
    return {
        "size": size,
        "real": drawn(train, "real"),
        "synthetic": {side.name: drawn(side, f"synthetic{order}") for order, side in enumerate(synthetic)},
        "close": close,
        "close_holdout": closest_pairs(holdout, train, folder, prefix="holdout", size=size),
    }


def _of_family(metrics: Sequence[MetricRecord], family: str) -> list[MetricRecord]:
    """Return a family's records, the cohort as a whole before its columns and columns before labels."""
    chosen = [record for record in metrics if record.family == family]
    return sorted(chosen, key=lambda record: (record.column is not None, "label" in record.dimensions))


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _number(value: float | None, digits: int = 2) -> str:
    """Return a number for the page; a dash where there is none."""
    if value is None:
        return "–"
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")


def _span(record: MetricRecord) -> str:
    """Return a record's interval."""
    return "" if record.value is None else f"[{_number(record.low)}, {_number(record.high)}]"


def _dimensions(record: MetricRecord) -> str:
    """Return what distinguishes a record, without its volume, which the page states once."""
    return ", ".join(str(value) for key, value in record.dimensions.items() if key != "volume")
