"""The report: one folder of files that opens without a network, for readers who are no statisticians."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from monai_hybridsynth.evaluation.column_views import column_views
from monai_hybridsynth.evaluation.judged_cohort import JudgedCohort
from monai_hybridsynth.evaluation.metric_record import FAMILIES, MetricRecord
from monai_hybridsynth.evaluation.report.correspondence_figures import correspondence_figures
from monai_hybridsynth.evaluation.report.data_card import HOUSE, card_sections
from monai_hybridsynth.evaluation.report.figure import Figure
from monai_hybridsynth.evaluation.report.gallery import (
    closest_pairs,
    display_size,
    draw_gallery,
    listed_pairs,
    occluded_images,
)
from monai_hybridsynth.evaluation.report.image_figures import image_figures
from monai_hybridsynth.evaluation.report.metric_table import interval_strip, metric_rows, number_text, span_text
from monai_hybridsynth.evaluation.report.privacy_figures import privacy_figures
from monai_hybridsynth.evaluation.report.provenance import evaluation_command, package_versions
from monai_hybridsynth.evaluation.report.table_figures import shape_figures, table_figures
from monai_hybridsynth.evaluation.report.utility_figures import utility_figures
from monai_hybridsynth.evaluation.thresholds import Thresholds
from monai_hybridsynth.evaluation.verdict import Check, Verdict, family_verdicts

__all__ = ["page_templates", "script_json", "write_report"]

NUM_PICTURES = 12
NUM_OCCLUSIONS = 8

Drawings = Mapping[str, Mapping[str, Any]]


def write_report(
    folder: str | Path,
    train: JudgedCohort,
    holdout: JudgedCohort,
    synthetic: Sequence[JudgedCohort],
    metrics: Sequence[MetricRecord],
    *,
    drawings: Drawings,
    seed: int,
    judge: str,
    thresholds: Thresholds | None = None,
    options: Mapping[str, Any] | None = None,
) -> Path:
    """Write ``index.html``, a data card per cohort and the thresholds into a folder of their own.

    ``index.html`` shows real images: it is for the house that owns them, and says so. The data cards
    (``data_card.md``, or ``data_card_<cohort>.md`` of several) hold aggregates only and may go with the cohort.

    Args:
        folder: replaced if it exists.
        train: patients the generator was fitted on.
        holdout: patients it never saw.
        synthetic: cohorts that are judged, shown side by side.
        metrics: what metrics.json holds.
        drawings: per synthetic cohort, what the stages left to be drawn; see :class:`.findings.Findings`. What a stage
            did not leave is left out.
        seed: seed of the evaluation; also draws the pictures.
        judge: the image features that judged.
        thresholds: limits of the traffic lights; the defaults if None.
        options: further options of the evaluation by name, for the command that makes the report again.

    Returns:
        The path of ``index.html``.
    """
    from plotly.offline import get_plotlyjs

    folder = Path(folder)
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    limits = thresholds or Thresholds.defaults()
    versions = package_versions()
    verdicts = {side.name: family_verdicts(metrics, side.name, thresholds=limits) for side in synthetic}
    settings: dict[str, Any] = {"versions": versions, "seed": seed, "judge": judge}
    cards = {
        side.name: card_sections(train, holdout, side, verdicts[side.name], thresholds=limits, **settings)
        for side in synthetic
    }
    figures = _figures(train, synthetic, metrics, drawings)
    page = folder / "index.html"
    content = (
        page_templates()
        .get_template("report.html.j2")
        .render(
            train=train,
            holdout=holdout,
            synthetic=list(synthetic),
            verdicts=verdicts,
            families=FAMILIES,
            loop_families={family: place for place, family in enumerate(FAMILIES)},
            comparison=_comparison(verdicts),
            changed_limits=_changed(limits),
            galleries=_galleries(folder, train, holdout, synthetic, drawings, seed=seed),
            figures=figures,
            figures_json=script_json({one.id: one.plain() for group in figures.values() for one in group}),
            metrics_json=script_json(metric_rows(metrics)),
            num_metrics=len(metrics),
            cards=cards,
            card_files=_write_cards(folder, cards),
            blank=HOUSE,
            thresholds=limits,
            command=_command(folder, train, holdout, synthetic, seed=seed, limits=limits, options=options or {}),
            manifests={
                side.name: json.dumps(side.manifest, indent=2, ensure_ascii=False) if side.manifest else ""
                for side in synthetic
            },
            **settings,
        )
    )
    page.write_text(content, encoding="utf-8")
    (folder / "plotly.min.js").write_text(get_plotlyjs(), encoding="utf-8")
    (folder / "thresholds.json").write_text(limits.to_json(), encoding="utf-8")
    return page


def page_templates(*packages: str) -> Any:
    """Return the report's templates with their filters; a name that a template misspells is an error.

    Args:
        packages: whose templates are found before the report's own.
    """
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package) for package in (*packages, "monai_hybridsynth.evaluation")]),
        autoescape=select_autoescape(["html.j2"], default_for_string=True),
        undefined=StrictUndefined,
    )
    environment.filters.update(number=number_text, span=span_text, strip_drawing=interval_strip, cell=_markdown_cell)
    return environment


def _markdown_cell(text: str) -> str:
    """Return a text that neither ends a Markdown table's cell nor starts HTML."""
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())


