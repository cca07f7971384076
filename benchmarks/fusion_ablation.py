"""What pairing and privacy of synthetic records depend on: latent size, volume, cohort size, and the cohort itself.

python benchmarks/fusion_ablation.py --data DATA --pool POOL --alpha-gans checkpoints/alpha_gan_32 \
    --results checkpoints/fusion_ablation.json --plots bundles/hybrid_record_synthesis/docs --out benchmarks/RESULTS.md

Latent size: an alphaGAN is trained on POOL at 32 pixels for every size, with an equal number of epochs (those in
``--alpha-gans`` are taken, and unfinished ones go on), beside as many principal components of the same images. All
else uses the shipped weights at 64 pixels. Seed s splits the patients and draws. What is measured is kept in
``--results``; the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from alpha_gan_quality import bootstrap, kernel_distance, pooled_scores, probes
from fusion_cohorts import (
    Figures,
    ImageCodec,
    Split,
    alpha_gan_codec,
    averaged,
    cell_text,
    component_codec,
    judged_figures,
    membership_figures,
    public_encoder,
    read_split,
    shipped_codec,
)
from fusion_plots import write_plots
from monai.metrics import SSIMMetric
from results_file import keep_results, write_section

from monai_hybridsynth.data import read_image_pool
from monai_hybridsynth.evaluation.judged_cohort import JudgedCohort
from monai_hybridsynth.evaluation.prediction_targets import prediction_targets, target_matrix
from monai_hybridsynth.features import RandomConvolutionFeatures
from monai_hybridsynth.fusion import ConditionalGaussianSynthesizer, CTGANSynthesizer, JointFlowSynthesizer
from monai_hybridsynth.transforms import load_images

SYNTHESIZERS: dict[str, Callable[..., Any]] = {
    "Gaussian": ConditionalGaussianSynthesizer,
    "flow": partial(JointFlowSynthesizer, progress=False),
    "CTGAN tuned": partial(CTGANSynthesizer, preset="tuned", progress=False),
}
# What takes longer to fit is measured once; ``fusion_comparison.py`` has its splits.
SEEDS = {"Gaussian": (0, 1, 2), "flow": (0,), "CTGAN tuned": (0,)}
SIZES, VOLUMES, PATIENTS = (16, 32, 64, 128, 256), (1, 2, 3, 5, 10), (100, 200, 300)
COHORTS = ("nih1000_64", "hannover_covid", "ct_ich")
NIH = public_encoder("nih_cxr14_sample")
PIXELS, TIMES, REPLICATES = 32, 5, 25
# Records of the NIH cohort in training (of 643, the others are held out), and records that attackers are shown.
ALL, ATTACKED = 480, 1000
FIGURES = (
    *(f"{way} {predictor}" for predictor in ("linear", "kernel") for way in ("forward", "reverse")),
    "membership image",
    "membership record",
)
# Mean absolute error of reconstructions, of a range of 2, that a training stays below unless it is stuck with averages
# from its first epoch on, as a few are; then it is begun again from the next seed, and the report says so.
STUCK, TRIALS = 0.2, 3
# As the shipped weights' last phases, shortened: a warm-up without the discriminator, then with it.
TRAINING = {
    "max_epochs": "40",
    "warmup_epochs": "32",
    "rate_by_epoch": "$lambda epoch: 2.5 if epoch < 20 else max(0.4, 2.5 * (1 - (epoch - 20) / 14)) if epoch < 32 "
    "else max(0.02, 1 - (epoch - 32) / 8)",
    "code_weight": "0.1",
    "learning_rate": "0.0004",
    "critic_learning_rate": "0.0002",
    "reconstruction_weight": "90.0",
    "spectral_weight": "1200.0",
    "image_weight": "0.2",
    "early_stop_patience": "1000",
    "amp": "True",
}


class Ablation:
    """Measures cell by cell and keeps what it has measured."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.synthesizers = {name: SYNTHESIZERS[name] for name in options.synthesizers}
        self.results: dict[str, Any] = self._kept_results()

    def _kept_results(self) -> dict[str, Any]:
        """Return all cells on disk; other processes may have measured some."""
        path: Path = self.options.results
        return json.loads(path.read_text()) if path.exists() else {}

    def once(self, key: str, work: Callable[..., Figures], *arguments: Any) -> None:
        """Measure a cell unless it is known."""
        if key not in self.results:
            start = time.perf_counter()
            found = work(*arguments)
            self.results = self._kept_results() | {key: found}
            keep_results(self.options.results, self.results)
            print(f"{key}: {time.perf_counter() - start:.0f} s", flush=True)

    def lacks(self, keys: list[str]) -> bool:
        """Return whether one of the cells is not measured yet."""
        return any(key not in self.results for key in keys)

    def split(self, name: str, seed: int, *, spatial_size: int = 64) -> Split:
        """Return a cohort split with ``seed``."""
        return read_split(self.options.data, name, seed, self.options.work, spatial_size=spatial_size)

    def latent_sizes(self) -> None:
        """Measure every latent size with a retrained alphaGAN and with principal components."""
        for size in SIZES:
            for decoder in ("alphaGAN", "PCA"):
                keys = [f"size {decoder} {size} {seed}" for seed in range(3)] + [f"kept {decoder} {size}"]
                if not self.lacks(keys):
                    continue
                codec = self._codec(decoder, size)
                self.once(keys[-1], self._kept, codec)
                for seed in range(3):
                    self.once(keys[seed], self._sized, codec, seed)

    def _sized(self, codec: ImageCodec, seed: int) -> Figures:
        split = self.split("nih_cxr14_sample", seed, spatial_size=PIXELS)
        synthesizer = ConditionalGaussianSynthesizer().fit(split.table(codec), split.train.cohort.schema, seed=seed)
        return _figures(split, split.sample(synthesizer, codec, TIMES * len(split.train), seed=seed + 1), seed)

    def _kept(self, codec: ImageCodec) -> Figures:
        test = pool_images(self.options.pool)[1]
        made = codec.decode(codec.encode(test)).clamp(-1, 1)
        ssim = SSIMMetric(2, data_range=2.0)
        ssim(made, test)
        distance = kernel_distance(RandomConvolutionFeatures(), made, test)
        split = self.split("nih_cxr14_sample", 0, spatial_size=PIXELS)
        return {
            "L1": [float((made - test).abs().mean())],
            "SSIM": [float(ssim.aggregate())],
            "kernel distance": [distance],
            "information": _information(split, codec),
        }

    def _codec(self, decoder: str, size: int) -> ImageCodec:
        if decoder == "PCA":
            return component_codec(pool_images(self.options.pool)[0], size)
        test = pool_images(self.options.pool)[1]
        for seed in range(TRIALS):
            folder = self.options.alpha_gans / (f"latent_{size}" + (f"_seed_{seed}" if seed else ""))
            if not (folder / "done").exists():
                _train_alpha_gan(self.options.pool, folder, size, seed)
            files = (folder / "models" / name for name in ("encoder.pt", "model.pt"))
            codec = alpha_gan_codec(*files, spatial_size=PIXELS, latent_dim=size)
            error = float((codec.decode(codec.encode(test)).clamp(-1, 1) - test).abs().mean())
            if error < STUCK:
                break
            self.once(f"stuck {size} {seed}", lambda error=error: {"L1": [error]})
        return codec

    def volumes(self) -> None:
        """Measure a draw of each size; records drawn together are matched, so a part of a larger draw is worse."""
        for name, make in self.synthesizers.items():
            for seed in SEEDS[name]:
                keys = {volume: f"volume {name} {volume} {seed}" for volume in VOLUMES}
                usual = f"patients {name} {ALL} {seed}"
                if not self.lacks([*keys.values(), usual]):
                    continue
                split, codec = self.split("nih_cxr14_sample", seed), shipped_codec("nih_cxr14_sample")
                count = len(split.train)
                synthesizer = make(public_encoder=NIH).fit(split.table(codec), split.train.cohort.schema, seed=seed)
                for volume, key in keys.items():
                    drawn = split.sample(synthesizer, codec, volume * count, seed=seed + 1)
                    self.once(key, _figures, split, drawn, seed, split.train, len(drawn))
                    if volume == TIMES:
                        self.once(usual, _figures, split, drawn, seed, split.train, ATTACKED)

    def cohort_sizes(self) -> None:
        """Fit on parts of the training patients; the ruler stays what all training patients teach."""
        codec = shipped_codec("nih_cxr14_sample")
        for name, make in {"real records": None, **self.synthesizers}.items():
            for seed in SEEDS.get(name, (0, 1, 2)):
                for count in PATIENTS:
                    self.once(f"patients {name} {count} {seed}", self._part, make, codec, seed, count)

    def _part(self, make: Callable[[], Any] | None, codec: ImageCodec, seed: int, count: int) -> Figures:
        split = self.split("nih_cxr14_sample", seed)
        names, codes = np.unique(split.train.groups, return_inverse=True)
        chosen = np.random.default_rng(seed).permutation(len(names))
        place = np.argsort(chosen)[codes]
        # Whole patients, until there are `count` records.
        order = np.argsort(place, kind="stable")
        last = place[order[min(count, len(order)) - 1]]
        part = split.train.subset(np.flatnonzero(place <= last))
        if make is None:
            found = judged_figures(split.train, split.holdout, part, seed=seed, num_replicates=REPLICATES)
            return {name: values for name, values in found.items() if name.startswith("forward")}
        table = Split(part, split.holdout, split.embeddings).table(codec)
        synthesizer = make(public_encoder=NIH).fit(table, split.train.cohort.schema, seed=seed)
        drawn = split.sample(synthesizer, codec, TIMES * len(split.train), seed=seed + 1)
        return _figures(split, drawn, seed, part)

    def other_cohorts(self) -> None:
        """Measure the same figures on further cohorts."""
        for cohort in COHORTS:
            codec = shipped_codec(cohort)
            for name in self.synthesizers:
                for seed in SEEDS[name]:
                    self.once(f"cohort {cohort} {name} {seed}", self._other, cohort, name, codec, seed)

    def _other(self, cohort: str, name: str, codec: ImageCodec, seed: int) -> Figures:
        split = self.split(cohort, seed)
        synthesizer = SYNTHESIZERS[name](public_encoder=public_encoder(cohort)).fit(
            split.table(codec), split.train.cohort.schema, seed=seed
        )
        return _figures(split, split.sample(synthesizer, codec, TIMES * len(split.train), seed=seed + 1), seed)

    def mean(self, start: str) -> Figures:
        """Return the mean over the seeds of a cell."""
        return averaged([self.results[f"{start} {seed}"] for seed in range(3) if f"{start} {seed}" in self.results])


