"""How good an alphaGAN's reconstructions are, and what they keep of the clinical information in real images.

python benchmarks/alpha_gan_quality.py --pool POOL --weights bundles/cxr_alpha_gan/models \
    --cohort "COHORT:View Position,Patient Gender" --out benchmarks/RESULTS.md --title "Chest alphaGAN"

Part one reconstructs the pool's validation images (never trained on) and compares them with a PCA of as many components
fitted on the pool's training images: L1 on [-1, 1], SSIM (data range 2), kernel distance in untrained features. Part
two trains probes on real images of other cohorts, and tests them on held-out patients before and after encode-decode.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from monai.metrics import SSIMMetric
from results_file import write_section
from sklearn.decomposition import PCA
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from monai_hybridsynth.data import read_cohort, read_image_pool
from monai_hybridsynth.evaluation.prediction_targets import prediction_targets, target_matrix
from monai_hybridsynth.features import RandomConvolutionFeatures
from monai_hybridsynth.inferers import draw_codes
from monai_hybridsynth.metrics import KernelDistanceMetric, weighted_auroc
from monai_hybridsynth.networks import AlphaGanAutoencoder, AlphaGanEncoder, AlphaGanGenerator
from monai_hybridsynth.transforms import load_images

SIZE, LATENTS = 64, 128
REPLICATES = 1000


def load_autoencoder(weights: Path, suffix: str) -> AlphaGanAutoencoder:
    """Build the shipped networks."""
    network = AlphaGanAutoencoder(AlphaGanEncoder(2, 1, SIZE, LATENTS), AlphaGanGenerator(2, 1, SIZE, LATENTS)).eval()
    network.encoder.load_state_dict(torch.load(weights / f"encoder{suffix}.pt", weights_only=True))
    network.generator.load_state_dict(torch.load(weights / f"model{suffix}.pt", weights_only=True))
    return network


@torch.no_grad()
def in_batches(network: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Run a network over many images."""
    return torch.cat([network(batch) for batch in images.split(200)])


def kernel_distance(features: torch.nn.Module, first: torch.Tensor, second: torch.Tensor) -> float:
    """Return the kernel distance of two image sets."""
    metric = KernelDistanceMetric()
    metric(in_batches(features, first), in_batches(features, second))
    return float(metric.aggregate())


def reconstruction_table(network: AlphaGanAutoencoder, pool_folder: Path, validation_images: int) -> list[str]:
    """Return the lines of the first table."""
    pool = read_image_pool(pool_folder, validation_images=validation_images, seed=0)
    train, test = (
        load_images([record["image"] for record in records], pool.image, spatial_size=SIZE)
        for records in (pool.training, pool.validation)
    )
    pca = PCA(LATENTS, svd_solver="randomized", random_state=0).fit(train.flatten(1).numpy())
    blurred = pca.inverse_transform(pca.transform(test.flatten(1).numpy()))
    made = {
        "alphaGAN, reconstructed": in_batches(network, test),
        f"PCA, {LATENTS} components": torch.from_numpy(blurred).view_as(test).clamp(-1, 1).float(),
    }
    features = RandomConvolutionFeatures()
    lines = [
        f"{len(test)} pool images not trained on, {len(train)} trained on.",
        "",
        "| | L1 | SSIM | kernel distance x 1000 |",
        "|---|---|---|---|",
    ]
    for name, images in made.items():
        ssim = SSIMMetric(2, data_range=2.0)
        ssim(images, test)
        row = ((images - test).abs().mean().item(), ssim.aggregate().item(), kernel_distance(features, images, test))
        lines.append(f"| {name} | {row[0]:.4f} | {row[1]:.3f} | {1000 * row[2]:.4f} |")
    samples = in_batches(network.generator, draw_codes(len(test), LATENTS, seed=0))
    floor = kernel_distance(features, train[torch.randperm(len(train), generator=seeded())[: len(test)]], test)
    lines.append(f"| alphaGAN, drawn from the prior | | | {1000 * kernel_distance(features, samples, test):.4f} |")
    lines.append(f"| floor: other real images | | | {1000 * floor:.4f} |")
    return lines


def seeded() -> torch.Generator:
    """Return a generator with a fixed seed."""
    return torch.Generator().manual_seed(0)


def probes() -> dict[str, object]:
    """Return the two judges: a linear one and a kernel one, on principal components of pixels."""
    linear = LogisticRegression(C=0.01, max_iter=2000)
    kernel = make_pipeline(Nystroem(n_components=200, random_state=0), LogisticRegression(C=1.0, max_iter=2000))
    return {"linear": linear, "kernel": kernel}


