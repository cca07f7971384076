"""The conditional Gaussian on the phantom's clinical rows: as like them as other phantom patients are."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from monai_hybridsynth.data import draw_rows, infer_schema
from monai_hybridsynth.fusion import ConditionalGaussianSynthesizer
from monai_hybridsynth.transforms import RecordEncoder

VARIANTS = {"paper": "outcome", "findings": None}


def latents_of(table: pd.DataFrame, encoder: RecordEncoder, *, seed: int) -> pd.DataFrame:
    """Make twelve latents from the clinical vector and as much noise."""
    vectors = encoder.transform(table).astype(float)
    vectors = (vectors - vectors.mean(0)) / (vectors.std(0) + 1e-6)
    mixing = np.random.default_rng(7).normal(size=(vectors.shape[1], 12)) / np.sqrt(vectors.shape[1])
    values = vectors @ mixing + np.random.default_rng(seed).normal(size=(len(table), 12))
    return pd.DataFrame({f"latent_{number:03d}": values[:, number].astype(np.float32) for number in range(12)})


@pytest.fixture(scope="module", params=VARIANTS)
def cohorts(request):
    """Return train, fresh patients, synthetic records and the encoder."""
    rows = {name: draw_rows(600, seed=seed, variant=request.param) for name, seed in (("train", 1), ("fresh", 2))}
    schema = infer_schema(rows["train"])
    rows = {name: schema.parse(table) for name, table in rows.items()}
    encoder = RecordEncoder(schema).fit(rows["train"])
    rows = {
        name: pd.concat([table, latents_of(table, encoder, seed=number)], axis=1)
        for number, (name, table) in enumerate(rows.items())
    }
    made = ConditionalGaussianSynthesizer().fit(rows["train"], schema, seed=0)
    return rows["train"], rows["fresh"], made.sample(3000, seed=1), encoder


def shape_gaps(train: pd.DataFrame, other: pd.DataFrame, encoder: RecordEncoder) -> float:
    """Return the mean total variation or Kolmogorov-Smirnov distance of the columns."""
    left, right = encoder.flatten(train), encoder.flatten(other)
    gaps = []
    for column in encoder.flat_columns:
        if column.categories is not None:
            shares = [part[column.name].value_counts(normalize=True) for part in (left, right)]
            gaps.append(0.5 * shares[0].sub(shares[1], fill_value=0).abs().sum())
        else:
            parts = [np.sort(part[column.name].to_numpy()) for part in (left, right)]
            steps = [np.searchsorted(values, parts[0], side="right") / len(values) for values in parts]
            gaps.append(np.abs(steps[0] - steps[1]).max())
    return float(np.mean(gaps))


def trend_gaps(train: pd.DataFrame, other: pd.DataFrame, encoder: RecordEncoder) -> float:
    """Return the mean difference of correlations between all encoded columns, latents among them."""
    tables = []
    for part in (train, other):
        latents = part.filter(like="latent_").to_numpy(dtype=float)
        tables.append(np.corrcoef(np.concatenate([encoder.transform(part), latents], axis=1).T))
    return float(np.nanmean(np.abs(tables[0] - tables[1])))


def test_columns_and_pairs_are_as_like_the_table_as_fresh_patients_are(cohorts):
    train, fresh, synthetic, encoder = cohorts
    assert shape_gaps(train, synthetic, encoder) < shape_gaps(train, fresh, encoder) + 0.01
    assert trend_gaps(train, synthetic, encoder) < trend_gaps(train, fresh, encoder) + 0.01
    shuffled = synthetic.apply(lambda column: column.sample(frac=1, random_state=len(column.name)).to_numpy())
    assert trend_gaps(train, shuffled, encoder) > trend_gaps(train, fresh, encoder) + 0.01, "the test can fail"


def test_a_predictor_trained_on_the_records_serves_fresh_patients(cohorts):
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score

    train, fresh, synthetic, encoder = cohorts
    names = [name for name in train if str(name).startswith("latent_")]
    for column in encoder.flat_columns:
        share = column.shares[-1] if column.categories is not None and len(column.categories) == 2 else 0.0
        if not 0.15 < share < 0.85:
            continue
        wanted = [encoder.flatten(part)[column.name] == column.categories[-1] for part in (train, fresh, synthetic)]
        reached = [
            roc_auc_score(
                wanted[1], LogisticRegression(C=0.05).fit(part[names], truth).predict_proba(fresh[names])[:, 1]
            )
            for part, truth in ((train, wanted[0]), (synthetic, wanted[2]))
        ]
        assert reached[1] > reached[0] - 0.04, column.name
