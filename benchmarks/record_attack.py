"""Membership by records for somebody who has the encoder and uses images and rows together, as `evaluate --encoder`.

python benchmarks/record_attack.py --data ../shared/data --out benchmarks/RESULTS.md
"""

from __future__ import annotations

import argparse
import warnings
from dataclasses import replace
from pathlib import Path

import torch
from fusion_cohorts import Split, public_encoder, read_split, shipped_codec
from fusion_competitors import build
from fusion_report import over_splits
from results_file import write_section

from monai_hybridsynth.evaluation.judged_cohort import JudgedCohort
from monai_hybridsynth.evaluation.membership import membership_findings

COHORT, SPLITS, RECORDS = "nih_cxr14_sample", 5, 1000
SYNTHESIZERS = ("independent columns", "conditional Gaussian", "joint flow", "resampled patients")
ATTACKS = ("encoder moments", "encoder and row moments", "classifier", "strongest")


def attacks(split: Split) -> dict[str, dict[str, float]]:
    """Return, by synthesizer and attack, the AUROC on the records of one fit."""
    codec = shipped_codec(COHORT)

    def seen(side: JudgedCohort) -> JudgedCohort:
        return replace(side, codes=codec.encode(side.images()).astype(float), spaces={})

    members, others = seen(split.train), seen(split.holdout)
    table, schema = split.table(codec), split.train.cohort.schema
    found = {}
    for name in SYNTHESIZERS:
        fitted = build(name, public_encoder=public_encoder(COHORT)).fit(table, schema, seed=0)
        drawn = seen(split.sample(fitted, codec, RECORDS, seed=1))
        found[name] = {
            str(metric.dimensions["attack"]): float(metric.value)
            for metric in membership_findings(members, others, drawn, seed=0).metrics
            if metric.name == "membership_auroc"
            and metric.dimensions["view"] == "record"
            and metric.dimensions["stratum"] == "all"
            and metric.value is not None
        }
    return found


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the cohort folders")
    parser.add_argument("--work", type=Path, default=Path("runs/fusion_splits"), help="folder for the splits")
    parser.add_argument("--out", type=Path, help="Markdown file; the section is replaced")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cells = [attacks(read_split(options.data, COHORT, number, options.work)) for number in range(SPLITS)]
    lines = [
        f"{COHORT}, {SPLITS} splits, one fit of each, {RECORDS:,} records; AUROC of membership (.5: guessing), "
        "intervals as in the comparison of synthesizers. The attacks of `evaluate --encoder` on records: moments of "
        "the encoder's codes, of codes and rows together, a classifier of all attacks that was learned on other "
        "patients, and the one that was strongest on other patients.",
        "",
        f"| | {' | '.join(ATTACKS)} |",
        "|---" * (len(ATTACKS) + 1) + "|",
    ]
    for name in SYNTHESIZERS:
        of_name = [{"split": number} | cell[name] for number, cell in enumerate(cells)]
        texts = [str(over_splits(of_name, lambda cell, attack=attack: (cell[attack], 1.0))) for attack in ATTACKS]  # type: ignore
        lines.append(f"| {name} | {' | '.join(texts)} |")
    write_section(options.out, "Membership by records and the public encoder", lines)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main()
