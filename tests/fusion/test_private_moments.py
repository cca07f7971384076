"""Noisy sums of products: what they give back without noise, and how far one patient moves them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from monai_hybridsynth.data import RecordField, RecordSchema
from monai_hybridsynth.fusion import PrivateGaussianSynthesizer
from monai_hybridsynth.fusion.gaussian_mechanism import GaussianMechanism
from monai_hybridsynth.fusion.private_moments import fit_whitening_privately


class Recorder(GaussianMechanism):
    """A mechanism that keeps every patient's contribution and the norm it is said to keep to."""

    def __init__(self, mu):
        super().__init__(mu, noise_seed=0)
        self.released: list[tuple[np.ndarray, float]] = []

    def release(self, contributions, *, norm, share):
        self.released.append((contributions, norm))
        return super().release(contributions, norm=norm, share=share)


SCHEMA = RecordSchema(
    [
        RecordField("patient_id", role="group"),
        RecordField("age", "number", kind="continuous", minimum=0, maximum=100),
        RecordField("sex", kind="binary", enum=("F", "M"), required=True),
        RecordField("size", "number", kind="continuous", minimum=0, maximum=300),
    ]
)


def linked(patients: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    z = rng.multivariate_normal(
        np.zeros(4), [[1, 0.6, 0.5, 0], [0.6, 1, 0, 0], [0.5, 0, 1, 0.6], [0, 0, 0.6, 1]], patients
    )
    return pd.DataFrame(
        {
            "patient_id": np.arange(patients),
            "age": (50 + 12 * z[:, 0]).clip(0, 100),
            "size": (150 + 30 * z[:, 1]).clip(0, 300),
            "sex": np.where(z[:, 3] > 0, "M", "F").astype(object),
            "latent_000": z[:, 2],
            "latent_001": 0.5 + 1.3 * rng.standard_normal(patients),
        }
    )


def test_without_noise_correlations_come_back():
    """Shortening takes a little off large ones."""
    made = PrivateGaussianSynthesizer(epsilon=float("inf"), public_schema=True, encoder_is_public=True)
    made.fit(linked(20_000), SCHEMA)
    assert [column.name for column in made.columns_] == ["age", "size", "sex"]
    expected = np.array(
        [[1, 0.6, 0, 0.5, 0], [0.6, 1, 0, 0, 0], [0, 0, 1, 0.6, 0], [0.5, 0, 0.6, 1, 0], [0, 0, 0, 0, 1]]
    )
    assert made.copula_.covariance == pytest.approx(expected, abs=0.06)
    drawn = made.sample(20_000, seed=0)
    assert drawn["latent_001"].mean() == pytest.approx(0.5, abs=0.1)
    assert drawn["latent_001"].std() == pytest.approx(1.3, abs=0.2)
    assert drawn["age"].std() == pytest.approx(12, rel=0.1)


def test_no_contribution_is_longer_than_it_is_said_to_be():
    """The bounds are kept by the sums themselves, not only by the mechanism's own cut."""
    table = linked(200)
    table.loc[0, ["latent_000", "latent_001"]] = 1e6
    table.loc[1, ["age", "size"]] = [np.nan, 300.0]
    recorder = Recorder(1.0)
    PrivateGaussianSynthesizer(epsilon=1).fit_within(recorder, table, SCHEMA)
    assert len(recorder.released) == 5
    for contributions, norm in recorder.released:
        assert len(contributions) == 200
        lengths = np.linalg.norm(contributions, axis=1)
        assert lengths.max() <= norm * (1 + 1e-9)
    assert recorder.spent == pytest.approx(1.0)


def test_noise_alone_gives_the_prior():
    """A mean and variances that are mostly noise are set to those of N(0, I)."""
    latents, patients = 3 + np.random.default_rng(0).standard_normal((30, 8)), np.arange(30)

    def scaled(mu, noise_seed):
        mechanism = GaussianMechanism(mu, noise_seed=noise_seed)
        return fit_whitening_privately(
            latents, patients, np.eye(8), mechanism, num_scores=8, num_patients=30.0, shares=(0.5, 0.5)
        )

    prior = [
        np.allclose(made.mean_, 0) and np.allclose(made.mixing_, np.eye(8))
        for made in map(scaled, [0.05] * 20, range(20))
    ]
    assert np.mean(prior) > 0.7
    assert np.linalg.norm(scaled(100.0, 0).mean_) > 4
