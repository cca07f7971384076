"""Put a finished supplementation study into RESULTS.md and draw its curves; the plot needs matplotlib.

python benchmarks/supplementation_results.py runs/supplementation/study_phantom --title "Supplementation: phantom" \
    --out benchmarks/RESULTS.md --plot bundles/cxr_conditional_ddpm/docs/supplementation_phantom.png
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from results_file import write_section

from monai_hybridsynth.studies.supplementation.study_cells import REAL_ARM
from monai_hybridsynth.studies.supplementation.study_report import gain_lines

COLOURS = ("#d9602a", "#158f6c", "#8a55c9", "#b0862b", "#c0392b", "#17708f", "#7a7a7a", "#d36fa4")


def ends(record: dict[str, Any] | None, sign: str = "") -> str:
    """Return a value with its interval."""
    if record is None:
        return "–"
    low, high = (f"{record[end]:{sign}.3f}" for end in ("low", "high"))
    return f"{record['value']:{sign}.3f} [{low}, {high}]"


def table(results: dict[str, Any]) -> list[str]:
    """Return the gains of all arms as Markdown, one row per arm and share of synthetic records."""
    lines = gain_lines(results)
    columns = list(dict.fromkeys((line["test"], line["real_percent"]) for line in lines))
    rows = list(dict.fromkeys((line["arm"], line["percent"]) for line in lines))
    found = {(line["arm"], line["percent"], line["test"], line["real_percent"]): line for line in lines}
    head = [f"{test}, {size} % real" for test, size in columns]
    text = ["| arm | synthetic | " + " | ".join(head) + " |", "|---|---" + "|---" * len(columns) + "|"]
    for arm, percent in rows:
        cells = []
        for column in columns:
            line = found.get((arm, percent, *column))
            shown = "–" if line is None else ends(line) if arm == REAL_ARM else ends(line["gain"], "+")
            marks = [] if line is None else ["↑ " + ", ".join(line["better"])] * bool(line["better"])
            marks += [] if line is None else ["↓ " + ", ".join(line["worse"])] * bool(line["worse"])
            cells.append("; ".join([shown, *marks]))
        text.append(f"| {arm} | {percent} % | " + " | ".join(cells) + " |")
    return text


def cost_table(results: dict[str, Any]) -> list[str]:
    """Return what the arms of the first test cost, where a generator's cost is stated."""
    first = next(iter(results["cohorts"]["tests"]))
    rows = [row for row in results["cost"] if row["test"] == first and row["generator_flops"] is not None]
    if not rows:
        return []
    text = [
        "",
        f"Computation, and per +.01 macro AUROC in {first} where the gain is sure: TFLOP; hours of one core.",
        "",
    ]
    text += ["| arm | real | synthetic | generator | drawing | classifier | TFLOP per +.01 | hours per +.01 |"]
    text += ["|---" * 8 + "|"]
    names = ("generator", "sampling", "classifier")
    for row in rows:
        parts = [(row[f"{name}_flops"] / 1e12, row[f"{name}_hours"]) for name in names]
        shown = [f"{flops:.3g}; {hours:.2g} h" for flops, hours in parts]
        per, hours = row["flops_per_hundredth"], row["hours_per_hundredth"]
        shown += ["–" if per is None else f"{per / 1e12:.3g}", "–" if hours is None else f"{hours:.2g}"]
        text.append(f"| {row['arm']} | {row['real_percent']} % | {row['percent']} % | " + " | ".join(shown) + " |")
    return text


def facts(results: dict[str, Any]) -> list[str]:
    """Return what was studied, in a few lines."""
    study, cohorts = results["study"], results["cohorts"]
    tests = "; ".join(f"{name}: {test['patients']} patients" for name, test in cohorts["tests"].items())
    gaps = ", ".join(f"{name} {gap:.3f}" for name, gap in results["cooccurrence"]["gaps"].items())
    network, training = study["network"], study["training"]
    return [
        f"{len(study['findings'])} findings ({', '.join(study['findings'])}); {cohorts['training']['patients']} "
        f"training patients ({cohorts['training']['records']} images), {cohorts['validation']['patients']} validation "
        f"patients; tests: {tests}. {network['name']} of {network['parameters']:,} parameters at "
        f"{study['spatial_size']} pixels, at most {training['max_steps']} steps of {training['batch_size']} images in "
        f"every arm; seeds: {len(study['seeds'])}; {study['cells']['finished']} of {study['cells']['all']} cells.",
        "",
        "The first row is macro AUROC, the others are gains over it with the same real patients, with 95 % intervals "
        "over test patients and seeds; ↑ ↓ name findings with p < .05 after Holm.",
        f"Difference of P(label | label) from the training patients: {gaps}.",
        "",
    ]


def draw(results: dict[str, Any], path: Path) -> None:
    """Draw macro AUROC over the share of synthetic records, one panel per test and share of real patients."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    macro = [score for score in results["scores"] if score["finding"] is None]
    tests = list(dict.fromkeys(score["test"] for score in macro))
    sizes = sorted({score["real_percent"] for score in macro})
    arms = [arm["name"] for arm in results["study"]["arms"] if arm["name"] != REAL_ARM]
    figure, axes = pyplot.subplots(
        len(tests), len(sizes), figsize=(4.2 * len(sizes), 3.1 * len(tests)), squeeze=False, sharex=True, sharey="row"
    )
    for row, test in enumerate(tests):
        for column, size in enumerate(sizes):
            chosen = [score for score in macro if score["test"] == test and score["real_percent"] == size]
            panel(axes[row][column], chosen, arms)
            axes[row][column].set_title(f"{test}, {size} % of the real patients", fontsize=9)
        axes[row][0].set_ylabel("macro AUROC")
    for axis in axes[-1]:
        axis.set_xlabel("synthetic records per 100 real ones")
    handles, names = axes[0][-1].get_legend_handles_labels()
    figure.legend(handles, names, loc="lower center", ncol=3, frameon=False, fontsize=8)
    figure.tight_layout(rect=(0, 0.1 if len(tests) < 3 else 0.06, 1, 1))
    figure.savefig(path, dpi=110)


def panel(axis: Any, scores: Sequence[dict[str, Any]], arms: Sequence[str]) -> None:
    """Draw one test and share of real patients."""
    for real in (score for score in scores if score["arm"] == REAL_ARM):
        axis.axhspan(real["low"], real["high"], color="#2a6fc9", alpha=0.12, linewidth=0)
        axis.axhline(real["value"], color="#2a6fc9", label="real records alone")
    for place, arm in enumerate(arms):
        rows = sorted((score for score in scores if score["arm"] == arm), key=lambda score: score["percent"])
        if rows:
            values = [score["value"] for score in rows]
            spread = [[s["value"] - s["low"] for s in rows], [s["high"] - s["value"] for s in rows]]
            at = [score["percent"] * (1 + 0.03 * (place - (len(arms) - 1) / 2)) for score in rows]
            axis.errorbar(
                at, values, spread, marker="o", markersize=4, capsize=2, color=COLOURS[place % len(COLOURS)], label=arm
            )
    axis.set_xscale("log")
    axis.set_xticks([100, 300, 1000], ["100", "300", "1000"])
    axis.minorticks_off()


def main() -> None:
    """Read the study, write the section, draw the plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("--title", required=True)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    results = json.loads((options.study / "results.json").read_text())
    write_section(options.out, options.title, [*facts(results), *table(results), *cost_table(results)])
    if options.plot:
        draw(results, options.plot)


if __name__ == "__main__":
    main()
