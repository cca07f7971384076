"""Images drawn given rows: class-wise means, also of nominal columns, and the spread that is left."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest

from monai_hybridsynth.data import infer_schema
from monai_hybridsynth.fusion import ConditionalGaussianSynthesizer
from monai_hybridsynth.fusion.gaussian_copula import GaussianCopula
from monai_hybridsynth.fusion.image_given_row import ImageGivenRow, _matched_noise
from monai_hybridsynth.fusion.underlying_columns import UnderlyingSteps

SHIFT = {"none": 0.0, "left": -3.0, "right": 3.0}


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    side = rng.choice(list(SHIFT), size=900, p=[0.6, 0.2, 0.2])
    latents = rng.normal(size=(900, 4)) * [0.5, 1.0, 1.0, 1.0]
    latents[:, 0] += [SHIFT[value] for value in side]
    frame = pd.DataFrame(latents.astype(np.float32), columns=[f"latent_{number:03d}" for number in range(4)])
    return frame.assign(side=side, age=rng.integers(20, 80, 900), patient_id=[f"p{row}" for row in range(900)])


def test_images_of_a_nominal_value_lie_where_those_of_patients_do(table):
    schema = infer_schema(table[["patient_id", "side", "age"]])
    synthesizer = ConditionalGaussianSynthesizer(link_gain=1.0, image_spread=1.0)
    drawn = synthesizer.fit(table, schema, seed=0).sample(6000, seed=1)
    real, made = (part.groupby("side")["latent_000"].agg(["mean", "std"]) for part in (table, drawn))
    assert made["mean"].to_numpy() == pytest.approx(real["mean"].to_numpy(), abs=0.5)
    assert made["std"].max() < 1.3, "one joint normal would spread a value over 1.9"


def _binary(link: float, gain: float) -> ImageGivenRow:
    joint = np.array([[1.0, min(link, 0.99)], [min(link, 0.99), 1.0]])
    column = UnderlyingSteps("sex", False, [], ("F", "M"), (0.0,))
    return ImageGivenRow(GaussianCopula(np.zeros(2), joint), [column], links=np.array([[link]]), gain=gain)


def test_means_are_those_of_a_normal_variable_cut_in_two():
    image = _binary(0.6, 1.0)
    z = np.random.default_rng(0).normal(size=(40_000, 1))
    scores = image.draw(z, np.random.default_rng(1))[:, 0]
    half = np.sqrt(2 / np.pi)
    assert scores[z[:, 0] > 0].mean() == pytest.approx(0.6 * half, abs=0.02)
    assert scores[z[:, 0] < 0].mean() == pytest.approx(-0.6 * half, abs=0.02)
    assert scores.var() == pytest.approx(1.0, abs=0.02)


def test_a_gain_moves_the_means_and_leaves_the_spread():
    z = np.repeat([[1.0], [-1.0]], 20_000, axis=0)
    plain, moved = (_binary(0.6, gain).draw(z, np.random.default_rng(1))[:, 0] for gain in (1.0, 1.5))
    assert moved[:20_000].mean() == pytest.approx(1.5 * plain[:20_000].mean(), rel=0.05)
    assert moved[:20_000].std() == pytest.approx(plain[:20_000].std(), rel=1e-6)


def test_a_link_stronger_than_all_variance_is_reduced():
    scores = _binary(2.0, 1.0).draw(np.random.default_rng(0).normal(size=(20_000, 1)), np.random.default_rng(1))
    assert scores.var() == pytest.approx(1.0, abs=0.03)


def test_images_of_a_cohort_are_related_to_its_rows_by_the_links_alone():
    z = np.random.default_rng(0).normal(size=(400, 1))
    scores = _binary(0.6, 1.0).draw(z, np.random.default_rng(1))[:, 0]
    half = np.sqrt(2 / np.pi)
    said = np.where(z[:, 0] > 0, half, -half)
    slope = np.cov(said, scores)[0, 1] / said.var(ddof=1)
    assert slope == pytest.approx(0.6, abs=0.01), "independent noise: standard error .05"


@pytest.mark.parametrize("rows", [1, 6, 40, 400])
def test_every_record_alone_is_a_draw_of_the_model(rows):
    # One row of a kind: matched noise without compensation would leave it none.
    z = np.where(np.arange(rows) == 0, 1.0, -1.0)[:, None]
    image, rng = _binary(0.6, 1.0), np.random.default_rng(1)
    first = np.array([image.draw(z, rng)[0, 0] for _ in range(4000)])
    half = np.sqrt(2 / np.pi)
    assert first.mean() == pytest.approx(0.6 * half, abs=0.06)
    assert first.var() == pytest.approx(1 - 0.36 * half**2, abs=0.08)
    assert kstest((first - first.mean()) / first.std(), "norm").pvalue > 1e-3


def test_noise_is_drawn_with_the_moments_of_the_model():
    said = np.random.default_rng(0).normal(size=(256, 5))
    for size in (50, 100):
        noise = _matched_noise(said, size, np.random.default_rng(1))
        alone = np.random.default_rng(1).normal(size=(256, size))
        assert np.abs(said.T @ noise / 256).max() < 0.25 * np.abs(said.T @ alone / 256).max()
        spread = [np.linalg.norm(np.cov(part.T) - np.eye(size)) for part in (noise, alone)]
        assert (spread[0] < 0.25 * spread[1]) == (size == 50), "where there are rows enough for it"


@pytest.mark.parametrize("rows", [4, 12, 256])
def test_no_row_is_pressed_onto_a_sphere(rows):
    said, rng = np.random.default_rng(0).normal(size=(rows, 1)), np.random.default_rng(1)
    lengths = np.concatenate([(_matched_noise(said, 20, rng) ** 2).sum(axis=1) for _ in range(4096 // rows)])
    assert lengths.mean() == pytest.approx(20, rel=0.05)
    assert lengths.var() > 0.75 * 2 * 20, "twice the entries, if all are independent"
