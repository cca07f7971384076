"""Do drawn radiographs show the view, the sex and the findings that were asked for? Probes of real images look.

python benchmarks/diffusion_conditions.py --cohort PREPARED --results checkpoints/diffusion_conditions.json \
    --out benchmarks/RESULTS.md --picture bundles/cxr_conditional_ddpm/docs/conditions.png

Ridge probes on principal components of pixels learn from real training patients. They then rank images that the shipped
weights drew for the rows of held-out patients, whom neither weights nor probes saw, and AUC says how well the rank
follows what was asked for. PREPARED is the folder of `python -m monai_hybridsynth prepare`.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from conditional_sampling import SHOWN, grid_of, resampled, side_by_side, text_of
from diffusion_bundle import bundle_config, drawn
from fusion_cohorts import Split, split_of_folder
from PIL import Image
from results_file import keep_results, write_section

from monai_hybridsynth.evaluation.prediction_targets import PredictionTarget, prediction_targets, target_matrix
from monai_hybridsynth.evaluation.ridge_probe import RidgeRefit, choose_penalties
from monai_hybridsynth.metrics import bootstrap_weights, interval, record_weights, weighted_auroc

COLUMNS = ("View Position", "Patient Gender", "Finding_Labels")
SETTINGS = {  # guidance scale and rescale
    "guidance 0 (floor)": (0.0, 0.0),
    "guidance 1": (1.0, 0.0),
    "guidance 2": (2.0, 0.0),
    "guidance 4": (4.0, 0.0),
    "guidance 4, rescale 0.7": (4.0, 0.7),
}
REAL = "real images (ceiling)"
LEAST_POSITIVE, REPLICATES, SIZE, PAIRS = 20, 1000, 32, 30
TYPICAL = {"Patient Age": 50, "Patient Gender": "M", "View Position": "PA", "Finding_Labels": "No Finding"}
EQUAL = ("guidance 1", "guidance 4")
SHOWN_CONDITIONS = {
    "PA, male": {},
    "AP": {"View Position": "AP"},
    "female": {"Patient Gender": "F"},
    "effusion": {"Finding_Labels": "Effusion"},
}
# What every row but the first changes to.
CHANGED = [next(iter(changed.values())) for changed in SHOWN_CONDITIONS.values() if changed]
Scores = dict[str, list[float]]


class ConditionProbes:
    """Predictors of every condition with enough patients, and what they find in images drawn for other patients."""

    def __init__(self, split: Split) -> None:
        self.split, train = split, split.train
        targets = [t for t in prediction_targets(train.cohort.schema, COLUMNS, train.table) if t.is_binary]
        self.targets = [target for target in targets if positive_patients(target, train) >= LEAST_POSITIVE]
        values = target_matrix(self.targets, train.table)
        penalties = choose_penalties(train.features, values, train.weights, train.groups, seed=0)
        self.probe = RidgeRefit(train.features, values, penalties)(train.weights)

    def names(self) -> list[str]:
        """Name the conditions, with the held-out patients who have them."""
        held_out = self.split.holdout
        return [f"{target.label} ({positive_patients(target, held_out)})" for target in self.targets]

    def figures(self, images: torch.Tensor, asked: pd.DataFrame, patients: np.ndarray) -> Scores:
        """Return the AUC of each condition and the mean over findings, with intervals over patients."""
        with torch.no_grad():
            found = self.probe.predict(self.split.embeddings[""](images).double().numpy())
        truth = target_matrix(self.targets, asked)
        base = record_weights(patients)
        weights = np.concatenate([base[None], bootstrap_weights(patients, REPLICATES, seed=0) * base])
        columns = [weighted_auroc(found[:, place], truth[:, place], weights) for place in range(len(self.targets))]
        findings = [auc for auc, target in zip(columns, self.targets, strict=True) if target.column == COLUMNS[2]]
        named = zip([*self.names(), "mean of the findings"], [*columns, np.nanmean(findings, axis=0)], strict=True)
        span = partial(interval, num_groups=len(np.unique(patients)), bounds=(0.0, 1.0))
        return {name: [float(auc[0]), *span(float(auc[0]), auc[1:])] for name, auc in named}


def positive_patients(target: PredictionTarget, judged) -> int:
    """Return how many patients have a condition."""
    return len(np.unique(judged.groups[target.values(judged.table) == 1]))


@lru_cache
def condition_probes(cohort: Path) -> ConditionProbes:
    """Return the probes of a prepared cohort, fitted once."""
    return ConditionProbes(split_of_folder(cohort, spatial_size=SIZE))


def measured(options: argparse.Namespace) -> dict[str, Scores]:
    """Return all figures, drawing what is not yet in the results."""
    results = json.loads(options.results.read_text()) if options.results.exists() else {}
    if not set(SETTINGS) - set(results):
        return results
    probes = condition_probes(options.cohort)
    holdout = probes.split.holdout
    results[REAL] = probes.figures(holdout.images(), holdout.table, holdout.groups)
    for name, (scale, rescale) in SETTINGS.items():
        if name in results:
            continue
        start = time.perf_counter()
        keys = {"guidance_scale": scale, "guidance_rescale": rescale, "replicas": options.replicas}
        told, images = drawn(bundle_config(options.cohort / "holdout", **keys))
        results[name] = probes.figures(images, told, np.tile(holdout.groups, options.replicas))
        print(name, f"{time.perf_counter() - start:.0f} s", results[name], flush=True)
        keep_results(options.results, results)
    return results


def all_else_equal(cohort: Path, results: dict[str, Scores], path: Path) -> None:
    """Add the AUC of each condition shown, between images that differ in that condition alone, and the same noise."""
    probes = condition_probes(cohort)
    labels = [str(target.label) for target in probes.targets]
    noises = np.tile(np.arange(PAIRS), 2)
    for name in EQUAL:
        parts = drawings(cohort, SETTINGS[name][0])
        images = torch.cat(parts)
        with torch.no_grad():
            scores = probes.probe.predict(probes.split.embeddings[""](images).double().numpy())
        for place, label in enumerate(CHANGED, start=1):
            score = scores[:, labels.index(label)].reshape(len(parts), PAIRS)
            pair = np.concatenate([score[0], score[place]])
            auroc = partial(weighted_auroc, pair, np.repeat([0.0, 1.0], PAIRS))
            results.setdefault(f"equal, {name}", {})[label] = resampled(auroc, noises)
    keep_results(path, results)


@lru_cache
def drawings(cohort: Path, scale: float) -> list[torch.Tensor]:
    """Draw a typical row, then with one condition changed, from ``PAIRS`` noises that are the same for all."""
    found = []
    for changed in SHOWN_CONDITIONS.values():
        keys = {"conditions": TYPICAL | changed, "rows": list(range(PAIRS)), "guidance_scale": scale}
        found.append(drawn(bundle_config(cohort / "holdout", **keys))[1])
    return found


def real_changes(cohort: Path) -> list[torch.Tensor]:
    """Return what each changed condition goes with in real training images, all others equal: regression slopes.

    "No Finding" is left out, so that the slope of a finding is the difference to it.
    """
    probes = condition_probes(cohort)
    train = probes.split.train
    targets = [target for target in probes.targets if target.label != TYPICAL["Finding_Labels"]]
    values = np.nan_to_num(target_matrix(targets, train.table))
    age = train.table["Patient Age"].astype(float)
    given = np.column_stack([np.ones(len(values)), values, age.fillna(age.mean())])
    root = np.sqrt(train.weights)[:, None]
    slopes = np.linalg.lstsq(root * given, root * train.images().flatten(1).numpy(), rcond=None)[0][1:]
    labels = [target.label for target in targets]
    return [torch.from_numpy(slopes[labels.index(label)]).reshape(1, SIZE, SIZE) for label in CHANGED]


def changes(images: list[torch.Tensor]) -> list[torch.Tensor]:
    """Return the mean difference that each changed condition makes to images from the same noise."""
    return [(part - images[0]).mean(dim=0) for part in images[1:]]


def picture(cohort: Path) -> Image.Image:
    """Return grids for guidance 1 and 4, the same noise along a column, and a grid of what each change did on average.

    In the last one grey is no change and white is denser; each map is scaled to its largest change.
    """
    scales = [SETTINGS[name][0] for name in EQUAL]
    grids = []
    for scale in scales:
        images = [part[:SHOWN] for part in drawings(cohort, scale)]
        captions = [[""] * SHOWN] * (len(images) - 1) + [[f"guidance {scale:.0f}", *[""] * (SHOWN - 1)]]
        grids.append(grid_of(list(SHOWN_CONDITIONS), images, captions))
    maps = [real_changes(cohort), *(changes(drawings(cohort, scale)) for scale in scales)]
    rows = [torch.stack([part / part.abs().max() for part in row]) for row in zip(*maps, strict=True)]
    captions = [[""] * len(maps)] * (len(rows) - 1) + [["real", *(f"guid. {scale:.0f}" for scale in scales)]]
    names = [f"to {name}" for name in list(SHOWN_CONDITIONS)[1:]]
    return side_by_side([*grids, grid_of(names, rows, captions)])


def report(results: dict[str, Scores], replicas: int) -> list[str]:
    """Return the table: a line per condition, a column per kind of images."""
    shown = [REAL, *(name for name in SETTINGS if name in results)]
    lines = [
        f"{SIZE} pixels, 20 network evaluations (40 above guidance 1), {replicas} images for each row of the held-out "
        "patients. AUC of probes trained on real training patients, for the condition that was asked for; in brackets "
        f"after its name the held-out patients who have it. Conditions that at least {LEAST_POSITIVE} training "
        "patients have. Intervals: 95 %, bootstrap over held-out patients.",
        "",
        f"| condition | {' | '.join(shown)} |",
        f"|---|{'---|' * len(shown)}",
    ]
    for condition in results[REAL]:
        lines.append(f"| {condition} | {' | '.join(text_of(results[name][condition], 2) for name in shown)} |")
    if f"equal, {EQUAL[0]}" in results:
        lines += [
            "",
            f"All else equal: {PAIRS} images of a man of 50, view PA, no finding, and as many from the same noise with "
            "one condition changed. AUC of the same probes between the two; intervals over noises.",
            "",
            f"| changed to | {' | '.join(EQUAL)} |",
            f"|---|{'---|' * len(EQUAL)}",
        ]
        for label in results[f"equal, {EQUAL[0]}"]:
            lines.append(f"| {label} | {' | '.join(text_of(results[f'equal, {name}'][label], 2) for name in EQUAL)} |")
    return lines


def main() -> None:
    """Measure, write the table and draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cohort", type=Path, required=True, help="prepared cohort, with train and holdout")
    parser.add_argument("--replicas", type=int, default=2, help="images for each held-out row")
    parser.add_argument("--results", type=Path, required=True, help="JSON with all figures so far")
    parser.add_argument("--out", type=Path, help="Markdown file; the section is replaced")
    parser.add_argument("--picture", type=Path, help="PNG to draw")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.picture is not None:
        picture(options.cohort).save(options.picture, optimize=True)
    results = measured(options)
    if f"equal, {EQUAL[-1]}" not in results:
        all_else_equal(options.cohort, results, options.results)
    write_section(options.out, "Diffusion: conditions asked for and shown", report(results, options.replicas))


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main()
