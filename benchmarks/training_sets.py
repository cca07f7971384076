"""What predictors learn from real records, from synthetic ones and from both: four kinds of predictors on images.

python benchmarks/training_sets.py --data ../shared/data --results checkpoints/training_sets.json \
    --out benchmarks/RESULTS.md

Ridge and kernel probes and boosted trees see the features of the evaluation's judge, networks the pixels; each arm is
trained, tuned and stopped as `evaluate` does it, networks from several seeds. Cells are (synthesizer, split), five
synthetic records per real one; predictions for the held-out patients are kept in ``--results``, and the same command
goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from functools import lru_cache, partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fusion_cohorts import Split, public_encoder, read_split, resampled_patients, shipped_codec
from fusion_competitors import build
from results_file import keep_results, write_section

from monai_hybridsynth.evaluation.boosted_trees import boosted_arm_predictions
from monai_hybridsynth.evaluation.correspondence import probe_features
from monai_hybridsynth.evaluation.network_training import network_arm_predictions
from monai_hybridsynth.evaluation.probe_scores import ProbeSide
from monai_hybridsynth.evaluation.train_on_synthetic import utility_sides
from monai_hybridsynth.evaluation.training_arms import TrainingArm, arm_scores
from monai_hybridsynth.metrics import weighted_auroc

COHORT, SPLITS, VOLUME, REPLICATES = "nih_cxr14_sample", 5, 5, 1000
SYNTHESIZERS = ("conditional Gaussian", "resampled patients", "independent columns")
# AUROCs of networks that differ in their seed alone scatter by .025.
NETWORKS = 4
PREDICTORS = ("ridge", "kernel ridge", "boosted trees", "network")
ARMS = ("real", "synthetic", "both", "finetuned")


def measure(split: Split, name: str, *, seed: int) -> dict[str, Any]:
    """Return the predictions of every predictor and arm for the held-out patients of one cell."""
    codec = shipped_codec(COHORT)
    table = split.table(codec)
    synthesizer = build(name, public_encoder=public_encoder(COHORT)).fit(table, split.train.cohort.schema, seed=seed)
    made = split.sample(synthesizer, codec, VOLUME * len(table), seed=seed + 1)
    sides = utility_sides(split.train, split.holdout, made, seed=seed)
    outcomes = [outcome for outcome in sides.outcomes if outcome.target.is_binary]
    columns = [f"{outcome.target.column}={outcome.target.label}" for outcome in outcomes]
    kept = [sides.outcomes.index(outcome) for outcome in outcomes]
    plain, kernel = (
        sides.probe_sides(
            outcomes, probe_features(*(side.features for side in sides.cohorts), predictor=kind, seed=seed)
        )
        for kind in ("linear", "kernel")
    )
    networks = [network_arm_predictions(sides, seed=seed + SPLITS * number) for number in range(NETWORKS)]
    fitted = (
        [_ridge(plain, seed)],
        [_ridge(kernel, seed)],
        [_trees(plain, seed)],
        [{arm: values[:, kept] for arm, values in network.items()} for network in networks],
    )
    return {
        "patients": [str(patient) for patient in plain[1].groups],
        "weights": plain[1].weights.tolist(),
        "columns": columns,
        "truth": plain[1].targets.tolist(),
        "predictions": {
            predictor: {arm: [np.round(run[arm], 5).tolist() for run in runs] for arm in ARMS}
            for predictor, runs in zip(PREDICTORS, fitted, strict=True)
        },
    }


def _ridge(sides: list[ProbeSide], seed: int) -> dict[str, np.ndarray]:
    train, holdout, made = sides
    arms = {
        "real": TrainingArm((train,)),
        "synthetic": TrainingArm((made,)),
        "both": TrainingArm((train, made), supplemented=True),
        "finetuned": TrainingArm((train,), (made,)),
    }
    found = arm_scores(arms, holdout, dict.fromkeys(arms, {}), num_replicates=0, seed=seed)[1]
    return {arm: prediction.scores for arm, prediction in found.items()}


def _trees(sides: list[ProbeSide], seed: int) -> dict[str, np.ndarray]:
    train, holdout, made = sides
    found = []
    for place in range(train.targets.shape[1]):
        one = (ProbeSide(side.features, side.targets[:, [place]], side.groups) for side in (train, made, holdout))
        found.append(boosted_arm_predictions(*one, seed=seed))
    return {arm: np.stack([part[arm] for part in found], axis=1) for arm in ARMS}


def mean_auroc(cells: list[dict[str, Any]], predictor: str, arm: str) -> np.ndarray:
    """Return the mean over cells and seeds of the AUROC, every column once, on all patients and on resampled ones."""
    found = []
    for cell, drawn in zip(cells, resampled_patients([cell["patients"] for cell in cells], REPLICATES), strict=True):
        rows = drawn * np.array(cell["weights"])
        truth, runs = np.array(cell["truth"]), np.array(cell["predictions"][predictor][arm])
        names = [column.partition("=")[0] for column in cell["columns"]]
        share = np.array([1 / names.count(name) for name in names]) / len(set(names))
        known = np.isfinite(truth)
        scores = [
            np.mean([weighted_auroc(values[k, one], truth[k, one], rows[:, k]) for values in runs], axis=0)
            for one, k in enumerate(known.T)
        ]
        # A resample without a patient of a class says nothing of it.
        found.append(np.ma.average(np.ma.masked_invalid(scores), axis=0, weights=share).filled(0.5))
    return np.mean(found, axis=0)


def report(cells: dict[str, Any]) -> list[str]:
    """Return the table in Markdown."""
    lines = [
        "AUROC on held-out patients of predictors from the image, every target column (view, sex, findings) counted "
        f"once, mean over splits of {COHORT}; five synthetic records per real one. Real: the patients that the "
        f"synthesizer learned from. Networks: mean of {NETWORKS} seeds, whose AUROCs scatter by .025. Fine-tuned: "
        "trained on synthetic records, then on real ones. Differences with 95 % intervals over patients, fits and "
        "networks held fixed, so that luck with the training patients is not in them. Resampled patients: their own "
        "records drawn again, encoded and decoded; every draw counts as a patient of its own, so that penalties and "
        "early stopping are chosen among copies, which costs some of what they are worth.",
        "",
        "| synthesizer | fits | predictor | real | synthetic | ratio of gains | both | both - real | fine-tuned - real "
        "|",
        "|---" * 9 + "|",
    ]
    for name in SYNTHESIZERS:
        chosen = [cell for key, cell in cells.items() if key.startswith(f"{name} |")]
        for predictor in PREDICTORS if chosen else ():
            real, synthetic, both, tuned = (mean_auroc(chosen, predictor, arm) for arm in ARMS)
            ratio = (synthetic - 0.5) / (real - 0.5)
            texts = [_text(ratio, "{:.2f}"), f"{both[0]:.3f}", _text(both - real), _text(tuned - real)]
            start = f"| {name} | {len(chosen)} | {predictor} | {real[0]:.3f} | {synthetic[0]:.3f} |"
            lines.append(f"{start} {' | '.join(texts)} |")
    return lines


def _text(values: np.ndarray, form: str = "{:+.3f}") -> str:
    parts = [form.format(number) for number in (values[0], *np.percentile(values[1:], [2.5, 97.5]))]
    return f"{parts[0]} [{parts[1]}, {parts[2]}]"


def main() -> None:
    """Measure what is not yet in the results; write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the cohort folders")
    parser.add_argument("--work", type=Path, default=Path("runs/fusion_splits"), help="folder for the splits")
    parser.add_argument("--synthesizers", nargs="+", default=SYNTHESIZERS, choices=SYNTHESIZERS, metavar="NAME")
    parser.add_argument("--results", type=Path, required=True, help="JSON with all predictions so far; private")
    parser.add_argument("--out", type=Path, help="Markdown file; the section is replaced")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cells = json.loads(options.results.read_text()) if options.results.exists() else {}
    split_of = lru_cache(maxsize=None)(partial(read_split, options.data, COHORT, work=options.work))
    for name, split in product(options.synthesizers, range(SPLITS)):
        key = f"{name} | {split}"
        if key in cells:
            continue
        start = time.perf_counter()
        cells[key] = measure(split_of(split), name, seed=split)
        keep_results(options.results, cells)
        print(f"{key}: {time.perf_counter() - start:.0f} s", flush=True)
    write_section(options.out, "Real records, synthetic ones and both: what predictors learn from them", report(cells))


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main()
