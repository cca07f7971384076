"""How far apart latents must be drawn for the decoded images to carry link and contrast as real ones do.

python benchmarks/link_gain.py --data ../shared/data --work checkpoints/link_gain --out benchmarks/RESULTS.md

The training patients of one split are split again, so that the patients held out there say nothing of this choice.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Iterable
from pathlib import Path

import torch
from fusion_cohorts import (
    SOURCES,
    averaged,
    cell_text,
    judged_figures,
    membership_figures,
    prepared_split,
    public_encoder,
    shipped_codec,
    split_of_folder,
)
from results_file import keep_results, write_section

from monai_hybridsynth.evaluation.image_fidelity import image_fidelity
from monai_hybridsynth.evaluation.metric_record import MetricRecord
from monai_hybridsynth.fusion import ConditionalGaussianSynthesizer
from monai_hybridsynth.workflows import prepare_cohort

# Gain of the means, and spread of everything.
SETTINGS = ((1.0, 1.0), (1.0, 1.2), (1.1, 1.2), (1.2, 1.0), (1.2, 1.1), (1.2, 1.2), (1.2, 1.3), (1.3, 1.2))
INNER_SPLITS = 3
VOLUME, LOOKED_AT = 5, 1000
COLUMNS = ("forward linear", "forward kernel", "reverse linear", "reverse kernel", "membership record")
# Figures of image fidelity, in components of the real training images' pixels and in untrained convolutions.
SPACES = {"judge": "pixels", "texture": "texture"}
FIDELITY = [
    f"{name} {space}"
    for space in SPACES.values()
    for name in ("kernel_distance", "frechet_distance", "recall", "coverage")
]
VARIANCE = "pixel variance, drawn / real"


def main() -> None:
    """Measure every setting on every inner split."""
    options = _arguments()
    torch.set_num_threads(1)
    outer = prepared_split(options.data, options.cohort, 0, options.work)
    codec = shipped_codec(options.cohort)
    kept = options.work / "results.json"
    cells = json.loads(kept.read_text()) if kept.is_file() else {}
    for seed in range(INNER_SPLITS):
        inner = options.work / options.cohort / f"inner_{seed}"
        if not (inner / "schema.json").is_file():
            prepare_cohort(outer / "train", inner, targets=SOURCES[options.cohort].targets, seed=seed)
        split = split_of_folder(inner)
        table = split.table(codec)
        for gain, spread in SETTINGS:
            key = _key(gain, spread, seed)
            if key in cells:
                continue
            known = public_encoder(options.cohort)
            fitted = ConditionalGaussianSynthesizer(link_gain=gain, image_spread=spread, public_encoder=known)
            fitted.fit(table, split.train.cohort.schema, seed=seed)
            made = split.sample(fitted, codec, VOLUME * len(table), seed=seed + 1)
            sides = (split.train, split.holdout, made)
            found = judged_figures(*sides, seed=seed, num_replicates=20)
            ratio = float(made.images().var(dim=0).mean() / split.train.images().var(dim=0).mean())
            images = image_fidelity(split.train, split.holdout, made.limited(LOOKED_AT, seed=seed), seed=seed).metrics
            cells[key] = found | membership_figures(*sides, seed=seed) | fidelity_figures(images) | {VARIANCE: [ratio]}
            keep_results(kept, cells)
    lines = [
        f"{options.cohort}: {INNER_SPLITS} splits of the training patients, five synthetic records each, averaged; "
        "intervals are those of one split.",
        "",
        f"| link gain | image spread | {' | '.join(COLUMNS)} |",
        "|---" * (len(COLUMNS) + 2) + "|",
    ]
    means = {setting: averaged([cells[_key(*setting, seed)] for seed in range(INNER_SPLITS)]) for setting in SETTINGS}
    for (gain, spread), mean in means.items():
        lines.append(f"| {gain} | {spread} | {' | '.join(cell_text(mean.get(name)) for name in COLUMNS)} |")
    lines += [
        "",
        f"What {LOOKED_AT} of the images are like, in components of the real training images' pixels and in untrained "
        "convolutions (texture); in brackets the same of held-out patients.",
        "",
        f"| link gain | image spread | {VARIANCE} | {' | '.join(FIDELITY)} |".replace("_", " "),
        "|---" * (len(FIDELITY) + 3) + "|",
    ]
    for (gain, spread), mean in means.items():
        texts = ["{:.2f} ({:.2f})".format(*mean[name]) for name in FIDELITY]
        lines.append(f"| {gain} | {spread} | {mean[VARIANCE][0]:.2f} | {' | '.join(texts)} |")
    write_section(options.out, "Link gain and image spread: drawn latents are decoded with less contrast", lines)


def fidelity_figures(metrics: Iterable[MetricRecord]) -> dict[str, list]:
    """Return value and floor of the figures of all images, by name and space."""
    found = {}
    for metric in metrics:
        name = f"{metric.name} {SPACES.get(str(metric.dimensions.get('features')))}"
        if name in FIDELITY and set(metric.dimensions) == {"features"}:
            found[name] = [metric.value, metric.floor]
    return found


def _key(gain: float, spread: float, seed: int) -> str:
    return f"{gain} {spread} {seed}"


def _arguments() -> argparse.Namespace:
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the cohort folders")
    parser.add_argument("--work", type=Path, required=True, help="folder of splits and results so far")
    parser.add_argument("--cohort", default="nih_cxr14_sample", choices=sorted(SOURCES))
    parser.add_argument("--out", type=Path, help="Markdown file; the section is replaced")
    return parser.parse_args()


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main()
