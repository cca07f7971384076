"""What somebody who has the records and the public encoder learns: on whom was the synthesizer fitted?

python benchmarks/encoder_attack.py --data ../shared/data --results checkpoints/encoder_attack.json \
    --out benchmarks/RESULTS.md

The attack encodes the released images, takes the mean and covariance of their latents (and rows), and calls a patient a
member who is more likely by them than by those of all patients. Cells are (cohort, synthesizer, split, seed);
the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import warnings
from functools import lru_cache, partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
from fusion_cohorts import public_encoder, read_split, shipped_codec
from fusion_competitors import build
from fusion_judgement import judge
from fusion_report import entry, gain, over_splits, utility
from results_file import keep_results, write_section

COHORTS = ("nih_cxr14_sample", "hannover_covid", "ct_ich")
OWN = ", patients' axes"
LEARNED = ("joint flow", "conditional Gaussian")
SYNTHESIZERS = ("resampled patients", "independent columns", *LEARNED, *(name + OWN for name in LEARNED))
SPLITS, SEEDS = 5, 1
COLUMNS = {
    "moments of images": entry("privacy", "membership encoder moments"),
    "moments of images and rows": entry("privacy", "membership encoder and row moments"),
    "strongest, image": entry("privacy", "membership image"),
    "strongest, record": entry("privacy", "membership record"),
    "forward": gain(["forward"], ["linear"]),
    "reverse": gain(["reverse"], ["linear"]),
    "forward, kernel": gain(["forward"], ["kernel"]),
    "reverse, kernel": gain(["reverse"], ["kernel"]),
    "utility ratio": utility("synthetic", "real"),
}


def synthesizer(name: str, cohort: str) -> Any:
    """Return a synthesizer that is not fitted."""
    if name.endswith(OWN):
        return build(name.removesuffix(OWN))
    return build(name, public_encoder=public_encoder(cohort))


def report(cells: dict[str, Any]) -> list[str]:
    """Return one table per cohort in Markdown."""
    lines = [
        f"{SPLITS} splits by patient, {SEEDS} fit of each, five records per real one; AUROC of membership, .5 is "
        "guessing; intervals as in the comparison of synthesizers. The encoder is public, and so is the attack: it "
        "encodes the released images and asks how much more likely a patient's latents, or latents and row, are by "
        "their mean and covariance than by those of all patients, members and others alike. Beside it the attack of "
        "`evaluate --encoder` that was strongest on other patients, on 1,000 of the records. Latents are learned along "
        "the principal components of the encoder's own public images (`public_encoder`, the bundle's default), which "
        "for the chest encoder are of the source of `nih_cxr14_sample`, not of the others; in the last rows along "
        "those of the patients themselves.",
    ]
    for cohort in COHORTS:
        lines += ["", f"**{cohort}**", "", f"| | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 1) + "|"]
        for name in SYNTHESIZERS:
            found = [cell for cell in cells.values() if (cell["cohort"], cell["name"]) == (cohort, name)]
            if found:
                texts = [_text(found, column) for column in COLUMNS]
                lines.append(f"| {name} | {' | '.join(texts)} |")
    return lines


def _text(cells: list[dict[str, Any]], column: str) -> str:
    # What real pairs hardly show in some split cannot be divided by.
    values = COLUMNS[column]
    pairs = [values(cell) for cell in cells]
    if any(pair is not None and pair[1] < 0.02 for pair in pairs):
        return "not estimable"
    return str(over_splits(cells, values))


def main() -> None:
    """Measure what is not yet in the results; write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the cohort folders")
    parser.add_argument("--work", type=Path, default=Path("runs/fusion_splits"), help="folder for the splits")
    parser.add_argument("--cohorts", nargs="+", default=COHORTS, choices=COHORTS, metavar="NAME")
    parser.add_argument("--results", type=Path, required=True, help="JSON with all results so far")
    parser.add_argument("--out", type=Path, help="Markdown file; the section is replaced")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cells = json.loads(options.results.read_text()) if options.results.exists() else {}
    split_of = lru_cache(maxsize=None)(partial(read_split, options.data, work=options.work))
    for cohort, seed, split, name in product(options.cohorts, range(SEEDS), range(SPLITS), SYNTHESIZERS):
        key = f"{cohort} | {name} | {split} | {seed}"
        if key in cells:
            continue
        codec, given = shipped_codec(cohort), split_of(cohort, split)
        found = judge(given, given.table(codec), codec, synthesizer(name, cohort), seed=seed, num_replicates=2)
        cells[key] = {"cohort": cohort, "name": name, "split": split, "seed": seed} | found
        keep_results(options.results, cells)
        print(key, found["privacy"]["membership encoder and row moments"][0], flush=True)
    write_section(options.out, "Membership by the public encoder", report(cells))


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main()
