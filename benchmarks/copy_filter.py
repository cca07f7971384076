"""What the copy filter finds among generated images: planted copies, strangers, and honest draws.

python benchmarks/copy_filter.py --data DATA --results checkpoints/copy_filter.json --out benchmarks/RESULTS.md

The filter is set up on the training patients of a split, whose images are planted: as they are, changed, and encoded
and decoded by the shipped networks, which is what a synthesizer that repeats a training row gives. Held-out patients'
images, changed alike, are strangers: what rejects them is a false alarm. Beside them stand records of a synthesizer.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fusion_cohorts import read_split, shipped_codec
from results_file import keep_results, write_section

from monai_hybridsynth.fusion import ConditionalGaussianSynthesizer, latent_columns
from monai_hybridsynth.transforms.copy_changes import COPY_CHANGES
from monai_hybridsynth.workflows.copy_detector import CopyDetector, as_pixels

COHORTS = ("nih_cxr14_sample", "hannover_covid", "ct_ich")
COUNT, DRAWS = 100, 500
# Latents of a copy that a generator drew with some noise, as a share of each latent's standard deviation.
JITTERS = {
    "encoded and decoded": 0.0,
    "encoded, latents moved by 0.25 sd, decoded": 0.25,
    "encoded, latents moved by 0.50 sd, decoded": 0.5,
}


def figures(options: argparse.Namespace, cohort: str) -> dict[str, Any]:
    """Return by change the shares of planted copies and of strangers that are rejected, and of honest draws."""
    split, codec = read_split(options.data, cohort, 0, options.work), shipped_codec(cohort)
    images = split.train.images()
    latents = codec.encode(images)
    detector = CopyDetector(split.train.pixels, split.train.groups, rendered=as_pixels(codec.decode(latents)))
    alarms = detector.false_alarms
    found: dict[str, Any] = {
        "patients": int(split.train.num_groups),
        "stated": [alarms.value, alarms.low, alarms.high],
    }
    rng = np.random.default_rng(0)
    sides = [split.train.subset(rng.permutation(len(split.train))[:COUNT]), split.holdout]
    spread = latents.std(axis=0)
    shown: dict[str, list[np.ndarray]] = {name: [] for name in (*COPY_CHANGES, *JITTERS)}
    for side in sides:
        images = side.images()
        for name, change in COPY_CHANGES.items():
            shown[name].append(as_pixels(change(images)))
        latents = codec.encode(images)
        for name, jitter in JITTERS.items():
            noise = jitter * spread * rng.standard_normal(latents.shape)
            shown[name].append(as_pixels(codec.decode((latents + noise).astype(np.float32))))
    found["changes"] = {
        name: [float(detector.copies(pixels).mean()) for pixels in pair] for name, pair in shown.items()
    }
    plain = CopyDetector(split.train.pixels, split.train.groups)
    found["plain"] = {name: [float(plain.copies(pixels).mean()) for pixels in shown[name]] for name in JITTERS}
    synthesizer = ConditionalGaussianSynthesizer().fit(split.table(codec), split.train.cohort.schema, seed=0)
    records = synthesizer.sample(DRAWS, seed=1)
    drawn = as_pixels(codec.decode(records[latent_columns(records)].to_numpy(dtype=np.float32)))
    found["honest"] = float(detector.copies(drawn).mean())
    return found


def report(results: dict[str, Any]) -> list[str]:
    """Return the table."""
    heads = [f"{name}, {results[name]['patients']} patients" for name in COHORTS]
    lines = [
        "Share of planted copies rejected, and in brackets of held-out patients' images that were changed alike. The "
        "filter compares with training images and with their renderings by the generator; the rows without renderings "
        "compare with the images alone.",
        "",
        f"| generated images | {' | '.join(heads)} |",
        f"|---|{'---|' * len(COHORTS)}",
    ]
    for change in results[COHORTS[0]]["changes"]:
        lines.append(_line(change, [results[name]["changes"][change] for name in COHORTS]))
    for change in JITTERS:
        lines.append(_line(f"{change}; without renderings", [results[name]["plain"][change] for name in COHORTS]))
    honest = [f"{100 * results[name]['honest']:.1f} %" for name in COHORTS]
    lines.append(f"| {DRAWS} records of the Gaussian synthesizer | {' | '.join(honest)} |")
    stated = [[100 * part for part in results[name]["stated"]] for name in COHORTS]
    cells = [f"{value:.1f} % [{low:.1f}, {high:.1f}]" for value, low, high in stated]
    lines.append(f"| false alarms as the manifest states them | {' | '.join(cells)} |")
    return lines


def _line(name: str, pairs: list[list[float]]) -> str:
    cells = [f"{100 * copies:.0f} % ({100 * strangers:.1f} %)" for copies, strangers in pairs]
    return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    """Measure what is not yet in the results, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the real cohorts")
    parser.add_argument("--work", type=Path, default=Path("runs/fusion_splits"), help="folder for the splits")
    parser.add_argument("--results", type=Path, required=True, help="JSON with all figures so far")
    parser.add_argument("--out", type=Path, help="Markdown file; the section is replaced")
    options = parser.parse_args()
    torch.set_num_threads(1)
    results = json.loads(options.results.read_text()) if options.results.exists() else {}
    for cohort in COHORTS:
        if cohort not in results:
            results[cohort] = figures(options, cohort)
            keep_results(options.results, results)
    write_section(options.out, "Copy filter", report(results))


if __name__ == "__main__":
    main()
