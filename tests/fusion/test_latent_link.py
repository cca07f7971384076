"""The linear link between row and latents: its density against scipy's, all latents and some."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import multivariate_normal

from monai_hybridsynth.data import RecordField, RecordSchema
from monai_hybridsynth.fusion.latent_link import LatentLink
from monai_hybridsynth.transforms import RecordEncoder


@pytest.fixture(scope="module")
def linked():
    """Return rows, their latents, the encoder and the link; sex moves latent 0, age moves latent 1."""
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"sex": rng.choice(["F", "M"], 4000).astype(object), "age": rng.uniform(30, 70, 4000)})
    latents = rng.normal(size=(4000, 3)) @ np.array([[1.0, 0.5, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.1]])
    latents[:, 0] += np.where(rows["sex"] == "M", 3.0, -3.0)
    latents[:, 1] += (rows["age"] - 50) / 10
    schema = RecordSchema([RecordField("sex", kind="binary"), RecordField("age", "number", kind="continuous")])
    encoder = RecordEncoder(schema).fit(rows)
    return rows, latents, encoder, LatentLink.fit(latents, rows, encoder)


@pytest.mark.parametrize("chosen", [[0, 1, 2], [1, 0], [2]])
def test_the_density_is_the_normal_one_around_a_regression_on_the_row(linked, chosen):
    rows, latents, encoder, link = linked
    design = np.stack([np.ones(len(rows)), rows["sex"] == "M", rows["age"]], axis=1).astype(float)
    slopes = np.linalg.lstsq(design, latents, rcond=None)[0]
    covariance = np.cov((latents - design @ slopes).T)[np.ix_(chosen, chosen)]
    candidates = pd.DataFrame({"sex": ["F", "M"] * 5, "age": 45.0})
    means = np.array([[1.0, 0.0, 45.0], [1.0, 1.0, 45.0]]) @ slopes[:, chosen]
    expected = [[multivariate_normal.logpdf(row, mean, covariance) for mean in means] for row in latents[:5, chosen]]
    found = link.log_likelihood(latents[:5, chosen], candidates, encoder, chosen=chosen)
    assert found.shape == (5, 2)
    # Ages beyond the range that is published are drawn in a little, hence not exactly.
    assert np.diff(found, axis=1) == pytest.approx(np.diff(expected, axis=1), rel=0.03, abs=0.05)


def test_only_its_own_latents_say_something_of_a_column(linked):
    _, latents, encoder, link = linked
    ages = pd.DataFrame({"sex": "F", "age": np.tile([35.0, 65.0], 4)})
    by_age = [link.log_likelihood(latents[:4, [place]], ages, encoder, chosen=[place]) for place in range(3)]
    gaps = [np.abs(np.diff(found, axis=1)).mean() for found in by_age]
    assert gaps[1] > 5 * max(gaps[0], gaps[2])
