"""How far CTGAN keeps the link between image and row: presets, latent sizes, pac and steps on one cohort.

python benchmarks/ctgan_pairing.py --cohort COHORT --pool POOL --exclude CSV --title "..." --results JSON --out MD \
    --judge "View Position" "Patient Gender" "Finding_Labels=No Finding" "Finding_Labels=Effusion" "Patient Age"

Latents are the principal components of the pool's images, or those of a trained encoder (``--encoder``). Configurations
are compared on inner splits of the training patients; the chosen ones are tested on patients that no choice has seen.
Every result is kept in ``--results`` as soon as it is there; the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from results_file import keep_results, write_section
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from monai_hybridsynth.data import Cohort, read_cohort
from monai_hybridsynth.fusion import CTGANSynthesizer, IndependentSynthesizer, latent_columns
from monai_hybridsynth.networks import AlphaGanEncoder
from monai_hybridsynth.transforms import RecordEncoder, load_images

BASELINES = ("real", "shuffled", "independent")
SMALL = {
    "preset": "tuned",
    "generator_dim": [128, 128],
    "discriminator_dim": [128, 128],
    "generator_lr": 1e-3,
    "discriminator_lr": 1e-3,
    "batch_size": 200,
    "steps": 1000,
    "latent_components": 16,
    "pac": 1,
    "average_decay": 0.0,
}
# What was tried on the inner split to find `tuned`.
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    f"{directions} {components}, pac {pac}": SMALL
    | {"latent_components": components, "latent_directions": directions, "pac": pac}
    for directions in ("clinical", "principal")
    for components in (16, 32, 64)
    for pac in (1, 10)
}
CONFIGURATIONS |= {
    "raw 128 without modes": SMALL | {"latent_components": 0, "latent_modes": False},
    "clinical 16, 3000 steps": SMALL | {"steps": 3000},
    "principal 32, 3000 steps": SMALL | {"latent_components": 32, "latent_directions": "principal", "steps": 3000},
    "clinical 16, batch 60": SMALL | {"batch_size": 60},
    "clinical 16, batch 500": SMALL | {"batch_size": 500},
    "clinical 16, rate 2e-4": SMALL | {"generator_lr": 2e-4, "discriminator_lr": 2e-4},
    "clinical 16, 3 critic steps": SMALL | {"discriminator_steps": 3},
    "clinical 8": SMALL | {"latent_components": 8},
    "tuned": {"preset": "tuned"},
    "tuned, last step": {"preset": "tuned", "average_decay": 0.0},
    "paper": {"preset": "paper"},
}


def main() -> None:
    """Measure what is not yet in the results, then write the table."""
    options = _arguments()
    results = json.loads(options.results.read_text()) if options.results.exists() else {}
    table, cohort = _latent_table(options)
    runs = [("inner", 0, name) for name in options.inner]
    runs += [("outer", seed, name) for seed in range(options.outer_splits) for name in options.outer]
    for split, seed, name in runs:
        key = f"{split} {seed} {name}"
        if key not in results:
            parts = _split(table, cohort, seed=seed, inner=split == "inner")
            arguments = CONFIGURATIONS.get(name, {})
            results[key] = {"arguments": arguments} | _measure(name, arguments, *parts, cohort, options.judge, seed)
            keep_results(options.results, results)
    write_section(options.out, options.title, _report(results, options.judge))


def _arguments() -> argparse.Namespace:
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cohort", type=Path, required=True, help="cohort folder")
    parser.add_argument("--pool", type=Path, help="public images of which principal components are taken")
    parser.add_argument("--pool-prefix", default="images/", help="take pool images whose path starts so")
    parser.add_argument("--exclude", type=Path, help="CSV with a column `image`: pool images to leave out")
    parser.add_argument("--encoder", type=Path, help="encoder.pt of a 64-pixel alphaGAN, instead of a pool")
    parser.add_argument("--judge", nargs="+", required=True, help="columns, or column=category, that probes predict")
    parser.add_argument("--inner", nargs="*", default=[*BASELINES, *CONFIGURATIONS])
    parser.add_argument("--outer", nargs="*", default=[*BASELINES, "tuned", "paper"])
    parser.add_argument("--outer-splits", type=int, default=1)
    parser.add_argument("--title", required=True)
    parser.add_argument("--results", type=Path, required=True, help="JSON with all results so far")
    parser.add_argument("--out", type=Path, help="Markdown file; the section of this title is replaced")
    return parser.parse_args()


def _latent_table(options: argparse.Namespace) -> tuple[pd.DataFrame, Cohort]:
    """Return the cohort's rows with 128 latent columns."""
    cohort = read_cohort(options.cohort)
    kept = options.results.parent / f"{options.results.stem}.latents.npz"
    if not kept.exists():
        images = load_images(cohort.image_paths, cohort.schema.image, spatial_size=64)
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.savez(kept, latents=_encoded(images, options, cohort))
    latents = np.load(kept)["latents"]
    columns = {f"latent_{number:03d}": latents[:, number].astype(np.float32) for number in range(latents.shape[1])}
    return pd.concat([cohort.table.reset_index(drop=True), pd.DataFrame(columns)], axis=1), cohort


