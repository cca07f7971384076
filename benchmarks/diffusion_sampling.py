"""How good images are after few network evaluations, by solver: the shipped weights, the same noise for all.

python benchmarks/diffusion_sampling.py --cohort PREPARED --results checkpoints/diffusion_sampling.json \
    --out benchmarks/RESULTS.md --plot bundles/cxr_conditional_ddpm/docs/evaluations.png

Quality is the kernel distance, in untrained features, of images drawn for training rows from the real training images,
beside that of held-out patients' images. Every setting draws the same rows from the same noise, so settings are
compared image by image. PREPARED is the folder of `python -m monai_hybridsynth prepare`.
"""

from __future__ import annotations

import argparse
import time
import warnings
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from alpha_gan_quality import in_batches
from conditional_sampling import text_of
from diffusion_bundle import bundle_config, drawn
from results_file import keep_results, write_section

from monai_hybridsynth.data import read_cohort
from monai_hybridsynth.features import RandomConvolutionFeatures
from monai_hybridsynth.metrics import half_samples, interval, kernel_distance
from monai_hybridsynth.transforms import load_images

SOLVERS = {  # name: scheduler of diffusers, spacing of the timesteps
    "DDIM, trailing": ("DDIMScheduler", "trailing"),
    "DPM-Solver++, log-SNR": ("DPMSolverMultistepScheduler", "log_snr"),
    "UniPC, log-SNR": ("UniPCMultistepScheduler", "log_snr"),
}
EVALUATIONS = (5, 8, 10, 15, 20, 50, 100, 200)
REFERENCE, FLOOR = "DDIM, trailing 200", "held-out patients (floor)"
REPLICATES, SIZE, SCALE = 500, 32, 1000.0
Row = dict[str, Any]


def images_of(folder: Path) -> torch.Tensor:
    """Return the real images of a cohort folder."""
    cohort = read_cohort(folder)
    return load_images(cohort.image_paths, cohort.schema.image, spatial_size=SIZE)


def draw(options: argparse.Namespace, solver: str, evaluations: int) -> torch.Tensor:
    """Draw every n-th training row by a solver."""
    name, spacing = SOLVERS[solver]
    overrides = {
        "rows": list(range(0, options.every * options.images, options.every)),
        "sampling_scheduler#_target_": f"diffusers.{name}",
        "inferer#spacing": spacing,
        "num_inference_steps": evaluations,
    }
    parser = bundle_config(options.cohort / "train", **overrides)
    images = drawn(parser)[1]
    assert parser.get_parsed_content("inferer").network_evaluations == evaluations
    return images


def halved_distances(features: torch.Tensor, real: torch.Tensor) -> np.ndarray:
    """Return the kernel distance of all images and of random halves of them, shape ``(1 + REPLICATES,)``."""
    halves = half_samples(len(features), REPLICATES, seed=0)
    parts = [features, *(features[torch.from_numpy(half)] for half in halves)]
    return SCALE * np.array([float(kernel_distance(part, real)) for part in parts])


def spanned(values: np.ndarray, count: int) -> list[float]:
    """Return the first of the values with the interval that the others give."""
    return [float(values[0]), *interval(float(values[0]), values[1:], num_groups=count)]


def measured(options: argparse.Namespace) -> dict[str, Row]:
    """Return the figures of every setting, drawing what is not yet kept; the cheap settings come first."""
    features, kept = RandomConvolutionFeatures(), options.results.with_suffix("")
    kept.mkdir(parents=True, exist_ok=True)
    real = in_batches(features, images_of(options.cohort / "train"))
    held_out = in_batches(features, images_of(options.cohort / "holdout"))
    results = {FLOOR: {"distance": spanned(halved_distances(held_out, real), len(held_out))}}
    images: dict[str, torch.Tensor] = {}
    for evaluations, solver in [(200, "DDIM, trailing"), *product(EVALUATIONS, SOLVERS)]:
        name = f"{solver} {evaluations}"
        path = kept / f"{name}.pt"
        if not path.exists():
            if evaluations > options.most and name != REFERENCE:
                continue
            start = time.perf_counter()
            torch.save(draw(options, solver, evaluations), path)
            print(name, f"{time.perf_counter() - start:.0f} s", flush=True)
        images[name] = torch.load(path, weights_only=True)
    halved = {name: halved_distances(in_batches(features, drawn_), real) for name, drawn_ in images.items()}
    for name, values in halved.items():
        count = len(images[name])
        results[name] = {
            "distance": spanned(values, count),
            "beyond": spanned(values - halved[REFERENCE], count),
            "change": float((images[name] - images[REFERENCE]).abs().mean()),
        }
    keep_results(options.results, results)
    return results


def report(results: dict[str, Row], images: int) -> list[str]:
    """Return the table."""
    lines = [
        f"{SIZE} pixels, guidance 1, {images} training rows, the same noise for all. Kernel distance to the real "
        f"training images in untrained features, x {SCALE:.0f}; difference to DDIM with 200 evaluations; mean absolute "
        "difference of pixels in [-1, 1] from its images. Intervals: 95 %, random halves of the drawn images; those of "
        "the differences are paired.",
        "",
        "| images | kernel distance | difference to DDIM 200 | pixels |",
        "|---|---|---|---|",
        f"| {FLOOR} | {text_of(results[FLOOR]['distance'])} | | |",
    ]
    for name in (f"{solver} {evaluations}" for solver, evaluations in product(SOLVERS, EVALUATIONS)):
        if name in results:
            row = results[name]
            beyond = "" if name == REFERENCE else text_of(row["beyond"])
            lines.append(f"| {name} | {text_of(row['distance'])} | {beyond} | {row['change']:.4f} |")
    return lines


def plot(results: dict[str, Row], path: Path) -> None:
    """Draw kernel distance against evaluations, a line per solver, the floor as a band."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(5.2, 3.4), dpi=120)
    for marker, solver in zip("os^", SOLVERS, strict=True):
        steps = [count for count in EVALUATIONS if f"{solver} {count}" in results]
        value, low, high = np.array([results[f"{solver} {count}"]["distance"] for count in steps]).T
        axes.errorbar(steps, value, [value - low, high - value], marker=marker, capsize=2, label=solver)
    value, low, high = results[FLOOR]["distance"]
    axes.axhspan(low, high, color="#bbbbbb", alpha=0.5, label="real images of held-out patients")
    axes.axhline(value, color="#777777", linewidth=1)
    axes.set(xscale="log", xlabel="network evaluations", ylabel=f"kernel distance x {SCALE:.0f}")
    axes.set_xticks(EVALUATIONS, [str(count) for count in EVALUATIONS])
    axes.minorticks_off()
    axes.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, metadata={"Software": None})


def main() -> None:
    """Draw, measure, write the table and the plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cohort", type=Path, required=True, help="prepared cohort, with train and holdout")
    parser.add_argument("--images", type=int, default=120, help="images of every setting")
    parser.add_argument("--every", type=int, default=4, help="every n-th training row is drawn")
    parser.add_argument("--most", type=int, default=200, help="evaluations of the longest setting beside DDIM 200")
    parser.add_argument("--results", type=Path, required=True, help="JSON of the figures; images are kept beside it")
    parser.add_argument("--out", type=Path, help="Markdown file; the section is replaced")
    parser.add_argument("--plot", type=Path, help="PNG to draw")
    options = parser.parse_args()
    torch.set_num_threads(1)
    results = measured(options)
    if options.plot is not None:
        plot(results, options.plot)
    write_section(options.out, "Diffusion: quality against network evaluations", report(results, options.images))


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main()
