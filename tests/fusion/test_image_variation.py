"""Noise of images whose covariance depends on the row: found where it differs, left alone where it does not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file, save_file
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.metrics import roc_auc_score

from monai_hybridsynth.data import infer_schema
from monai_hybridsynth.fusion import ConditionalGaussianSynthesizer
from monai_hybridsynth.fusion.image_variation import FEWEST_PATIENTS, ImageVariation, _factors, _Fold

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


def test_images_of_a_patient_share_its_weight_and_its_fold():
    noise, said = _rows(500, seed=0, differ=False)
    once = _fit(noise, said)
    patients = np.repeat(np.arange(500), 10)
    often = _fit(np.repeat(noise, 10, axis=0), np.repeat(said, 10, axis=0), patients=patients)
    assert np.array_equal(once.variables, often.variables), "a fold that knew the patient would find every difference"
    noise, said = _rows(500, seed=1)
    heavy = np.where(np.arange(500) < 100, 20, 1)
    rows = np.repeat(np.arange(500), heavy)
    weighted = _fit(noise[rows], said[rows], patients=rows, weights=1 / heavy[rows])
    assert weighted.covariances == pytest.approx(_fit(noise, said).covariances, abs=0.02)


def test_one_patient_moves_little():
    noise, said = _rows(400, seed=0)
    extreme = noise.copy()
    extreme[7] = 3.5
    whole, other = _fit(noise, said), _fit(extreme, said)
    shared = [list(found.variables).index(0) for found in (whole, other)]
    difference = np.abs(whole.covariances[shared[0]] - other.covariances[shared[1]])
    assert difference.max() < 3.5**2 / (400 / 2) * 2.5


def test_a_column_given_twice_changes_nothing():
    rng = np.random.default_rng(0)
    noise, said = rng.standard_normal((400, 40)), rng.choice([-1.0, 1.0], size=(400, 1))
    noise *= np.sqrt(np.where(said > 0, np.repeat([1.5, 1.0], [8, 32]), np.repeat([0.5, 1.0], [8, 32])))
    once, often = _fit(noise, said), _fit(noise, np.repeat(said, 6, axis=1))
    assert len(once.variables) == len(often.variables) == 1
    assert np.array_equal(once.covariances, often.covariances)


def test_two_variables_together_vary_as_patients_do():
    rng = np.random.default_rng(0)
    said = rng.choice([-1.0, 1.0], size=(4000, 2))
    angle = np.eye(SIZE)
    angle[:2, :2] = [[0.8, -0.6], [0.6, 0.8]]
    first, second = np.diag([1.8, *np.ones(SIZE - 1)]), angle @ np.diag([0.6, 1.4, *np.ones(SIZE - 2)]) @ angle.T
    covariances = np.array([[2 * np.eye(SIZE) - first, first], [2 * np.eye(SIZE) - second, second]])
    truth = ImageVariation(np.array([0, 1]), covariances)
    noise = truth.vary(rng.standard_normal((4000, SIZE)), said)
    found = _fit(noise, said)
    assert sorted(found.variables) == [0, 1]
    plain = rng.standard_normal((80_000, SIZE))
    for one in (-1.0, 1.0):
        for other in (-1.0, 1.0):
            signs = np.tile([one, other], (80_000, 1))
            drawn, expected = (np.cov(model.vary(plain, signs), rowvar=False)[:2, :2] for model in (found, truth))
            assert drawn == pytest.approx(expected, abs=0.3), (one, other)


def test_a_difference_beyond_the_first_components_is_found():
    noise, said = np.random.default_rng(0).standard_normal((2000, 24)), _rows(2000, seed=0)[1]
    noise[:, 8:16] *= np.sqrt(np.where(said[:, :1] > 0, WIDE, NARROW))
    found = _fit(noise, said)
    assert list(found.variables) == [0]
    assert found.covariances[0, 1][10, 10] > 1.1 > 0.9 > found.covariances[0, 0][10, 10]


def test_factors_do_not_rise_and_leave_covariances():
    # The difference is all in the last components, where factors that followed it would rise.
    rng = np.random.default_rng(0)
    said = rng.choice([-1.0, 1.0], size=3000)
    common = rng.standard_normal((3000, 1)) * np.repeat([0.0, 3.0], 32)
    noise = rng.standard_normal((3000, 64)) + np.where(said[:, None] > 0, common, 0.0)
    folds = [_Fold(noise, np.ones(3000), np.arange(3000) % 5 == number) for number in range(5)]
    factors = _factors(folds, said)
    assert factors.any()
    assert np.diff(factors).max() <= 0
    few = np.where(np.arange(3000) < 30, 1.0, -1.0)  # their covariance is singular
    whole = _Fold(rng.standard_normal((3000, 64)), np.ones(3000), np.zeros(3000, dtype=bool))
    for covariance in whole.take(few, np.linspace(1, 0, 64)):
        assert np.linalg.eigvalsh(covariance)[0] > -1e-9


def test_covariances_are_relative_to_those_of_all():
    noise, said = _rows(900, seed=0)
    said[:, 0] = np.where((noise[:, 0] ** 2 > 0.8) | (np.arange(900) < 400), 0.8, -0.8)
    found = _fit(noise @ np.linalg.cholesky(np.eye(SIZE) + 0.5).T * 1.3, said)
    share = (said[:, found.variables[0]] > 0).mean()
    below, above = found.covariances[0]
    assert share * above + (1 - share) * below == pytest.approx(np.eye(SIZE), abs=0.01)


def test_a_difference_has_the_size_that_it_truly_has():
    learned = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        said = rng.choice([-1.0, 1.0], size=(400, 1))
        noise = rng.standard_normal((400, 40))
        noise[:, :8] *= np.sqrt(np.where(said > 0, 1.3, 0.7))
        found = _fit(noise, said)
        learned.append(np.linalg.norm(found.covariances[0, 1] - found.covariances[0, 0]))
    assert 0.8 < np.mean(learned) / (0.6 * np.sqrt(8)) < 1.2


def test_variables_are_given_in_the_order_opposite_to_that_in_which_they_were_taken():
    first, second = np.diag([1.9, 0.2]), np.array([[1.0, 0.8], [0.8, 1.0]])
    model = ImageVariation(np.array([0, 1]), np.array([[np.eye(2), first], [np.eye(2), second]]))
    drawn = model.vary(np.random.default_rng(0).standard_normal((100_000, 2)), np.ones((100_000, 2)))
    assert np.cov(drawn, rowvar=False) == pytest.approx(np.sqrt(first) @ second @ np.sqrt(first), abs=0.03)


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
    means_only = synthesizer.sample(2000, seed=1)
    assert _told(means_only, others) < 0.65
    weights = tmp_path / "artifact" / "weights.safetensors"
    older = {name: array for name, array in load_file(weights).items() if not name.startswith("variation.")}
    save_file(older, weights)
    pd.testing.assert_frame_equal(ConditionalGaussianSynthesizer.load(weights.parent).sample(2000, seed=1), means_only)