def _figures(
    split: Split, drawn: JudgedCohort, seed: int, members: JudgedCohort | None = None, attacked: int | None = None
) -> Figures:
    """Return agreement and membership of one synthetic cohort; attackers see as many records as a demo writes."""
    found = judged_figures(split.train, split.holdout, drawn, seed=seed, num_replicates=REPLICATES)
    seen = drawn.limited(attacked or ATTACKED, seed=seed)
    return found | membership_figures(members or split.train, split.holdout, seen, seed=seed)


@cache
def pool_images(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the pool's images for training and those that `train.json` sets aside, at 32 pixels."""
    pool = read_image_pool(folder, validation_images=500, seed=0)
    train, test = (
        load_images([record["image"] for record in records], pool.image, spatial_size=PIXELS)
        for records in (pool.training, pool.validation)
    )
    return train, test


def _information(split: Split, codec: ImageCodec) -> list[float | None]:
    """Return the share of the probes' summed gain over chance that is left after encode-decode, with its interval."""
    images = torch.cat([split.train.images(), split.holdout.images()])
    real, decoded = images.flatten(1).numpy(), codec.decode(codec.encode(images)).flatten(1).numpy()
    sides = (split.train, split.holdout)
    schema = split.train.cohort.schema
    targets = [t for t in prediction_targets(schema, schema.target_names, split.train.table) if t.is_binary]
    values = np.concatenate([target_matrix(targets, side.table) for side in sides])
    groups = np.concatenate([side.groups for side in sides])
    model, draws, rng = probes()["linear"], [], np.random.default_rng(0)
    for outcome in values.T.astype(int):
        if min(len(np.unique(groups[outcome == level])) for level in (0, 1)) < 15:
            continue
        scores = pooled_scores(model, real, decoded, outcome, groups)
        every = bootstrap(scores, outcome, groups, rng)
        if np.percentile(every[:, 0], 2.5) > 0.5:
            draws.append(every - 0.5)
    gained = np.sum(draws, axis=0)
    shares = gained[:, 1] / gained[:, 0]
    return [float(value) for value in (np.median(shares), *np.percentile(shares, [2.5, 97.5]))]


def _train_alpha_gan(pool: Path, folder: Path, size: int, seed: int) -> None:
    """Train with the bundle; a training that was stopped goes on."""
    bundle = Path(__file__).resolve().parents[1] / "bundles" / "cxr_alpha_gan"
    settings = {"dataset_dir": pool, "output_dir": folder, "spatial_size": PIXELS, "latent_dim": size}
    settings |= {"seed": seed, **TRAINING}
    # The same images are set aside for every seed.
    settings["pool"] = (
        "$monai_hybridsynth.data.read_image_pool(@dataset_dir, validation_images=@validation_images, seed=0)"
    )
    arguments = [part for name, value in settings.items() for part in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "monai.bundle", "run", "--bundle_root", str(bundle)]
    subprocess.run([*command, "--config_file", str(bundle / "configs" / "train.json"), *arguments], check=True)
    (folder / "done").touch()


def report(ablation: Ablation) -> list[str]:
    """Return the tables in Markdown."""
    heads = " | ".join(f"{name} AUROC" if name.startswith("membership") else name for name in FIGURES)

    def table(title: str, first: str, starts: dict[str, str]) -> list[str]:
        lines = [f"**{title}**", "", f"| {first} | {heads} |", "|---" * (len(FIGURES) + 1) + "|"]
        for label, start in starts.items():
            found = ablation.mean(start)
            if found:
                texts = [cell_text(found[name]) if name in found else "" for name in FIGURES]
                lines.append(f"| {label} | {' | '.join(texts)} |")
        return [*lines, ""]

    lines = [
        "Agreement (0: no link between image and row, 1: that of real pairs) of decoded images with rows, over all "
        "columns; membership is the attack that was strongest on other patients (.5: guessing). Values and 95 % limits "
        "over patients are averaged over three splits (flow and CTGAN: one), so the limits are those of one split.",
        "",
        "**Latent size, 32 pixels**: reconstruction of 500 pool images not trained on, and the share of the gain of "
        "probes on NIH images that is left after encode-decode",
        "",
        "| decoder | latents | L1 | SSIM | kernel distance x 1000 | information kept |",
        "|---|---|---|---|---|---|",
    ]
    for decoder in ("alphaGAN", "PCA"):
        for size in SIZES:
            kept = ablation.results.get(f"kept {decoder} {size}")
            if kept:
                numbers = f"{kept['L1'][0]:.3f} | {kept['SSIM'][0]:.3f} | {1000 * kept['kernel distance'][0]:.3f}"
                lines.append(f"| {decoder} | {size} | {numbers} | {cell_text(kept['information'])} |")
    for key, found in ablation.results.items():
        if key.startswith("stuck"):
            _, size, seed = key.split()
            lines += [
                "",
                f"alphaGAN of {size} latents: the training from seed {seed} was stuck (L1 {found['L1'][0]:.3f}).",
            ]
    sized = {f"{decoder} {size}": f"size {decoder} {size}" for decoder in ("alphaGAN", "PCA") for size in SIZES}
    lines += ["", *table("Latent size, 32 pixels, Gaussian synthesizer, NIH, 5 times the records", "decoder", sized)]
    drawn = {f"{name}, {volume}x": f"volume {name} {volume}" for name in SYNTHESIZERS for volume in VOLUMES}
    lines += table("Volume, NIH, 64 pixels", "synthesizer", drawn)
    fitted = {
        f"{name}, {count}": f"patients {name} {count}"
        for name in ("real records", *SYNTHESIZERS)
        for count in (*PATIENTS, ALL)
    }
    lines += table("Records fitted on, NIH, 64 pixels; 1 is what all training patients' real pairs teach", "", fitted)
    others = {f"{cohort}, {name}": f"cohort {cohort} {name}" for cohort in COHORTS for name in SYNTHESIZERS}
    return lines + table("Other cohorts, 64 pixels", "cohort, synthesizer", others)


def main() -> None:
    """Measure what is not measured yet; write tables and plots."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the real cohorts")
    parser.add_argument("--pool", type=Path, required=True, help="images that encoders are trained on")
    parser.add_argument("--alpha-gans", type=Path, required=True, help="folder of the retrained alphaGANs")
    parser.add_argument("--work", type=Path, default=Path("runs/fusion_splits"), help="folder for the splits")
    parser.add_argument("--results", type=Path, required=True, help="JSON with all cells so far")
    parser.add_argument("--studies", nargs="*", default=["volumes", "cohort_sizes", "other_cohorts", "latent_sizes"])
    parser.add_argument("--synthesizers", nargs="*", default=list(SYNTHESIZERS), choices=list(SYNTHESIZERS))
    parser.add_argument("--plots", type=Path, help="folder for the plots")
    parser.add_argument("--out", type=Path, help="Markdown file; the section is replaced")
    options = parser.parse_args()
    ablation = Ablation(options)
    for study in options.studies:
        getattr(ablation, study)()
    write_section(options.out, "Ablations of the fusion", report(ablation))
    if options.plots is not None:
        write_plots(ablation.results, options.plots)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main()
