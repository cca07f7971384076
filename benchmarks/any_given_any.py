"""Any columns given any others: conditional draws of a synthesizer beside predictors trained for one question each.

python benchmarks/any_given_any.py --data DATA --results checkpoints/any_given_any.json --out benchmarks/RESULTS.md

Image to column: rows are drawn given a held-out patient's latents, and the share of draws with a value is its predicted
probability (a number: the mean). One column given all else: the same with all other columns given too. Column to image:
latents are drawn given a held-out patient's row and decoded, and a probe trained on real images must find in them what
the row asked for. Seed s splits the patients. What is measured is kept in ``--results``.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from fusion_cohorts import ImageCodec, Split, public_encoder, read_split, resampled_patients, shipped_codec
from results_file import keep_results, write_section
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, Ridge, RidgeCV
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from monai_hybridsynth.data import RecordSchema
from monai_hybridsynth.evaluation.prediction_targets import PredictionTarget, prediction_targets, target_matrix
from monai_hybridsynth.fusion import (
    ConditionalGaussianSynthesizer,
    CTGANSynthesizer,
    JointFlowSynthesizer,
    latent_columns,
)
from monai_hybridsynth.metrics import weighted_auroc, weighted_order_score
from monai_hybridsynth.transforms import RecordEncoder

SYNTHESIZERS: dict[str, Callable[..., Any]] = {
    "Gaussian": ConditionalGaussianSynthesizer,
    "flow": partial(JointFlowSynthesizer, progress=False),
    "CTGAN tuned": partial(CTGANSynthesizer, preset="tuned", progress=False),
}
WANTED = {
    "nih_cxr14_sample": (
        ("View Position", "PA"),
        ("Patient Gender", "M"),
        ("Finding_Labels", "No Finding"),
        ("Finding_Labels", "Effusion"),
        ("Patient Age", None),
    ),
    "phantom": (
        ("sex", "M"),
        ("view", "PA"),
        ("outcome", "yes"),
        ("cardiothoracic_ratio", None),
        ("effusion_ml", None),
        ("crp", None),
        ("ldh", None),
    ),
}
TASKS = ("image -> column", "column given all else", "column -> image")
REAL = "real images"
# Fewer draws than some hundred would add their own noise to the predicted probability of a rare finding.
DRAWS, IMAGES, REPLICATES = 500, 8, 300
# One split of the phantoms takes as long as five of the patients.
SPLITS = {"nih_cxr14_sample": 5, "phantom": 1}
LOGISTIC = {"model__C": list(np.logspace(-5, 1, 13))}
RIDGE = {"model__alpha": list(np.logspace(0, 5, 11))}
WITHIN = 0.02
MINIMUM_PATIENTS = 5


class Questions:
    """One split of a cohort: what is asked, and what is true."""

    def __init__(
        self, split: Split, codec: ImageCodec, wanted: Sequence[tuple[str, str | None]], *, public: Path
    ) -> None:
        self.split, self.codec, self.public = split, codec, public
        self.schema = split.train.cohort.schema
        self.train, self.holdout = split.table(codec), split.table(codec, "holdout")
        self.latents = latent_columns(self.train)
        self.groups, self.patients = split.train.groups, split.holdout.groups
        self.encoder = RecordEncoder(self.schema).fit(self.train, patients=self.groups)
        self.names = self.encoder.names
        found = prediction_targets(self.schema, self.schema.feature_names, split.train.table)
        place = {(target.column, target.label): target for target in found}
        self.targets = [self._known(place, *key) for key in wanted]
        self.truth = target_matrix(self.targets, self.holdout)
        self.given = self._given(self.holdout)

    @staticmethod
    def _known(place: dict[tuple[str, str | None], PredictionTarget], column: str, label: str | None):
        """Return a target; of two categories the evaluation may predict the other one."""
        found = place.get((column, label))
        return found or next(target for key, target in place.items() if key[0] == column)

    def _given(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return clinical rows without labels that too few training patients have."""
        rows = table[self.names].copy()
        for name in self.names:
            entry = self.schema[name]
            if entry.kind == "multilabel":
                learned = set(self.encoder.column(name).labels)
                parts = rows[name].str.split(entry.separator, regex=False)
                kept = [[part for part in row if part in learned] for row in parts]
                rows[name] = [entry.separator.join(row) if row else None for row in kept]
        return rows

    def _learned_missing(self, name: str) -> bool:
        """Return whether a missing value can be asked for: enough training patients have one."""
        missing = self.train[name].isna().to_numpy()
        return self.schema[name].kind != "multilabel" and len(np.unique(self.groups[missing])) >= MINIMUM_PATIENTS

    def draw(
        self, synthesizer: Any, columns: Sequence[str], count: int, *, seed: int
    ) -> tuple[pd.DataFrame, np.ndarray]:
        """Return ``count`` records per held-out row given some columns of it, and the rows that could be asked for."""
        table = pd.concat([self.given, self.holdout[self.latents]], axis=1)[list(columns)]
        lost = [name for name in self.names if name in columns and not self._learned_missing(name)]
        rows = np.flatnonzero(~table[lost].isna().any(axis=1))
        conditions = table.iloc[np.repeat(rows, count)].reset_index(drop=True)
        return synthesizer.sample(len(conditions), conditions=conditions, seed=seed), rows

    def image_to_column(self, synthesizer: Any, *, seed: int) -> dict[str, list]:
        """Return predictions per target for every held-out row."""
        records, _ = self.draw(synthesizer, self.latents, DRAWS, seed=seed)
        return {key(target): _mean(target, records) for target in self.targets}

    def column_given_all(self, synthesizer: Any, *, seed: int) -> dict[str, list]:
        """Return predictions per target, its column hidden, all others and the image given."""
        found: dict[str, list] = {}
        for column in dict.fromkeys(target.column for target in self.targets):
            others = [name for name in self.names if name != column]
            records, rows = self.draw(synthesizer, [*others, *self.latents], DRAWS, seed=seed)
            for target in self.targets:
                if target.column == column:
                    found[key(target)] = _placed(np.array(_mean(target, records)), rows, len(self.holdout))
        return found

    def column_to_image(self, synthesizer: Any, *, seed: int) -> dict[str, list]:
        """Return a real-trained probe's scores of the images drawn for every held-out row."""
        records, rows = self.draw(synthesizer, self.names, IMAGES, seed=seed)
        return self.seen(records[self.latents].to_numpy(dtype=np.float32), rows)

    def seen(self, latents: np.ndarray, rows: np.ndarray) -> dict[str, list]:
        """Return the probes' scores of decoded latents, several per held-out row."""
        drawn = self.split.drawn(
            self.split.train.table.iloc[np.zeros(len(latents), dtype=int)], self.codec.decode(latents)
        )
        return {
            key(target): _placed(self.probe(target, drawn.features).reshape(len(rows), -1), rows, len(self.holdout))
            for target in self.targets
        }

    def probe(self, target: PredictionTarget, features: np.ndarray) -> np.ndarray:
        """Return what a predictor trained on real images says."""
        return _fitted(target, self.split.train.features, self.train, self.groups)(features)

    def direct(self, *, seed: int) -> dict[str, dict[str, list]]:
        """Return the answers of predictors that were each trained for one question."""
        found: dict[str, dict[str, list]] = {task: {} for task in TASKS}
        sides = [table[self.latents].to_numpy(dtype=float) for table in (self.train, self.holdout)]
        for target in self.targets:
            others = RecordSchema(
                [self.schema[name] for name in self.names if name != target.column], self.schema.image
            )
            encoder = RecordEncoder(others).fit(self.train, patients=self.groups)
            rows = [encoder.transform(table) for table in (self.train, self.holdout)]
            both = [np.hstack(pair) for pair in zip(sides, rows, strict=True)]
            for task, inputs in ((TASKS[0], sides), (TASKS[1], both)):
                found[task][key(target)] = _listed(_fitted(target, inputs[0], self.train, self.groups)(inputs[1]))
        found[TASKS[2]] = self.seen(self._regressed(sides[0], seed=seed), np.arange(len(self.holdout)))
        return found

    def real_images(self) -> dict[str, dict[str, list]]:
        """Return what the probes see in the held-out patients' own images."""
        features = self.split.holdout.features
        return {TASKS[2]: {key(target): _listed(self.probe(target, features)) for target in self.targets}}

    def answers(self, name: str, *, seed: int) -> dict[str, dict[str, list]]:
        """Return the answers of one arm to every question."""
        if name == "direct":
            return self.direct(seed=seed)
        if name == REAL:
            return self.real_images()
        synthesizer = SYNTHESIZERS[name](public_encoder=self.public).fit(self.train, self.schema, seed=seed)
        answers = (self.image_to_column, self.column_given_all, self.column_to_image)
        return {task: answer(synthesizer, seed=seed) for task, answer in zip(TASKS, answers, strict=True)}

    def facts(self) -> dict[str, Any]:
        """Return who the held-out patients are and what is true of them."""
        truth = dict(zip(map(key, self.targets), map(_listed, self.truth.T), strict=True))
        return {"patients": list(map(str, self.patients)), "truth": truth, "binary": self.binary()}

    def binary(self) -> dict[str, bool]:
        """Return which targets are yes or no."""
        return {key(target): target.is_binary for target in self.targets}

    def _regressed(self, latents: np.ndarray, *, seed: int) -> np.ndarray:
        """Return latents drawn from ridge regressions of their components on the row, with normal residuals."""
        rows = [self.encoder.transform(table) for table in (self.train, self.holdout)]
        components = PCA().fit(latents)
        wanted = components.transform(latents)
        model = RidgeCV(np.logspace(-1, 4, 11), alpha_per_target=True).fit(rows[0], wanted)
        apart = cross_val_predict(Ridge(model.alpha_), rows[0], wanted, groups=self.groups, cv=GroupKFold(5))
        spread = np.linalg.cholesky(LedoitWolf().fit(wanted - apart).covariance_)
        expected = np.repeat(model.predict(rows[1]), IMAGES, axis=0)
        noise = np.random.default_rng(seed).standard_normal(expected.shape)
        return components.inverse_transform(expected + noise @ spread.T).astype(np.float32)