def script_json(value: Any) -> str:
    """Return JSON for a script element: "<" would end it early if a column's name held a closing tag."""
    return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _write_cards(folder: Path, cards: Mapping[str, Any]) -> dict[str, str]:
    """Write one Markdown card per cohort and return their file names."""
    template = page_templates().get_template("data_card.md.j2")
    files = {}
    for order, (name, sections) in enumerate(cards.items()):
        files[name] = "data_card.md" if len(cards) == 1 else f"data_card_{order + 1}.md"
        content = template.render(name=name, sections=sections, blank=HOUSE)
        (folder / files[name]).write_text(content, encoding="utf-8")
    return files


def _command(
    folder: Path,
    train: JudgedCohort,
    holdout: JudgedCohort,
    synthetic: Sequence[JudgedCohort],
    *,
    seed: int,
    limits: Thresholds,
    options: Mapping[str, Any],
) -> str:
    given = {name: str(value) for name, value in options.items() if value is not None}
    if _changed(limits):
        given["thresholds"] = str(folder / "thresholds.json")
    folders = [side.cohort.folder for side in synthetic]
    return evaluation_command(
        train.cohort.folder, holdout.cohort.folder, folders, folder.parent, seed=seed, options=given
    )


def _changed(limits: Thresholds) -> list[str]:
    """Return the names of the limits that the house set."""
    return [
        f"{family}.{name}" for family, group in limits.limits.items() for name, limit in group.items() if limit.changed
    ]


def _comparison(verdicts: Mapping[str, Sequence[Verdict]]) -> dict[str, list[tuple[str, list[Check | None]]]]:
    """Return by family the leading figures as rows, one cell per cohort."""
    rows = {}
    for place, family in enumerate(FAMILIES):
        sides = [found[place] for found in verdicts.values()]
        titles = dict.fromkeys(check.title for side in sides for check in side.leading(4))
        lookups = [{check.title: check for check in reversed(side.checks)} for side in sides]
        rows[family] = [(title, [lookup.get(title) for lookup in lookups]) for title in titles]
    return rows


def _figures(
    train: JudgedCohort, synthetic: Sequence[JudgedCohort], metrics: Sequence[MetricRecord], drawings: Drawings
) -> dict[str, list[Figure]]:
    """Return all plots by section."""
    names = [side.name for side in synthetic]
    views = column_views(train.cohort.schema, [train.table, *(side.table for side in synthetic)])
    return {
        "correspondence": correspondence_figures(metrics, names, drawings),
        "utility": utility_figures(metrics, names, drawings),
        "images": image_figures(metrics, names, drawings),
        "table": table_figures(metrics, names, drawings),
        "shapes": shape_figures(views, [train, *synthetic]),
        "privacy": privacy_figures(metrics, names, drawings),
    }


def _galleries(
    folder: Path,
    train: JudgedCohort,
    holdout: JudgedCohort,
    synthetic: Sequence[JudgedCohort],
    drawings: Drawings,
    *,
    seed: int,
) -> dict[str, Any]:
    """Write the pictures and return them: a draw of each cohort, closest pairs, broken images, occlusion maps."""
    size = display_size(synthetic)
    schema = train.cohort.schema

    def draw(side: JudgedCohort, prefix: str, rows: Sequence[int] | None = None) -> list:
        chosen = np.random.default_rng(seed).permutation(len(side))[:NUM_PICTURES] if rows is None else rows
        return draw_gallery(side, [int(row) for row in chosen], schema, folder, prefix=prefix, size=size)

    def pairs(side: JudgedCohort, listed: Any, prefix: str) -> list:
        if listed:
            return listed_pairs(side, train, listed, folder, prefix=prefix, size=size)
        return closest_pairs(side, train, folder, prefix=prefix, size=size)

    result: dict[str, Any] = {"size": size, "real": draw(train, "real"), "made": {}, "close": {}, "broken": {}}
    result["occluded"], result["strangers"] = {}, {}
    for order, side in enumerate(synthetic):
        left, prefix = drawings.get(side.name, {}), f"synthetic{order}"
        result["made"][side.name] = draw(side, prefix)
        result["close"][side.name] = pairs(side, left.get("copies"), prefix)
        result["broken"][side.name] = draw(side, f"{prefix}_broken", left.get("broken") or [])
        occlusion = (left.get("occlusion") or [])[:NUM_OCCLUSIONS]
        result["occluded"][side.name] = occluded_images(holdout, occlusion, folder, prefix=prefix, size=size)
        # The holdout's closest pairs are the same for all cohorts.
        if order == 0:
            result["close_holdout"] = pairs(holdout, left.get("copies_holdout"), "holdout")
        result["strangers"][side.name] = left.get("copy_threshold")
    return result