@torch.no_grad()
def _encoded(images: torch.Tensor, options: argparse.Namespace, cohort: Cohort) -> np.ndarray:
    """Return latents of images, by the encoder or by the pool's principal components."""
    if options.encoder is not None:
        encoder = AlphaGanEncoder(2, 1, 64, 128).eval()
        encoder.load_state_dict(torch.load(options.encoder, weights_only=True))
        return torch.cat([encoder(batch) for batch in images.split(100)]).numpy()
    names = pd.read_csv(options.pool / "records.csv", dtype=str)["image"]
    excluded = set(pd.read_csv(options.exclude)["image"]) if options.exclude else set()
    paths = [options.pool / n for n in names if n.startswith(options.pool_prefix) and n not in excluded]
    pool = load_images(paths, cohort.schema.image, spatial_size=64).flatten(1).numpy()
    return PCA(128, random_state=0).fit(pool).transform(images.flatten(1).numpy())


def _report(results: dict[str, Any], judge: list[str]) -> list[str]:
    """Return the tables in Markdown."""
    lines = [
        "Pairing is (synthetic - shuffled) / (real - shuffled) of the summed AUC of linear probes from latents to the "
        "columns, trained on five synthetic records per training row and tested on real held-out patients [95 % "
        "bootstrap over patients, the fit held fixed]. Shape is the mean similarity of the clinical columns' "
        "distributions; near is the median latent distance of synthetic records to the nearest training record, "
        "divided by that of held-out patients (below 1: closer than strangers are).",
        "Inner rows name what differs from: 16 scores, networks 128 wide, Adam 1e-3, batch 200, 1000 generator steps, "
        "pac 1, the last step's weights; `clinical` scores lie along a ridge regression of the columns on the latents, "
        "`principal` ones along the largest variances; what is not modelled is Gaussian, independent of the row. One "
        "fit each: differences of less than about 0.15 are noise.",
        "",
    ]
    heads = {"outer": "Patients that no choice has seen", "inner": "Inner split, on which `tuned` was chosen"}
    for split, head in heads.items():
        chosen = {key: value for key, value in results.items() if key.startswith(split)}
        if not chosen:
            continue
        lines += [f"**{head}**", "", f"| | pairing | {' | '.join(judge)} | shape | near | fit, core s |"]
        lines += ["|---" * (len(judge) + 5) + "|"]
        lines += [_row(key.partition(" ")[2], value) for key, value in chosen.items()] + [""]
    return lines


def _row(key: str, result: dict[str, Any]) -> str:
    """Return one line of the table."""
    seed, _, name = key.partition(" ")
    score, low, high = result["pairing"]
    quality = " | ".join(f"{value:.3f}" for value in result["quality"]["synthetic"].values())
    near = result["nearest"]["synthetic"] / result["nearest"]["holdout"]
    cpu = result["seconds"].get("cpu")
    label = name if seed == "0" else f"{name}, split {seed}"
    return (
        f"| {label} | {score:.2f} [{low:.2f}, {high:.2f}] | {quality} | {result['shape']:.2f} | {near:.2f} | "
        f"{'' if cpu is None else f'{cpu:.0f}'} |"
    )


