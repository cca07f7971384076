"""What is left of the link between image and row under differential privacy, judged by linear probes on latents.

python benchmarks/private_fit.py --cohort PREPARED --weights bundles/cxr_alpha_gan/models/encoder.pt \
    --public bundles/cxr_alpha_gan/models/encoder_public.safetensors --out benchmarks/RESULTS.md
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from results_file import write_section
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from monai_hybridsynth.data import RecordSchema, read_cohort
from monai_hybridsynth.fusion import PrivateFlowSynthesizer, PrivateGaussianSynthesizer, latent_columns
from monai_hybridsynth.networks import AlphaGanEncoder
from monai_hybridsynth.workflows import encode_cohort

BUDGETS = (1.0, 3.0, 10.0, float("inf"))
FITS, VOLUME = 6, 5
# Limits that the prepared schemas leave open, from what is plausible for adults in hospital.
LIMITS = {
    "admission_offset": (-60, 60),
    "death_offset": (0, 200),
    "crp_val": (0, 500),
    "d-dimer_val": (0, 35),
    "factor_xii_val": (0, 300),
    "ldh_val": (0, 2000),
    "lymphocytes_val": (0, 10),
    "neutrophils_val": (0, 40),
    "pco2_val": (10, 120),
    "po2_val": (0, 300),
}


def targets(schema: RecordSchema, table: pd.DataFrame) -> dict[str, pd.Series]:
    """Return yes-or-no columns to predict: binary ones, and the commonest labels of the first multi-label one."""
    found = {}
    for name in schema.feature_names:
        field = schema[name]
        if field.kind == "binary" and field.enum:
            found[name] = table[name].astype(object) == field.enum[-1]
        elif field.kind == "multilabel":
            for label in ("Effusion", "Infiltration"):
                found[label] = table[name].str.contains(label, regex=False, na=False)
    return found


def aucs(train: pd.DataFrame, test: pd.DataFrame, schema: RecordSchema) -> dict[str, float]:
    """Return per column the AUC on real held-out patients of a probe trained on the latents of ``train``."""
    names = latent_columns(test)
    inputs, asked = train[names].to_numpy(dtype=float), test[names].to_numpy(dtype=float)
    mean, spread = inputs.mean(axis=0), inputs.std(axis=0) + 1e-9
    scores = {}
    wanted = targets(schema, test)
    for name, truth in targets(schema, train).items():
        if not 0 < wanted[name].sum() < len(test):
            continue
        scores[name] = 0.5
        if 0 < truth.sum() < len(truth):
            probe = LogisticRegression(C=0.02, max_iter=300).fit((inputs - mean) / spread, truth.to_numpy(dtype=bool))
            scores[name] = roc_auc_score(
                wanted[name].to_numpy(dtype=bool), probe.decision_function((asked - mean) / spread)
            )
    return scores


def main() -> None:
    """Fit, judge, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cohort", type=Path, required=True, help="what `prepare` wrote, with train and holdout")
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--public", type=Path, required=True)
    parser.add_argument("--title", required=True)
    parser.add_argument("--flow-fits", type=int, default=0, help="fits of the private flow at each budget")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    encoder = AlphaGanEncoder(2, 1, 64, 128, channels=32)
    encoder.load_state_dict(torch.load(options.weights, map_location="cpu", weights_only=True))
    train, holdout = (
        encode_cohort(read_cohort(options.cohort / part), encoder.eval(), spatial_size=64)
        for part in ("train", "holdout")
    )
    schema = RecordSchema.load(options.cohort / "schema.json")
    open_ends = [field for field in schema if field.is_modelled and field.name in LIMITS]
    schema = schema.with_fields(*[replace(f, minimum=LIMITS[f.name][0], maximum=LIMITS[f.name][1]) for f in open_ends])
    real = aucs(train, holdout, schema)
    names = list(real)
    patients = train["patient_id"].nunique()
    lines = [
        f"{patients} patients, {len(train)} images; delta 1e-5; mean of {FITS} fits, each with new noise, and in",
        "brackets their standard deviation. Probes on latents, trained on five synthetic records per real one, tested",
        "on real held-out patients. Kept: gain over chance, synthetic / real, of the mean AUC.",
        "",
        f"| fit | epsilon | {' | '.join(names)} | kept |",
        f"|---|---|{'---|' * (len(names) + 1)}",
        f"| real rows | | {' | '.join(f'{real[name]:.2f}' for name in names)} | 1 |",
    ]
    declared = {"public_schema": True, "encoder_is_public": True, "directions": options.public}
    kinds = [
        ("Gaussian", PrivateGaussianSynthesizer, FITS, {}),
        ("flow", PrivateFlowSynthesizer, options.flow_fits, {"progress": False}),
    ]
    for kind, make, fits, more in kinds:
        for epsilon in BUDGETS if fits else ():
            found = []
            for number in range(fits):
                fitted = make(epsilon=epsilon, **declared, **more).fit(train, schema, seed=number)
                found.append(aucs(fitted.sample(VOLUME * len(train), seed=number), holdout, schema))
            table = pd.DataFrame(found)
            kept = (table.mean(axis=1) - 0.5) / (np.mean(list(real.values())) - 0.5)
            cells = " | ".join(f"{table[name].mean():.2f}" for name in names)
            label = "none" if np.isinf(epsilon) else f"{epsilon:g}"
            lines.append(f"| {kind} | {label} | {cells} | {kept.mean():.2f} ({kept.std():.2f}) |")
            print(json.dumps([kind, epsilon, round(kept.mean(), 3)]), flush=True)
    write_section(options.out, f"Differential privacy: {options.title}", lines)


if __name__ == "__main__":
    main()
