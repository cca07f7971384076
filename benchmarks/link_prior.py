"""Where slopes of clinical columns on latents are to be expected, how well links hold, and what they tell of patients.

python benchmarks/link_prior.py --data ../shared/data --out benchmarks/RESULTS.md

Priors lie between slopes that are alike on latents (0) and slopes that are alike on pixels of generated images (1). The
power along public axes weighs the likelihood of training patients against an attack on an inner split of them. What
patients left out say stands beside it; figures on the held-out patients of the comparison were looked at too.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
from fusion_cohorts import Split, inner_cohorts, public_encoder, read_split, shipped_codec
from fusion_judgement import moment_attacks
from results_file import write_section
from sklearn.linear_model import RidgeCV

from monai_hybridsynth.data import RecordSchema
from monai_hybridsynth.evaluation.membership_views import ENCODER_ROW_ATTACK
from monai_hybridsynth.evaluation.train_on_synthetic import utility_sides
from monai_hybridsynth.fusion import ConditionalGaussianSynthesizer, latent_columns, public_directions, score_regression
from monai_hybridsynth.fusion.underlying_columns import UnderlyingColumn, UnderlyingLabels
from monai_hybridsynth.metrics import weighted_auroc

COHORT, SPLITS, RECORDS = "nih_cxr14_sample", 5, 2000
POWERS = (0.0, 0.25, 0.5, 0.6, 0.75, 1.0)


class _Watched(score_regression._Part):
    """Remembers how likely all variables are under their likeliest penalties, above those without slopes."""

    found: list[float] = []

    def likelihoods(self) -> np.ndarray:
        likelihoods = super().likelihoods()
        self.found.append(likelihoods.max(axis=0).sum())
        return likelihoods


def told_apart(split: Split, power: float) -> float:
    """Return the AUROC of the attack by moments of latents and rows on an inner split of the training patients.

    Latents are attacked as they are drawn, not decoded: all that links tell, without the noise of images.
    """

    def draw(rows: pd.DataFrame, schema: RecordSchema) -> pd.DataFrame:
        made = ConditionalGaussianSynthesizer(public_encoder=public_encoder(COHORT), image_spread=1)
        return made.fit(rows, schema, seed=0).sample(RECORDS, seed=1)

    with patch.object(public_directions, "PUBLIC_PIXEL_POWER", power):
        train, holdout, made = inner_cohorts(split, split.table(shipped_codec(COHORT)), draw, seed=0)
    return float(moment_attacks(train, holdout, made)[f"membership {ENCODER_ROW_ATTACK}"][0])


def measure(split: Split, power: float) -> tuple[float, dict[str, float]]:
    """Return the log likelihood of the training patients' columns, and AUROCs of links on held-out patients."""
    codec = shipped_codec(COHORT)
    table, held_out = split.table(codec), split.table(codec, "holdout")
    _Watched.found = []

    def fitted() -> ConditionalGaussianSynthesizer:
        made = ConditionalGaussianSynthesizer(public_encoder=public_encoder(COHORT))
        return made.fit(table, split.train.cohort.schema, seed=0)

    with patch.object(public_directions, "PUBLIC_PIXEL_POWER", power):
        made = fitted()
        # What labels share is no column: the likelihood is that of each label by itself.
        alone = patch.object(UnderlyingLabels, "shared", UnderlyingColumn.shared)
        with alone, patch.object(score_regression, "_Part", _Watched):
            fitted()
    assert made.whitening_ is not None
    scores = made.whitening_.transform(held_out[latent_columns(held_out)].to_numpy(dtype=float))
    place, links = 0, {}
    slopes = made.copula_.covariance[sum(column.size for column in made.columns_) :].astype(float)
    for column in made.columns_:
        labels, steps = getattr(column, "labels", ()), getattr(column, "categories", ())
        links |= {(column.name, label): slopes[:, place + k] for k, label in enumerate(labels)}
        if len(steps) == 2:
            links |= {(column.name, steps[0]): -slopes[:, place], (column.name, steps[1]): slopes[:, place]}
        place += column.size
    return sum(_Watched.found), _scores(split, lambda name, label, _: scores @ links[name, label])


def plain(split: Split) -> dict[str, float]:
    """Return AUROCs of ridges on latents, one per column, the penalty by generalised cross-validation."""
    codec = shipped_codec(COHORT)
    names = latent_columns(split.table(codec))
    train, held_out = (split.table(codec, side)[names].to_numpy(dtype=float) for side in ("train", "holdout"))

    def predicted(name: str, label: str, truth: np.ndarray) -> np.ndarray:
        ridge = RidgeCV(np.logspace(0, 6, 25)).fit(train, truth, sample_weight=split.train.weights)
        return np.asarray(ridge.predict(held_out))

    return _scores(split, predicted)


def _scores(split: Split, predicted: Callable[[str, str, np.ndarray], np.ndarray]) -> dict[str, float]:
    """Return the AUROC per target column, mean over its labels."""
    sides = utility_sides(split.train, split.holdout, split.train, seed=0)
    found: dict[str, list[float]] = {}
    for outcome in sides.outcomes:
        target = outcome.target
        if not target.is_binary:
            continue
        train, truth = (target.values(side.table) for side in (split.train, split.holdout))
        given = predicted(target.column, str(target.label), train)
        auroc = weighted_auroc(given, truth, split.holdout.weights[None])[0]
        found.setdefault(target.column, []).append(float(auroc))
    return {name: float(np.mean(values)) for name, values in found.items()}


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the cohort folders")
    parser.add_argument("--work", type=Path, default=Path("runs/fusion_splits"), help="folder for the splits")
    parser.add_argument("--out", type=Path, help="Markdown file; the section is replaced")
    options = parser.parse_args()
    splits = [read_split(options.data, COHORT, seed, options.work) for seed in range(SPLITS)]
    cells = {power: [measure(split, power) for split in splits] for power in POWERS}
    ridges = [plain(split) for split in splits]
    attacks = {power: np.mean([told_apart(split, power) for split in splits]) for power in POWERS}
    columns = list(ridges[0])
    lines = [
        f"{COHORT}, mean over {SPLITS} splits. Log likelihood: of all clinical columns of the training patients given "
        "their latents (each patient once), above that of power 0, each at its likeliest penalty. Membership: AUROC of "
        f"the attack by moments of latents and rows together on {RECORDS:,} records that are not decoded, on an inner "
        "split of the training patients. The power .75 weighs these two; what it does to held-out patients in the "
        "comparison of synthesizers was looked at too. AUROC of the links on held-out patients, "
        "mean over the labels of a column; a ridge per column on the same latents, its penalty by cross-validation, "
        "beside them.",
        "",
        f"| power | log likelihood | membership, inner split | {' | '.join(columns)} |",
        "|---" * (len(columns) + 3) + "|",
    ]
    base = np.array([likelihood for likelihood, _ in cells[0.0]])
    for power, found in cells.items():
        gains = np.array([likelihood for likelihood, _ in found]) - base
        texts = [f"{np.mean([scores[name] for _, scores in found]):.3f}" for name in columns]
        spread = f" ({gains.min():+.1f} to {gains.max():+.1f})" if power else ""
        lines.append(f"| {power:g} | {gains.mean():+.1f}{spread} | {attacks[power]:.3f} | {' | '.join(texts)} |")
    texts = [f"{np.mean([scores[name] for scores in ridges]):.3f}" for name in columns]
    lines.append(f"| ridge on latents | | | {' | '.join(texts)} |")
    write_section(options.out, "Links: where slopes are to be expected", lines)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main()