def _split(table: pd.DataFrame, cohort: Cohort, *, seed: int, inner: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split by patient: a quarter is tested; ``inner`` splits the remaining three quarters (of seed 0) again."""
    group = cohort.schema.group_name or "patient_id"
    patients = np.random.default_rng(2023).permutation(sorted(table[group].unique()))
    outer = set(patients[: len(patients) // 4])
    if inner:
        rest = np.random.default_rng(seed).permutation([patient for patient in patients if patient not in outer])
        table = table[~table[group].isin(outer)]
        outer = set(rest[: len(rest) // 3])
    elif seed:
        # Further outer splits are drawn anew; they measure how much one split says, not a fresh test of the choice.
        outer = set(np.random.default_rng(seed).permutation(patients)[: len(patients) // 4])
    test = table[group].isin(outer)
    return table[~test].reset_index(drop=True), table[test].reset_index(drop=True)


def _measure(
    name: str, arguments: dict, train: pd.DataFrame, test: pd.DataFrame, cohort: Cohort, judge: list[str], seed: int
) -> dict[str, Any]:
    """Fit one configuration, draw five times the training rows and let probes judge them."""
    encoder = RecordEncoder(cohort.schema).fit(train)
    start, cpu = time.perf_counter(), time.process_time()
    if name == "real":
        synthetic = train
    elif name == "shuffled":
        synthetic = _shuffled(train, seed)
    else:
        made = IndependentSynthesizer() if name == "independent" else CTGANSynthesizer(**arguments, progress=False)
        made.fit(train, cohort.schema, seed=seed)
        synthetic = None
    fitted, cpu = time.perf_counter(), time.process_time() - cpu
    synthetic = made.sample(5 * len(train), seed=seed + 1) if synthetic is None else synthetic
    seconds = {"fit": round(fitted - start, 1), "cpu": round(cpu, 1), "sample": round(time.perf_counter() - fitted, 1)}
    arms = [_probe(part, test, encoder, judge) for part in (synthetic, train)]
    shuffles = [_probe(_shuffled(train, number), test, encoder, judge) for number in range(5)]
    return _scores(arms[0], arms[1], shuffles, test, cohort, judge) | {
        "seconds": seconds,
        "shape": _shape(encoder, train, synthetic),
        "nearest": _nearest(train, test, synthetic),
    }


def _shuffled(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return the rows with the latents of other rows."""
    names = latent_columns(table)
    order = np.random.default_rng(1000 + seed).permutation(len(table))
    return table.assign(**{name: table[name].to_numpy()[order] for name in names})


def _target(table: pd.DataFrame, encoder: RecordEncoder, column: str) -> np.ndarray:
    """Return one judged column: 0 or 1 for a category, else the number (NaN where it is missing)."""
    flat = encoder.flatten(table)
    if column in flat.columns and flat[column].dtype != object:
        values = pd.to_numeric(table[column]).astype("Float64").to_numpy(dtype=float, na_value=np.nan)
        return np.where(np.isfinite(values), values, np.nan)
    if column in flat.columns:
        spec = next(spec for spec in encoder.flat_columns if spec.name == column)
        return (flat[column] == (spec.categories or ("",))[-1]).to_numpy(dtype=float)
    name, _, category = column.partition("=")
    return (flat[name] == category).to_numpy(dtype=float)


def _probe(train: pd.DataFrame, test: pd.DataFrame, encoder: RecordEncoder, judge: list[str]) -> dict[str, Any]:
    """Train linear probes from latents to each judged column; return predictions on the test patients."""
    names = latent_columns(test)
    scaler = StandardScaler().fit(train[names])
    inputs, tests = scaler.transform(train[names]), scaler.transform(test[names])
    found: dict[str, Any] = {}
    for column in judge:
        wanted, truth = _target(train, encoder, column), _target(test, encoder, column)
        seen, binary = np.isfinite(wanted), set(np.unique(truth[np.isfinite(truth)])) <= {0.0, 1.0}
        # Five times the rows need five times the penalty for the same prior.
        size = seen.sum() / 500
        if binary and len(np.unique(wanted[seen])) < 2:
            prediction = np.zeros(len(test))
        elif binary:
            model = LogisticRegression(C=0.003 / size, max_iter=500).fit(inputs[seen], wanted[seen])
            prediction = model.decision_function(tests)
        else:
            prediction = Ridge(alpha=300 * size).fit(inputs[seen], wanted[seen]).predict(tests)
        found[column] = (prediction, truth, binary)
    return found


def _quality(prediction: np.ndarray, truth: np.ndarray, binary: bool) -> float:
    """Return AUC - .5, or the correlation; 0 says that nothing was learned."""
    seen = np.isfinite(truth)
    prediction, truth = prediction[seen], truth[seen]
    if not binary:
        return float(np.corrcoef(prediction, truth)[0, 1]) if prediction.std() > 0 and truth.std() > 0 else 0.0
    positive = truth > 0.5
    if not positive.any() or positive.all():
        return np.nan
    ranks = pd.Series(prediction).rank().to_numpy()
    count = positive.sum()
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * (len(truth) - count))) - 0.5


