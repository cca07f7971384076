"""The pages of a study: ``results.json``, a report in the style of the evaluation's, and a data card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_hybridsynth.evaluation.report.report_page import page_templates, script_json
from monai_hybridsynth.studies.supplementation.study_figures import study_figures
from monai_hybridsynth.workflows.encode_cohort import save_text

__all__ = ["gain_lines", "write_study_report"]


def write_study_report(out: str | Path, results: Mapping[str, Any]) -> Path:
    """Write ``results.json``, ``report/index.html`` and ``report/data_card.md``: figures over patients, no patient.

    Args:
        out: folder of the study.
        results: what :func:`.study_results.study_results` returns.

    Returns:
        The path of ``index.html``.
    """
    from plotly.offline import get_plotlyjs

    out = Path(out)
    figures = study_figures(results)
    drawn = {one.id: one.plain() for group in figures.values() for one in group}
    environment = page_templates("monai_hybridsynth.studies")
    environment.filters.update(interval=_interval, flops=_flops)
    page = environment.get_template("supplementation.html.j2").render(
        results=results, figures=figures, figures_json=script_json(drawn), lines=gain_lines(results)
    )
    card = environment.get_template("supplementation_card.md.j2").render(results=results, lines=gain_lines(results))
    content = json.dumps(results, indent=1, ensure_ascii=False, allow_nan=False)
    for place, text in {
        "results.json": content + "\n",
        "report/index.html": page,
        "report/data_card.md": card,
        "report/plotly.min.js": get_plotlyjs(),
    }.items():
        save_text(out / place, text)
    return out / "report" / "index.html"


def gain_lines(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return one line per arm, size and test: macro AUROC, gain, and how many findings gain or lose after Holm."""
    gains = {_key(gain): gain for gain in results["gains"] if gain["finding"] is None}
    by_finding: dict[tuple, list[Mapping[str, Any]]] = {}
    for gain in results["gains"]:
        if gain["finding"] is not None:
            by_finding.setdefault(_key(gain), []).append(gain)
    lines = []
    for score in results["scores"]:
        if score["finding"] is not None:
            continue
        certain = [one for one in by_finding.get(_key(score), []) if one["p_holm"] < 0.05]
        lines.append(
            {
                **score,
                "gain": gains.get(_key(score)),
                "better": [one["finding"] for one in certain if one["value"] > 0],
                "worse": [one["finding"] for one in certain if one["value"] < 0],
            }
        )
    tests = list(results["cohorts"]["tests"])
    return sorted(lines, key=lambda line: (tests.index(line["test"]), -line["real_percent"]))


def _key(record: Mapping[str, Any]) -> tuple:
    return tuple(record[name] for name in ("arm", "real_percent", "percent", "test"))


def _interval(record: Mapping[str, Any] | None, *, signed: bool = False) -> str:
    """Return ``.812 [.790, .835]``."""
    if record is None:
        return "–"
    sign = "+" if signed else ""
    ends = [f"{record[end]:{sign}.3f}" if record[end] is not None else "–" for end in ("low", "high")]
    return f"{record['value']:{sign}.3f} [{', '.join(ends)}]".replace("-", "−")


def _flops(value: float | None) -> str:
    return "–" if value is None else f"{value / 1e12:.3g}"