def pooled_scores(model, real: np.ndarray, decoded: np.ndarray, outcome: np.ndarray, patients: np.ndarray):
    """Cross-fit over patients: trained on real images, tested on both versions of held-out patients."""
    scores = np.full((2, len(outcome)), np.nan)
    for train, test in GroupKFold(5, shuffle=True, random_state=0).split(real, outcome, patients):
        if len(np.unique(outcome[train])) < 2:
            continue
        pca = PCA(min(64, len(train) - 1), whiten=False, random_state=0).fit(real[train])
        scale = StandardScaler().fit(pca.transform(real[train]))
        model.fit(scale.transform(pca.transform(real[train])), outcome[train])
        for row, images in enumerate((real, decoded)):
            scores[row, test] = model.predict_proba(scale.transform(pca.transform(images[test])))[:, 1]
    return scores


def information_rows(network: AlphaGanAutoencoder, folder: Path, columns: list[str]) -> list[str]:
    """Return one line per column and probe: AUROC before and after, and the gain kept, with patient intervals."""
    cohort = read_cohort(folder)
    images = load_images(cohort.image_paths, cohort.schema.image, spatial_size=SIZE)
    real, decoded = images.flatten(1).numpy(), in_batches(network, images).flatten(1).numpy()
    targets = [t for t in prediction_targets(cohort.schema, columns, cohort.table) if t.is_binary]
    values = target_matrix(targets, cohort.table)
    patients = cohort.table[cohort.schema.group_name].astype(str).to_numpy()
    rng = np.random.default_rng(0)
    lines, sums = [], {}
    for index, target in enumerate(targets):
        present = ~np.isnan(values[:, index])
        outcome, groups = values[present, index].astype(int), patients[present]
        positive = len(np.unique(groups[outcome == 1]))
        if min(positive, len(np.unique(groups[outcome == 0]))) < 15:
            continue
        for name, model in probes().items():
            scores = pooled_scores(model, real[present], decoded[present], outcome, groups)
            known = ~np.isnan(scores).any(0)
            aucs = np.array([roc_auc_score(outcome[known], row[known]) for row in scores])
            draws = bootstrap(scores[:, known], outcome[known], groups[known], rng)
            if np.nanpercentile(draws[:, 0], 2.5) > 0.5:
                sums.setdefault(name, []).append((aucs, draws))
            label = target.column if target.label is None else f"{target.column} = {target.label}"
            lines.append(f"| {folder.name} | {label} | {positive} | {name} | {cells(aucs, draws)} |")
    for name, parts in sums.items():
        aucs, draws = np.mean([p[0] for p in parts], 0), np.mean([p[1] for p in parts], 0)
        lines.append(f"| {folder.name} | **columns above chance, gains summed** | | {name} | {cells(aucs, draws)} |")
    return lines


def bootstrap(scores: np.ndarray, outcome: np.ndarray, groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return AUROCs before and after for resampled patients, shape ``(REPLICATES, 2)``."""
    names, codes = np.unique(groups, return_inverse=True)
    drawn = [rng.integers(0, len(names), len(names)) for _ in range(REPLICATES)]
    weights = np.stack([np.bincount(draw, minlength=len(names))[codes] for draw in drawn])
    return np.stack([weighted_auroc(values, outcome, weights) for values in scores], axis=-1)


def cells(aucs: np.ndarray, draws: np.ndarray) -> str:
    """Format two AUROCs and the share of the gain over chance that is kept."""
    low, high = np.nanpercentile((draws[:, 1] - 0.5) / (draws[:, 0] - 0.5), [2.5, 97.5])
    if np.nanpercentile(draws[:, 0], 2.5) <= 0.5:
        return f"{aucs[0]:.3f} | {aucs[1]:.3f} | not estimable: the real probe is not above chance"
    return f"{aucs[0]:.3f} | {aucs[1]:.3f} | {(aucs[1] - 0.5) / (aucs[0] - 0.5):.2f} [{low:.2f}, {high:.2f}]"


def main() -> None:
    """Measure and append the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pool", type=Path, required=True)
    parser.add_argument("--validation-images", type=int, default=500)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--suffix", default="")
    parser.add_argument("--cohort", action="append", default=[], help="FOLDER:COLUMN,COLUMN")
    parser.add_argument("--title", required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    network = load_autoencoder(options.weights, options.suffix)
    lines = reconstruction_table(network, options.pool, options.validation_images)
    lines += [
        "",
        "| cohort | column | positive patients | probe | AUROC real | after encode-decode | gain kept [95 %] |",
    ]
    lines += ["|---|---|---|---|---|---|---|"]
    for cohort in options.cohort:
        folder, columns = cohort.rsplit(":", 1)
        lines += information_rows(network, Path(folder), columns.split(","))
    write_section(options.out, f"{options.title}: reconstruction and information kept", lines)


if __name__ == "__main__":
    main()