def _scores(
    arm: dict, real: dict, shuffles: list[dict], test: pd.DataFrame, cohort: Cohort, judge: list[str]
) -> dict[str, Any]:
    """Return qualities and the pairing score with a bootstrap interval over test patients."""
    patients = test[cohort.schema.group_name or "patient_id"].to_numpy()
    unique, position = np.unique(patients, return_inverse=True)
    rows_of = [np.flatnonzero(position == number) for number in range(len(unique))]
    rng = np.random.default_rng(0)
    draws = [np.arange(len(test))]
    draws += [np.concatenate([rows_of[p] for p in rng.integers(len(unique), size=len(unique))]) for _ in range(400)]
    table = np.full((len(draws), 3, len(judge)), np.nan)
    for number, rows in enumerate(draws):
        for place, column in enumerate(judge):

            def quality(found: dict, column: str = column, rows: np.ndarray = rows) -> float:
                prediction, truth, binary = found[column]
                return _quality(prediction[rows], truth[rows], binary)

            table[number, :, place] = quality(arm), quality(real), np.mean([quality(one) for one in shuffles])
    binary = [place for place, column in enumerate(judge) if real[column][2]]
    sums = np.nansum(table[:, :, binary], axis=2)
    score = (sums[:, 0] - sums[:, 2]) / (sums[:, 1] - sums[:, 2])
    low, high = np.nanpercentile(score[1:], [2.5, 97.5])
    auc = {
        f"{what}": {
            column: round(float(table[0, arm_number, place]) + (0.5 if place in binary else 0.0), 3)
            for place, column in enumerate(judge)
        }
        for arm_number, what in enumerate(("synthetic", "real", "shuffled"))
    }
    return {"pairing": [round(float(value), 3) for value in (score[0], low, high)], "quality": auc}


def _shape(encoder: RecordEncoder, train: pd.DataFrame, synthetic: pd.DataFrame) -> float:
    """Return the mean of one minus total variation (categories) and one minus Kolmogorov-Smirnov (numbers)."""
    left, right = encoder.flatten(train), encoder.flatten(synthetic)
    found = []
    for column in encoder.flat_columns:
        if column.categories is not None:
            shares = [part[column.name].value_counts(normalize=True) for part in (left, right)]
            found.append(1 - 0.5 * shares[0].sub(shares[1], fill_value=0).abs().sum())
        else:
            grid = np.sort(left[column.name].to_numpy())
            both = [np.sort(part[column.name].to_numpy()) for part in (left, right)]
            steps = [np.searchsorted(values, grid, side="right") / len(values) for values in both]
            found.append(1 - np.abs(steps[0] - steps[1]).max())
    return round(float(np.mean(found)), 3)


def _nearest(train: pd.DataFrame, test: pd.DataFrame, synthetic: pd.DataFrame) -> dict[str, float]:
    """Return the median latent distance to the nearest training record, of synthetic and of held-out records."""
    names = latent_columns(train)
    scale = train[names].to_numpy().std(axis=0)
    base = torch.from_numpy(train[names].to_numpy() / scale)
    return {
        what: round(float(torch.cdist(torch.from_numpy(part[names].to_numpy() / scale), base).amin(1).median()), 2)
        for what, part in (("synthetic", synthetic.iloc[:2000]), ("holdout", test))
    }


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main()
