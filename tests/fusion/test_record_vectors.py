from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from monai_hybridsynth.fusion.conditioning import FixedColumns
from monai_hybridsynth.fusion.latent_whitening import LatentWhitening
from monai_hybridsynth.fusion.record_vectors import RecordVectors
from monai_hybridsynth.fusion.table_layout import TableLayout
from monai_hybridsynth.transforms.published_statistics import patient_weights


@pytest.fixture
def parts(table, schema):
    layout, flat, latents, patients = TableLayout.fit(table, schema, minimum_patients=5)
    whitening = LatentWhitening(6).fit(
        latents, layout.encoder.transform(table), weights=patient_weights(patients), patients=patients, seed=0
    )
    return RecordVectors(layout, whitening), flat, latents


def test_the_clinical_part_is_the_encoders_vector_standardised(parts, table):
    vectors, flat, latents = parts
    encoded = vectors.encode(flat, latents)
    assert encoded.shape == (len(table), vectors.size)
    numbers = [
        place.start for column, place in zip(vectors.columns, vectors.places, strict=True) if column.categories is None
    ]
    reference = vectors.layout.encoder
    expected = reference.transform(table)[:, [reference.vector_names.index(vectors.columns[0].name)]]
    np.testing.assert_allclose(encoded[:, numbers[:1]], expected, atol=1e-5)
    assert (np.abs(encoded.mean(0)) < 0.6).all()


def test_rows_survive_the_way_there_and_back(parts, table):
    vectors, flat, latents = parts
    back = vectors.decode(vectors.encode(flat, latents), np.random.default_rng(0))
    expected = vectors.layout.encoder.unflatten(flat)
    assert list(back.columns) == vectors.layout.order
    for name in expected.columns:
        pd.testing.assert_series_equal(back[name], expected[name], check_exact=False, atol=1e-3)
    # six scores of six latents: nothing is left out
    names = vectors.layout.latent_names
    np.testing.assert_allclose(back[names].to_numpy(), table[names].to_numpy(), atol=0.5)


def test_calibration_gives_the_published_shares_of_decoded_records(parts):
    vectors, _, _ = parts
    rng = np.random.default_rng(0)
    drawn = rng.normal(size=(4000, vectors.size)) * 0.7
    flat = vectors.layout.encoder.flatten(vectors.calibrate(drawn).decode(drawn, rng))
    for column in (part for part in vectors.columns if part.categories is not None):
        shares = np.array(column.shares) / sum(column.shares)
        found = [(flat[column.name] == category).mean() for category in column.categories]
        np.testing.assert_allclose(found, shares, atol=0.02, err_msg=column.name)


def test_given_entries_stand_where_they_belong(parts, table):
    vectors, flat, latents = parts
    names = vectors.layout.latent_names
    conditions = table[["sex", *names]].iloc[:5]
    fixed = FixedColumns.read(conditions, vectors.layout, 5)
    values, mask = vectors.known(fixed, 5)
    encoded = vectors.encode(flat.iloc[:5], latents[:5])
    np.testing.assert_allclose(values, encoded * mask, atol=1e-4)
    assert mask[:, vectors.num_clinical :].all()
    sex = next(p for c, p in zip(vectors.columns, vectors.places, strict=True) if c.name == "sex")
    assert mask.sum() == 5 * (vectors.size - vectors.num_clinical + sex.stop - sex.start)


def test_some_latents_give_the_expected_scores(parts):
    vectors, _, _ = parts
    whitening = vectors.whitening
    rng = np.random.default_rng(0)
    scores = rng.standard_normal((20000, whitening.num_scores_))
    latents = whitening.inverse(scores, rng)
    given = vectors.layout.latent_names[:2]
    fixed = FixedColumns.read(pd.DataFrame(latents[:, :2], columns=given), vectors.layout, len(latents))
    expected, _ = vectors.known(fixed, len(latents))
    # the mean given two latents is the regression of scores on them
    design = np.column_stack([np.ones(len(latents)), latents[:, :2]])
    fitted = design @ np.linalg.lstsq(design, scores, rcond=None)[0]
    np.testing.assert_allclose(expected[:, vectors.num_clinical :], fitted, atol=0.08)


def test_a_label_that_was_not_learned_stays_what_rows_fall_back_on(parts):
    vectors, _, _ = parts
    column = vectors.layout.encoder.column("findings")
    assert [labels.always_one for labels in vectors.label_sets] == [column.fallback is not None]
    column.fallback = "not learned"
    assert not RecordVectors(vectors.layout, vectors.whitening).label_sets[0].always_one
