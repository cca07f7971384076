"""How long synthesizers take to fit and to draw, and how much memory drawing needs.

python benchmarks/fusion_speed.py --results checkpoints/fusion_speed.json --out benchmarks/RESULTS.md

The table has 643 rows of the phantom cohort: 13 clinical columns and 128 latents of the shipped encoder. Every
measurement is a fresh process; memory is the highest resident memory during drawing less that before it. What is
measured is kept in ``--results``; the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from fusion_cohorts import public_encoder, shipped_codec
from results_file import keep_results, write_section

from monai_hybridsynth.data import read_cohort, write_phantom_cohort
from monai_hybridsynth.fusion import (
    ConditionalGaussianSynthesizer,
    CTGANSynthesizer,
    JointFlowSynthesizer,
    load_synthesizer,
)
from monai_hybridsynth.transforms import load_images
from monai_hybridsynth.workflows import join_latents

PUBLIC = public_encoder("phantom")
SYNTHESIZERS: dict[str, Callable[[], Any]] = {
    "Gaussian": partial(ConditionalGaussianSynthesizer, public_encoder=PUBLIC),
    "flow": partial(JointFlowSynthesizer, progress=False, public_encoder=PUBLIC),
    "CTGAN tuned": partial(CTGANSynthesizer, preset="tuned", progress=False, public_encoder=PUBLIC),
    "CTGAN paper": partial(CTGANSynthesizer, preset="paper", progress=False),
}
ROWS, BLOCK = 643, 256
COUNTS = (10_000, 30_000, 100_000)
SAMPLED = ("Gaussian", "flow", "CTGAN tuned")
MODES = ("blocks", "one call")


def table_of(folder: Path) -> tuple[pd.DataFrame, Any]:
    """Return the latent table of the phantom cohort and its schema."""
    if not (folder / "records.csv").is_file():
        write_phantom_cohort(folder, ROWS, seed=0, spatial_size=64)
    cohort = read_cohort(folder)
    images = load_images(cohort.image_paths, cohort.schema.image, spatial_size=64)
    return join_latents(cohort, shipped_codec("phantom").encode(images)), cohort.schema


def fit(name: str, work: Path) -> dict[str, Any]:
    """Fit and save one synthesizer; return its seconds."""
    table, schema = table_of(work / "cohort")
    start, cpu = time.perf_counter(), time.process_time()
    synthesizer = SYNTHESIZERS[name]().fit(table, schema, seed=0)
    seconds = {"wall": time.perf_counter() - start, "cpu": time.process_time() - cpu}
    synthesizer.save(work / name.replace(" ", "_"))
    clinical = len(schema.feature_names)
    return seconds | {"rows": len(table), "columns": clinical + 128, "clinical": clinical}


def draw(name: str, mode: str, count: int, work: Path) -> dict[str, float]:
    """Draw records; return seconds and the growth of resident memory in MB."""
    synthesizer = load_synthesizer(work / name.replace(" ", "_"))
    synthesizer.sample(BLOCK, seed=0)
    before = _memory("VmRSS")
    # Linux: sets the highest resident memory back to the present one.
    Path("/proc/self/clear_refs").write_text("5")
    start, cpu = time.perf_counter(), time.process_time()
    if mode == "blocks":
        for number in range(-(-count // BLOCK)):
            synthesizer.sample(BLOCK, seed=int(np.random.SeedSequence([0, number]).generate_state(1)[0]))
        frame = 0.0
    else:
        frame = float(synthesizer.sample(count, seed=0).memory_usage(deep=True).sum()) / 2**20
    seconds = {"wall": time.perf_counter() - start, "cpu": time.process_time() - cpu}
    return seconds | {"memory": _memory("VmHWM") - before, "frame": frame}


def _memory(kind: str) -> float:
    """Return a line of this process' status in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(kind + ":")).split()[1]) / 1024


def report(results: dict[str, Any]) -> list[str]:
    """Return the tables in Markdown."""
    known = {name: results[f"fit {name}"] for name in SYNTHESIZERS if f"fit {name}" in results}
    size = next(iter(known.values()))
    peer = known.get("CTGAN paper")
    lines = [
        f"{size['rows']} rows of {size['columns']} columns, {size['clinical']} of them clinical; "
        f"{os.environ.get('OMP_NUM_THREADS', 'all')} threads.",
        "",
        "| fit | processor s | times faster than CTGAN paper |",
        "|---|---|---|",
    ]
    for name, found in known.items():
        ratio = f"{peer['cpu'] / found['cpu']:.0f}" if peer else ""
        lines.append(f"| {name} | {found['cpu']:.2f} | {ratio} |")
    lines += [
        "",
        f"Rows and latents drawn in blocks of {BLOCK}, as cohorts are written (a finished block is forgotten), or in "
        "one call, which returns one frame; memory is what drawing needs beyond the loaded synthesizer.",
        "",
        "| synthesizer | how | records | processor s | memory, MB | of it the frame, MB |",
        "|---|---|---|---|---|---|",
    ]
    for name in SAMPLED:
        for mode in MODES:
            for count in COUNTS:
                found = results.get(f"draw {name} {mode} {count}")
                if found:
                    numbers = f"{found['cpu']:.1f} | {found['memory']:.0f} | {found['frame']:.0f}"
                    lines.append(f"| {name} | {mode} | {count:,} | {numbers} |")
    return lines


def main() -> None:
    """Measure what is not measured yet, each in its own process; write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("runs/fusion_speed"), help="folder for cohort and artifacts")
    parser.add_argument("--results", type=Path, required=True, help="JSON with all measurements so far")
    parser.add_argument("--out", type=Path, help="Markdown file; the section is replaced")
    parser.add_argument("--one", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        verb, *arguments = options.one
        found = (
            fit(*arguments, options.work) if verb == "fit" else draw(*arguments[:2], int(arguments[2]), options.work)
        )
        print(json.dumps(found))
        return
    results = json.loads(options.results.read_text()) if options.results.exists() else {}
    table_of(options.work / "cohort")
    cells = [("fit", name) for name in SYNTHESIZERS]
    cells += [("draw", name, mode, str(count)) for name in SAMPLED for mode in MODES for count in COUNTS]
    for cell in cells:
        if " ".join(cell) not in results:
            command = [sys.executable, *sys.argv, "--one", *cell]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            results[" ".join(cell)] = json.loads(done.stdout.splitlines()[-1])
            keep_results(options.results, results)
            print(" ".join(cell), results[" ".join(cell)], flush=True)
    write_section(options.out, "Speed and memory of synthesizers", report(results))


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main()