def key(target: PredictionTarget) -> str:
    """Return a target's name in the tables."""
    return target.column if target.label is None else f"{target.column} = {target.label}"


def _pipeline(model: Any) -> Any:
    pipeline = make_pipeline(StandardScaler(), model)
    pipeline.steps[-1] = ("model", model)
    return pipeline


def _fitted(
    target: PredictionTarget, features: np.ndarray, table: pd.DataFrame, groups: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
    """Return a linear predictor whose penalty is chosen by cross-validation over patients."""
    values = target.values(table)
    known = np.isfinite(values)
    model, grid = (LogisticRegression(max_iter=1000), LOGISTIC) if target.is_binary else (Ridge(), RIDGE)
    scoring = "neg_log_loss" if target.is_binary else "neg_mean_squared_error"
    search = GridSearchCV(_pipeline(model), grid, cv=GroupKFold(5), scoring=scoring)
    search.fit(features[known], values[known], groups=groups[known])
    return search.decision_function if target.is_binary else search.predict


def _mean(target: PredictionTarget, records: pd.DataFrame) -> list:
    """Return the mean value of each held-out row's draws; where none has a value, of all draws."""
    values = target.values(records).reshape(-1, DRAWS)
    values = np.where(np.isfinite(values), values, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        mean = np.nanmean(values, axis=1)
    return _listed(np.where(np.isnan(mean), np.nanmean(values), mean))


def _placed(values: np.ndarray, rows: np.ndarray, count: int) -> list:
    """Return values at their rows; NaN where a row could not be asked for."""
    placed = np.full((count, *values.shape[1:]), np.nan)
    placed[rows] = values
    return _listed(placed)


def _listed(values: np.ndarray) -> list:
    return np.round(np.asarray(values, dtype=float), 4).tolist()


def score(values: np.ndarray, truth: np.ndarray, weights: np.ndarray, *, binary: bool) -> np.ndarray:
    """Return AUROC, or (1 + rank correlation) / 2, for every row of patient weights ``(..., rows)``."""
    values = values.reshape(len(truth), -1)
    known = np.isfinite(truth) & np.isfinite(values).all(axis=1)
    each = values.shape[1]
    statistic = weighted_auroc if binary else weighted_order_score
    return statistic(
        values[known].ravel(), np.repeat(truth[known], each), np.repeat(weights[..., known], each, axis=-1)
    )


def split_scores(cells: list[dict[str, Any]], task: str, target: str, arm: str) -> np.ndarray:
    """Return an arm's mean score over splits, on all patients and on resampled ones, shape ``(1 + REPLICATES,)``."""
    found = []
    for cell, rows in zip(cells, resampled_patients([cell["patients"] for cell in cells], REPLICATES), strict=True):
        truth, values = (np.array(part[target], dtype=float) for part in (cell["truth"], cell[arm][task]))
        found.append(score(values, truth, rows, binary=cell["binary"][target]))
    return np.mean(found, axis=0)


def report(results: dict[str, Any]) -> list[str]:
    """Return the tables in Markdown."""
    lines = [
        "AUROC on held-out patients, for numbers (1 + rank correlation) / 2; mean over the splits by patient. In "
        "brackets the difference from the predictor trained directly for that one question, with its 95 % interval "
        "over patients, the fits held fixed. Direct predictors are ridge and logistic regressions on the same latents, "
        "their penalty chosen by cross-validation over patients; for column -> image a ridge regression of latents on "
        "rows with normal residuals. `real` is what the same probes see in the held-out patients' own images.",
        f"Bold: no more than {WITHIN} below the direct predictor.",
        "",
    ]
    for cohort in WANTED:
        cells = [results[f"{cohort} {seed}"] for seed in range(SPLITS[cohort]) if f"{cohort} {seed}" in results]
        arms = [name for name in SYNTHESIZERS if cells and all(name in cell for cell in cells)]
        if not arms:
            continue
        lines += [
            f"**{cohort}, {len(cells)} split{'s'[: len(cells) > 1]}**",
            "",
            f"| question | column | direct | {' | '.join(arms)} | real |",
        ]
        lines += ["|---" * (len(arms) + 4) + "|"]
        for task in TASKS:
            for target in cells[0]["truth"]:
                direct = split_scores(cells, task, target, "direct")
                texts = [_text(split_scores(cells, task, target, arm), direct) for arm in arms]
                real = f"{split_scores(cells, task, target, REAL)[0]:.3f}" if task == TASKS[2] else ""
                lines.append(f"| {task} | {target} | {direct[0]:.3f} | {' | '.join(texts)} | {real} |")
        lines.append("")
    return lines


def _text(own: np.ndarray, direct: np.ndarray) -> str:
    """Format a score with its difference from the direct predictor."""
    difference = own - direct
    low, high = np.nanpercentile(difference[1:], [2.5, 97.5])
    text = f"{own[0]:.3f} ({difference[0]:+.3f} [{low:+.3f}, {high:+.3f}])"
    return f"**{text}**" if difference[0] >= -WITHIN else text


def main() -> None:
    """Ask every synthesizer every question in every split; write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the real cohorts")
    parser.add_argument("--work", type=Path, default=Path("runs/fusion_splits"), help="folder for the splits")
    parser.add_argument("--synthesizers", nargs="*", default=["Gaussian", "flow"], choices=list(SYNTHESIZERS))
    parser.add_argument("--results", type=Path, required=True, help="JSON with all answers so far; private")
    parser.add_argument("--out", type=Path, help="Markdown file; the section is replaced")
    options = parser.parse_args()
    results = json.loads(options.results.read_text()) if options.results.exists() else {}
    for cohort, wanted in WANTED.items():
        for seed in range(SPLITS[cohort]):
            cell = results.setdefault(f"{cohort} {seed}", {})
            missing = [name for name in ("direct", REAL, *options.synthesizers) if name not in cell]
            if not missing:
                continue
            split = read_split(options.data, cohort, seed, options.work)
            questions = Questions(split, shipped_codec(cohort), wanted, public=public_encoder(cohort))
            cell |= questions.facts()
            for name in missing:
                start = time.perf_counter()
                cell[name] = questions.answers(name, seed=seed)
                keep_results(options.results, results)
                print(f"{cohort} {seed} {name}: {time.perf_counter() - start:.0f} s", flush=True)
    write_section(options.out, "Any columns given any others", report(results))


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main()
