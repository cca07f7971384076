"""Noise of images whose covariance depends on the row: found where it differs, left alone where it does not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.metrics import roc_auc_score

from monai_hybridsynth.data import infer_schema
from monai_hybridsynth.fusion import ConditionalGaussianSynthesizer
from monai_hybridsynth.fusion.image_variation import FEWEST_PATIENTS, ImageVariation

SIZE = 12
WIDE, NARROW = 1.7, 0.3


def _rows(count: int, *, seed: int, differ: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Return noise that is wide along the first score above the middle, and what two variables say."""
    rng = np.random.default_rng(seed)
    said = rng.choice([-0.8, 0.8], size=(count, 2))
    noise = rng.standard_normal((count, SIZE))
    if differ:
        noise[:, 0] *= np.sqrt(np.where(said[:, 0] > 0, WIDE, NARROW))
    return noise, said


def _fit(noise: np.ndarray, said: np.ndarray, **changed) -> ImageVariation:
    given = {"weights": np.ones(len(noise)), "patients": np.arange(len(noise)), "seed": 0} | changed
    return ImageVariation.fit(noise, said, **given)


def test_a_class_varies_as_its_patients_do():
    found = _fit(*_rows(900, seed=0))
    assert found.variables[0] == 0
    noise, said = np.random.default_rng(1).standard_normal((40_000, SIZE)), _rows(40_000, seed=2)[1]
    drawn = found.vary(noise, said)
    above = said[:, 0] > 0
    # Less than in truth: only what is sure is learned.
    assert WIDE - 0.25 < drawn[above, 0].var() < WIDE + 0.05
    assert NARROW - 0.05 < drawn[~above, 0].var() < NARROW + 0.25
    assert np.cov(drawn, rowvar=False) == pytest.approx(np.eye(SIZE), abs=0.1)


@pytest.mark.parametrize("seed", range(5))
def test_chance_is_not_learned(seed):
    found = _fit(*_rows(300, seed=seed, differ=False))
    sizes = [np.linalg.norm(below - above) for below, above in found.covariances]
    by_chance = np.sqrt(SIZE * (SIZE + 1) / 2) * np.sqrt(2 / 300) * 2
    assert sum(sizes) < 0.7 * by_chance


def test_rows_that_say_nothing_keep_their_noise():
    found = _fit(*_rows(900, seed=0))
    noise = np.random.default_rng(1).standard_normal((50, SIZE))
    assert np.array_equal(found.vary(noise, np.zeros((50, 2))), noise)


def test_the_given_noise_is_not_changed():
    found = _fit(*_rows(900, seed=0))
    noise, said = _rows(50, seed=3)
    before = noise.copy()
    found.vary(noise, said)
    assert np.array_equal(noise, before)


@pytest.mark.parametrize(("size", "fewest"), [(SIZE, FEWEST_PATIENTS), (100, 100)])
def test_few_patients_have_no_covariance_of_their_own(size, fewest):
    wide = np.random.default_rng(9).standard_normal((900, 100 - SIZE))
    for above in (fewest - 1, fewest):
        noise, said = _rows(900, seed=0)
        noise[:above, :4] *= 5
        said[:, 0] = np.where(np.arange(900) < above, 0.8, -0.8)
        found = _fit(np.concatenate([noise, wide], axis=1)[:, :size], said)
        assert (0 in found.variables) == (above == fewest)


def test_images_of_one_patient_count_once():
    noise, said = _rows(600, seed=0)
    said[:, 0] = np.where(np.arange(600) < 300, 0.8, -0.8)
    patients = np.where(np.arange(600) < 300, np.arange(600) % (FEWEST_PATIENTS - 1), np.arange(600))
    assert 0 not in _fit(noise, said, patients=patients).variables


def test_one_patient_moves_little():
    noise, said = _rows(400, seed=0)
    extreme = noise.copy()
    extreme[7] = 3.5
    whole, other = _fit(noise, said), _fit(extreme, said)
    shared = [list(found.variables).index(0) for found in (whole, other)]
    difference = np.abs(whole.covariances[shared[0]] - other.covariances[shared[1]])
    assert difference.max() < 3.5**2 / (400 / 2) * 2.5


def test_every_difference_leaves_covariances():
    noise, said = _rows(200, seed=0)
    noise[:, 1] = noise[:, 0] * np.sign(said[:, 0]) + 0.1 * noise[:, 1]
    found = _fit(noise, said)
    assert len(found.variables)
    assert min(np.linalg.eigvalsh(covariance)[0] for pair in found.covariances for covariance in pair) > -2e-3


def _cohort(count: int, seed: int) -> pd.DataFrame:
    """Return records whose image tells a class by how two latents go together, and by no mean."""
    rng = np.random.default_rng(seed)
    sex = rng.choice(["F", "M"], size=count)
    latents = rng.normal(size=(count, 6)) * [3, 2.5, 1, 1, 1, 1]
    latents[:, 1] = 0.9 * np.where(sex == "F", 1, -1) * latents[:, 0] + 0.6 * latents[:, 1]
    frame = pd.DataFrame(latents.astype(np.float32), columns=[f"latent_{number:03d}" for number in range(6)])
    return frame.assign(sex=sex, patient_id=[f"p{row}" for row in range(count)])


def _told(trained_on: pd.DataFrame, tested_on: pd.DataFrame) -> float:
    names = [name for name in trained_on if name.startswith("latent")]
    judge = QuadraticDiscriminantAnalysis().fit(trained_on[names], trained_on["sex"])
    return roc_auc_score(tested_on["sex"] == "M", judge.predict_proba(tested_on[names])[:, 1])


def test_records_keep_a_link_that_is_in_no_mean(tmp_path):
    real, others = _cohort(400, 0), _cohort(1000, 1)
    synthesizer = ConditionalGaussianSynthesizer(link_gain=1.0, image_spread=1.0)
    drawn = synthesizer.fit(real, infer_schema(real[["patient_id", "sex"]]), seed=0).sample(2000, seed=1)
    assert _told(drawn, others) > 0.95 * _told(real, others) > 0.8
    again = ConditionalGaussianSynthesizer.load(synthesizer.save(tmp_path / "artifact")).sample(2000, seed=1)
    pd.testing.assert_frame_equal(again, drawn)
    synthesizer.variation_ = None
    assert _told(synthesizer.sample(2000, seed=1), others) < 0.65
