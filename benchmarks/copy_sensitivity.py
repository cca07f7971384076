"""Which changed copies of training images the evaluation finds, and how often it accuses strangers changed alike.

python benchmarks/copy_sensitivity.py --cohort COHORT --weights bundles/cxr_alpha_gan/models --title "Copies" \
    --out benchmarks/RESULTS.md

Without --cohort the embedded phantom is drawn. Patients are split; training images are changed, and so are images of
held-out patients, who copy nobody: what accuses them is a false alarm that the change itself causes. A copy counts as
found only if the measure also points at the right patient.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from results_file import write_section

from monai_hybridsynth.data import Cohort, read_cohort, split_patients, write_phantom_cohort
from monai_hybridsynth.evaluation.copies import ALLOWED_FALSE_ALARMS, nearest_training
from monai_hybridsynth.evaluation.judged_cohort import JudgedCohort, embed_cohort
from monai_hybridsynth.features import PixelPCA, RandomConvolutionFeatures
from monai_hybridsynth.metrics.copy_share import copy_rule
from monai_hybridsynth.networks import AlphaGanAutoencoder, AlphaGanEncoder, AlphaGanGenerator
from monai_hybridsynth.transforms import load_images
from monai_hybridsynth.transforms.copy_changes import COPY_CHANGES

SIZE, LATENTS = 64, 128
MEASURES = ("pixels", "judge", "texture", "any")
Change = Callable[[torch.Tensor], torch.Tensor]


def through_alpha_gan(weights: Path) -> Change:
    """Return encoding and decoding by the shipped networks."""
    network = AlphaGanAutoencoder(AlphaGanEncoder(2, 1, SIZE, LATENTS), AlphaGanGenerator(2, 1, SIZE, LATENTS)).eval()
    network.encoder.load_state_dict(torch.load(weights / "encoder.pt", weights_only=True))
    network.generator.load_state_dict(torch.load(weights / "model.pt", weights_only=True))

    @torch.no_grad()
    def change(images: torch.Tensor) -> torch.Tensor:
        return torch.cat([network(batch) for batch in images.split(100)]).clamp(-1, 1)

    return change


def sides_of(cohort: Cohort) -> tuple[JudgedCohort, JudgedCohort, PixelPCA, RandomConvolutionFeatures]:
    """Return train and holdout by patient, and both embeddings."""
    images = load_images(cohort.image_paths, cohort.schema.image, spatial_size=SIZE)
    whole = embed_cohort(cohort, lambda x: x.flatten(1)[:, :1], name="train", role="train", spatial_size=SIZE)
    held_out = (split_patients(list(whole.groups), seed=0) == "holdout").to_numpy()
    judge, texture = PixelPCA().fit(images[~held_out]), RandomConvolutionFeatures(images.shape[1])
    train, holdout = (
        embedded(whole.subset(np.flatnonzero(rows)), images[rows], judge, texture) for rows in (~held_out, held_out)
    )
    return train, holdout, judge, texture


def embedded(
    side: JudgedCohort, images: torch.Tensor, judge: PixelPCA, texture: RandomConvolutionFeatures
) -> JudgedCohort:
    """Return the cohort with these images, as they would be read from files."""
    pixels = ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    read = pixels.float() / 127.5 - 1
    spaces = {"texture": texture(read).double().numpy()}
    return replace(side, pixels=pixels.numpy(), features=judge(read).double().numpy(), spaces=spaces)


def sensitivity(
    cohort: Cohort, changes: Mapping[str, Change], *, count: int = 160, seed: int = 0
) -> dict[tuple[str, str], tuple[float, float]]:
    """Return, by change and measure, the share of changed copies found and of changed strangers accused."""
    train, holdout, judge, texture = sides_of(cohort)
    picked = np.random.default_rng(seed).permutation(len(train))[:count]
    copies, strangers = train.subset(picked), holdout
    parts = [holdout]
    for change in changes.values():
        parts += [embedded(side, change(side.images()), judge, texture) for side in (copies, strangers)]
    found = nearest_training(train, (joined(parts),))
    steps = np.cumsum([0, *(len(part) for part in parts)])
    accused, right = {}, {}
    for measure, (nearest,) in found.items():
        rule = copy_rule(nearest.contrast[: len(holdout)], holdout.groups, rate=ALLOWED_FALSE_ALARMS, seed=seed)
        accused[measure] = rule.accused(nearest.contrast)
        right[measure] = accused[measure] & np.isin(
            np.arange(len(nearest.index)), hits(train, picked, nearest.index, steps)
        )
    accused["any"], right["any"] = (np.any(list(part.values()), axis=0) for part in (accused, right))
    table = {}
    for place, name in enumerate(changes):
        copied, strange = (slice(steps[1 + 2 * place + k], steps[2 + 2 * place + k]) for k in (0, 1))
        for measure in MEASURES:
            table[name, measure] = float(right[measure][:, copied].mean()), float(accused[measure][:, strange].mean())
    return table


def hits(train: JudgedCohort, picked: np.ndarray, index: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Return the places of copies whose nearest training image is of the patient who was copied."""
    places = []
    for start in steps[1:-1:2]:
        rows = np.arange(start, start + len(picked))
        places.append(rows[train.groups[index[rows]] == train.groups[picked]])
    return np.concatenate(places)


def joined(parts: list[JudgedCohort]) -> JudgedCohort:
    """Return records of several cohorts as one, so that the bank is moved about once only."""
    rows = np.zeros(sum(len(part) for part in parts), dtype=int)
    return replace(
        parts[0].subset(rows),
        pixels=np.concatenate([part.pixels for part in parts]),
        features=np.concatenate([part.features for part in parts]),
        groups=np.concatenate([part.groups for part in parts]),
        spaces={"texture": np.concatenate([part.spaces["texture"] for part in parts])},
    )


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cohort", type=Path, help="cohort folder; the phantom without it")
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--title", required=True)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    changes = {**COPY_CHANGES, "encoded and decoded": through_alpha_gan(options.weights)}
    with tempfile.TemporaryDirectory() as folder:
        source = options.cohort or write_phantom_cohort(Path(folder) / "phantom", 640, seed=1, spatial_size=SIZE)
        table = sensitivity(read_cohort(source), changes)
    lines = [
        "Share of changed copies found (of the right patient), and in brackets the share of held-out patients' images,",
        f"changed the same way, that are accused. Threshold: {100 * ALLOWED_FALSE_ALARMS:.0f} % false alarms, or the "
        "closest held-out patient of a half.",
        "",
        f"| change | {' | '.join(MEASURES)} |",
        f"|---|{'---|' * len(MEASURES)}",
    ]
    for name in changes:
        cells = [f"{100 * table[name, m][0]:.0f} % ({100 * table[name, m][1]:.1f} %)" for m in MEASURES]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    write_section(options.out, f"{options.title}: sensitivity to changed copies", lines)


if __name__ == "__main__":
    main()
