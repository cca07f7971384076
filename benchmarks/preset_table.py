"""Pairing, utility and table fidelity of finished `make demo` runs, side by side.

python benchmarks/preset_table.py runs/nih_tuned runs/nih_paper --out benchmarks/RESULTS.md

Each run is one `make demo COHORT=... TARGETS=... PRESET=... NAME=...`; the figures are those of its metrics.json.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from results_file import write_section

COLUMNS = (
    ("pairing, forward", "agreement_forward", {"predictor": "linear"}),
    ("pairing, reverse", "agreement_reverse", {"predictor": "linear"}),
    ("forward, kernel probe", "agreement_forward", {"predictor": "kernel"}),
    ("reverse, kernel probe", "agreement_reverse", {"predictor": "kernel"}),
    ("utility ratio, image", "utility_ratio", {"predictor": "linear", "input": "image"}),
    ("column shapes", "column_shape", {}),
    ("pair trends", "pair_trend", {}),
    ("exact rows", "exact_rows_share", {}),
)


def cell(metrics: list[dict], name: str, wanted: dict) -> str:
    """Return the value of a metric over all columns, with its interval, and its floor where it is no constant."""
    found = [
        metric
        for metric in metrics
        if metric["name"] == name and all(metric["dimensions"].get(key) == value for key, value in wanted.items())
    ]
    # one target has no mean over targets: it stands for itself
    metric = next((metric for metric in found if metric["column"] is None), found[0] if len(found) == 1 else None)
    if metric is None or metric["value"] is None:
        return "not estimable"
    floor = f", floor {metric['floor']:.2f}" if metric["floor"] else ""
    return f"{metric['value']:.2f} [{metric['low']:.2f}, {metric['high']:.2f}]{floor}"


def main() -> None:
    """Collect the runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    lines = ["| run | " + " | ".join(title for title, _, _ in COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for run in options.runs:
        if not (run / "metrics.json").is_file():
            raise SystemExit(f"{run}/metrics.json is not there; run `make demo ... NAME={run.name}` first.")
        metrics = json.loads((run / "metrics.json").read_text())["metrics"]
        lines.append(f"| {run.name} | " + " | ".join(cell(metrics, name, want) for _, name, want in COLUMNS) + " |")
    lines += ["", "Values with 95 % intervals over patients; 1 is what real pairs give, 0 what shuffled pairs give."]
    write_section(options.out, "End to end: `make demo` on the demonstration cohort and on real ones", lines)


if __name__ == "__main__":
    main()
