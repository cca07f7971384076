"""Write `encoder_public.safetensors` of a shipped alphaGAN, and measure how well its fingerprints tell images apart.

python benchmarks/encoder_pool.py --pool POOL --weights bundles/cxr_alpha_gan/models/model.pt --out ENCODER_PUBLIC \
    --twins MEDNIST/twins_of_cohorts.csv --cohort NIH --cohort HANNOVER --results benchmarks/RESULTS.md
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from results_file import write_section
from safetensors.numpy import load_file

from monai_hybridsynth.data import read_cohort
from monai_hybridsynth.networks import AlphaGanEncoder, AlphaGanGenerator
from monai_hybridsynth.transforms.perceptual_hash import hash_distances, perceptual_hashes
from monai_hybridsynth.workflows import CohortImages
from monai_hybridsynth.workflows.public_encoder import LARGEST_DISTANCE, write_public_encoder

SIZE, LATENTS, CHANGED = 64, 128, 300


class PoolImages(CohortImages):
    """The images of a pool without its phantoms."""

    def __init__(self, folder: Path, keep: set[str] | None = None) -> None:
        super().__init__(read_cohort(folder), spatial_size=SIZE)
        paths = self.cohort.image_paths
        self.places = [
            place
            for place, path in enumerate(paths)
            if "phantom" not in path.parts and (keep is None or path.relative_to(folder).as_posix() in keep)
        ]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return super().__getitem__(self.places[index])


def hashes(images: CohortImages) -> np.ndarray:
    """Return the fingerprints of a cohort's images."""
    return np.concatenate([perceptual_hashes(images[place]["image"][:1].numpy()) for place in range(len(images))])


def changed_copies(images: CohortImages, edge: int) -> np.ndarray:
    """Return fingerprints of pool images, rescaled, JPEG of quality 60, 2 % noise, ``edge`` of 128 pixels cut off."""
    rng, hashed = np.random.default_rng(0), []
    for place in rng.permutation(len(images))[:CHANGED]:
        grey = ((images[int(place)]["image"][0].numpy() + 1) * 127.5).clip(0, 255).astype(np.uint8)
        larger = Image.fromarray(grey).resize((2 * SIZE, 2 * SIZE), Image.Resampling.BICUBIC)
        larger = larger.crop((edge, edge, 2 * SIZE - edge, 2 * SIZE - edge))
        stream = io.BytesIO()
        larger.save(stream, "JPEG", quality=60)
        smaller = np.asarray(Image.open(stream).resize((SIZE, SIZE), Image.Resampling.BICUBIC), dtype=float)
        hashed.append(perceptual_hashes((smaller + rng.normal(0, 5, smaller.shape))[None]))
    return np.concatenate(hashed)


def main() -> None:
    """Write the file, then the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pool", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True, help="of the generator; the encoder's lie beside it")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--twins", type=Path, help="CSV of pool images (left out of training) that cohorts hold too")
    parser.add_argument("--cohort", type=Path, action="append", default=[], help="cohort without any image of the pool")
    parser.add_argument("--largest-distance", type=int, default=LARGEST_DISTANCE, help="bits")
    parser.add_argument("--results", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    generator = AlphaGanGenerator(2, 1, SIZE, LATENTS, channels=32)
    generator.load_state_dict(torch.load(options.weights, map_location="cpu", weights_only=True))
    encoder = AlphaGanEncoder(2, 1, SIZE, LATENTS, channels=32)
    beside = options.weights.with_name(options.weights.name.replace("model", "encoder"))
    encoder.load_state_dict(torch.load(beside, map_location="cpu", weights_only=True))
    limit = options.largest_distance
    images = PoolImages(options.pool)
    write_public_encoder(options.out, images, encoder, generator, latent_dim=LATENTS, largest_distance=limit)
    pool = load_file(options.out)["hashes"]
    cohorts = {path.name: hashes(CohortImages(read_cohort(path), spatial_size=SIZE)) for path in options.cohort}
    lines = [
        f"{len(pool)} images of the pool. An image counts as seen at {limit} of 255 bits or fewer.",
        "",
        "| images | number | nearest, median and least bits | counted as seen |",
        "|---|---|---|---|",
    ]
    rows = {name: hash_distances(found, pool) for name, found in cohorts.items()}
    if options.twins:
        known = set(pd.read_csv(options.twins)["image"])
        twins = hashes(PoolImages(options.twins.parent, known))
        rows["twins of the cohorts, against the cohorts"] = hash_distances(
            twins, np.concatenate(list(cohorts.values()))
        )
    for edge, words in ((0, "rescaled, JPEG, noise"), (4, "the same and 3 % cropped a side")):
        rows[f"{CHANGED} images of the pool, {words}"] = hash_distances(changed_copies(images, edge), pool)
    for name, found in rows.items():
        share = f"{100 * (found <= limit).mean():.1f} %"
        lines.append(f"| {name} | {len(found)} | {np.median(found):.0f}, {found.min()} | {share} |")
    write_section(options.results, f"Fingerprints of the pool of {options.weights.name}", lines)


if __name__ == "__main__":
    main()
