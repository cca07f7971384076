"""Synthesizers of hybrid records side by side: pairing, utility, fidelity, privacy and time, each with two decoders.

python benchmarks/fusion_comparison.py --data ../shared/data --pool POOL --results checkpoints/fusion_comparison.json \
    --out benchmarks/RESULTS.md --plot bundles/.../docs/pareto.png

Cells are (cohort, decoder, split, seed, synthesizer), each written to ``--results`` as soon as it is there; the same
command goes on where it stopped. The order is such that an interrupted run is still balanced, and ``--core-minutes``
ends it when that much processor time has been used. Competitors are first tuned for equal processor time on an inner
split of the training patients of split 0.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Iterator
from functools import lru_cache, partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from fusion_cohorts import (
    ImageCodec,
    Split,
    component_codec,
    components_encoder,
    public_encoder,
    read_split,
    shipped_codec,
)
from fusion_competitors import ALONG_PUBLIC_AXES, CONFIGURATIONS, NAMES, build
from fusion_judgement import inner_score, judge, random_holdouts
from fusion_report import write_report
from results_file import keep_results

from monai_hybridsynth.data import read_image_pool
from monai_hybridsynth.transforms import load_images

SIZE, LATENTS = 64, 128
# The encoders have seen images of the first one's source; the others are for privacy.
NIH, ELSEWHERE = "nih_cxr14_sample", ("hannover_covid", "ct_ich")
REPLICATES, REPLICATES_OF_ONE = 2, 40
# Of each cohort's patients, to know what stratified splits do to the floors of the table's figures.
RANDOM_HOLDOUTS = 200
# One inner split cannot tell scores apart that differ by less; of those the fastest configuration is chosen.
INDISTINCT = 0.03
# These get every combination of five splits and five seeds, the default in every cohort.
DEFAULT = "conditional Gaussian"
FAST = (DEFAULT, "joint flow")
# Fitted in a minute or more; these get five splits and one seed.
SLOW = ("TVAE", "Forest-Flow", "CTGAN tuned", "CTGAN paper")


class Cell(NamedTuple):
    """One measurement."""

    cohort: str
    decoder: str
    split: int
    seed: int
    name: str


def main() -> None:
    """Tune, measure what is not yet in the results, write the report."""
    options = _arguments()
    torch.set_num_threads(1)
    results = json.loads(options.results.read_text()) if options.results.exists() else {"tuning": {}, "cells": {}}
    work = options.results.with_suffix("")
    split_of = lru_cache(maxsize=None)(partial(read_split, options.data, work=work))
    codec_of = lru_cache(maxsize=None)(partial(_codec, options))
    table_of = lru_cache(maxsize=None)(lambda name, decoder, k: split_of(name, k).table(codec_of(name, decoder)))
    components = components_encoder(work / "components_public.safetensors", LATENTS)
    plain = {name.removesuffix(ALONG_PUBLIC_AXES) for name in options.synthesizers}
    for name in CONFIGURATIONS:
        if name in plain and name not in results["tuning"]:
            given = split_of(NIH, 0), table_of(NIH, "alphaGAN", 0)
            results["tuning"][name] = _tuned(*given, name, options.tuning_seconds)
            keep_results(options.results, results)
    for cohort in (NIH, *ELSEWHERE):
        known = results.setdefault("random holdouts", {})
        if cohort not in known:
            known[cohort] = random_holdouts(split_of(cohort, 0), count=RANDOM_HOLDOUTS, seed=0)
            keep_results(options.results, results)
    failed = results["failed"] = {}
    for cell in plan(options.synthesizers):
        used = sum(sum(one["seconds"].values()) for one in results["cells"].values())
        if used > 60 * options.core_minutes:
            print(f"{used / 60:.0f} core minutes used; the rest of the plan is left out", flush=True)
            break
        key = " | ".join(map(str, cell))
        if key in results["cells"]:
            continue
        chosen = results["tuning"].get(cell.name.removesuffix(ALONG_PUBLIC_AXES), {}).get("chosen", {})
        first = cell[:4] == (NIH, "alphaGAN", 0, 0)
        replicates = REPLICATES_OF_ONE if first else REPLICATES
        given = split_of(cell.cohort, cell.split), table_of(cell.cohort, cell.decoder, cell.split)
        codec = codec_of(cell.cohort, cell.decoder)
        try:
            known = public_encoder(cell.cohort) if cell.decoder == "alphaGAN" else components
            synthesizer = build(cell.name, chosen, public_encoder=known)
            found = judge(*given, codec, synthesizer, seed=cell.seed, num_replicates=replicates)
        except Exception as error:  # one package that fails must not end a run of an hour
            failed[key] = f"{type(error).__name__}: {error}"
            print(f"{key}: {failed[key]}", flush=True)
            keep_results(options.results, results)
            continue
        results["cells"][key] = cell._asdict() | found
        keep_results(options.results, results)
        print(time.strftime("%H:%M:%S"), key, found["seconds"], flush=True)
    write_report(results, options.out, options.plot)


def plan(names: list[str]) -> Iterator[Cell]:
    """Yield cells in the order of their worth: every synthesizer once, then cohorts, splits and seeds."""
    slow = [name for name in names if name in SLOW]
    along = [name for name in names if name.endswith(ALONG_PUBLIC_AXES)]
    quick = [name for name in names if name not in (*SLOW, *along)]
    nih = partial(Cell, NIH)
    yield from (nih(decoder, 0, 0, name) for name in quick for decoder in ("alphaGAN", "PCA"))
    yield from (nih("alphaGAN", 0, 0, name) for name in slow)
    yield from (Cell(cohort, "alphaGAN", 0, 0, name) for cohort in ELSEWHERE for name in quick)
    yield from (nih("alphaGAN", split, 0, name) for split in (1, 2) for name in quick)
    yield from (Cell(cohort, "alphaGAN", split, 0, name) for split in (1, 2) for cohort in ELSEWHERE for name in quick)
    yield from (nih("PCA", 0, 0, name) for name in slow)
    yield from (Cell(cohort, "alphaGAN", 0, 0, name) for cohort in ELSEWHERE for name in slow)
    yield from (nih("alphaGAN", split, 0, name) for split in (3, 4) for name in quick)
    yield from (nih("alphaGAN", 0, seed, name) for seed in range(1, 5) for name in quick)
    yield from (Cell(cohort, "alphaGAN", split, 0, name) for split in (3, 4) for cohort in ELSEWHERE for name in quick)
    yield from (nih("alphaGAN", split, 0, name) for split in range(1, 5) for name in slow)
    yield from (nih("alphaGAN", split, 0, name) for split in range(5) for name in along)
    yield from (nih("PCA", split, 0, name) for split in (1, 2) for name in quick)
    fast = [name for name in names if name in FAST]
    yield from (nih("alphaGAN", split, seed, name) for seed in range(1, 5) for split in range(1, 5) for name in fast)
    # A dozen held-out patients: single fits scatter so much that they say little of a synthesizer's privacy.
    for cohort, split, seed in product(ELSEWHERE, range(5), range(1, 5)):
        yield from (Cell(cohort, "alphaGAN", split, seed, name) for name in names if name == DEFAULT)


def _tuned(split: Split, table: pd.DataFrame, name: str, seconds: float) -> dict[str, Any]:
    """Try configurations until the time is up; the one that runs then may finish."""
    tried: list[dict[str, Any]] = []
    start = time.process_time()
    for arguments in CONFIGURATIONS[name]:
        if time.process_time() - start > seconds:
            break
        began = time.process_time()
        try:
            found: dict[str, Any] = inner_score(split, table, build(name, arguments), seed=0)
        except Exception as error:  # a configuration that fails is not chosen
            found = {"score": -1.0, "error": f"{type(error).__name__}: {error}"}
        tried.append({"arguments": arguments, "seconds": round(time.process_time() - began, 1), **found})
        print("tuning", name, tried[-1], flush=True)
    best = max(one["score"] for one in tried)
    good = [one for one in tried if one["score"] > best - INDISTINCT]
    return {"tried": tried, "chosen": min(good, key=lambda one: one["seconds"])["arguments"]}


def _codec(options: argparse.Namespace, cohort: str, decoder: str) -> ImageCodec:
    """Return the way from images to latents and back: the shipped alphaGAN, or components of its pool's images."""
    if decoder == "alphaGAN":
        return shipped_codec(cohort)
    pool = read_image_pool(options.pool)
    paths = [Path(entry["image"]) for entry in pool.training]
    return component_codec(load_images(paths, pool.image, spatial_size=SIZE), LATENTS)


def _arguments() -> argparse.Namespace:
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the cohort folders")
    parser.add_argument("--pool", type=Path, required=True, help="pool whose images give the PCA decoder")
    parser.add_argument("--results", type=Path, required=True, help="JSON with all results so far")
    parser.add_argument("--synthesizers", nargs="+", choices=NAMES, default=NAMES, metavar="NAME")
    parser.add_argument("--tuning-seconds", type=float, default=60, help="processor seconds per competitor")
    parser.add_argument("--core-minutes", type=float, default=float("inf"), help="after which no cell is begun")
    parser.add_argument("--out", type=Path, help="Markdown file; the section is replaced")
    parser.add_argument("--plot", type=Path, help="file of the Pareto plot")
    return parser.parse_args()


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main()
