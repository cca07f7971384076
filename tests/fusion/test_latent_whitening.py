"""Whitening: scores of unit variance, moments that come back, directions that carry the row."""

from __future__ import annotations

import numpy as np
import pytest

from monai_hybridsynth.fusion import LatentWhitening

ROWS, WIDTH = 400, 12


def make_latents(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return latents whose fourth smallest direction alone follows a binary column."""
    rng = np.random.default_rng(seed)
    label = (rng.random(ROWS) < 0.5).astype(float)
    scales = np.linspace(3.0, 0.5, WIDTH)
    scores = rng.normal(size=(ROWS, WIDTH))
    scores[:, 8] = 0.4 * scores[:, 8] + 0.9 * (2 * label - 1)
    turn, _ = np.linalg.qr(rng.normal(size=(WIDTH, WIDTH)))
    return 5.0 + (scores * scales) @ turn.T, label[:, None]


def fit(
    num_components: int, *, directions: str, patients: np.ndarray | None = None
) -> tuple[LatentWhitening, np.ndarray]:
    latents, label = make_latents()
    patients = np.arange(ROWS) if patients is None else patients
    whitening = LatentWhitening(num_components, directions=directions)
    return whitening.fit(latents, label, weights=np.ones(ROWS), patients=patients, seed=0), latents


@pytest.mark.parametrize("directions", ["clinical", "principal"])
def test_scores_are_uncorrelated_with_unit_variance(directions):
    whitening, latents = fit(6, directions=directions)
    scores = whitening.transform(latents)
    np.testing.assert_allclose(np.cov(scores.T, bias=True), np.eye(6), atol=0.05)
    np.testing.assert_allclose(scores.mean(0), 0, atol=0.05)


@pytest.mark.parametrize("directions", ["clinical", "principal"])
@pytest.mark.parametrize("num_components", [1, 5, 12])
def test_moments_come_back_however_many_scores_are_modelled(directions, num_components):
    whitening, latents = fit(num_components, directions=directions)
    rng = np.random.default_rng(1)
    drawn = whitening.inverse(rng.standard_normal((60_000, whitening.num_scores_)), rng)
    assert drawn.dtype == np.float32
    np.testing.assert_allclose(drawn.mean(0), latents.mean(0), atol=0.06)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(latents.T), atol=0.25)


def test_all_scores_give_the_latents_back():
    whitening, latents = fit(WIDTH, directions="clinical")
    back = whitening.inverse(whitening.transform(latents), np.random.default_rng(0))
    np.testing.assert_allclose(back, latents, atol=0.01)


def test_clinical_directions_come_first():
    _, label = make_latents()

    def link(directions):
        whitening, latents = fit(2, directions=directions)
        return np.abs(np.corrcoef(whitening.transform(latents).T, label[:, 0])[-1, :2]).max()

    assert link("clinical") > 0.8
    assert link("principal") < 0.4, "the linked direction is not among the two largest"


def test_components_are_limited_by_patients():
    """Five patients with eighty images each span no more than one component."""
    whitening, _ = fit(8, directions="principal", patients=np.arange(ROWS) % 5)
    assert whitening.num_scores_ == 1
    assert whitening.residual_.min() > 0.1, "what is left out is drawn as noise"
    latents, label = make_latents()
    finer = LatentWhitening(8, directions="principal", patients_per_component=2)
    finer.fit(latents, label, weights=np.ones(ROWS), patients=np.arange(ROWS) % 5, seed=0)
    assert finer.num_scores_ == 2


def test_one_extreme_image_does_not_rule():
    latents, label = make_latents()
    more = np.concatenate([latents, np.full((1, WIDTH), 1e4)])
    weights = np.ones(ROWS + 1)
    whitening = LatentWhitening(3, directions="principal").fit(
        more, np.concatenate([label, label[:1]]), weights=weights, patients=np.arange(ROWS + 1), seed=0
    )
    assert np.abs(whitening.mean_ - latents.mean(0)).max() < 0.3
    assert np.abs(whitening.mixing_).max() < 10


def test_arrays_rebuild_it():
    whitening, latents = fit(4, directions="clinical")
    again = LatentWhitening.from_arrays(whitening.to_arrays(), num_scores=4)
    np.testing.assert_array_equal(again.transform(latents), whitening.transform(latents))


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="num_components is 0"):
        LatentWhitening(0)
    with pytest.raises(ValueError, match="directions is 'pca'"):
        LatentWhitening(3, directions="pca")
    with pytest.raises(ValueError, match="patients_per_component is 0"):
        LatentWhitening(3, patients_per_component=0)
    with pytest.raises(ValueError, match="do not vary"):
        LatentWhitening(3).fit(np.ones((9, 4)), np.zeros((9, 0)), weights=np.ones(9), patients=np.arange(9), seed=0)


def test_public_axes_say_less_of_who_was_trained_on():
    rng = np.random.default_rng(3)
    turn, _ = np.linalg.qr(rng.normal(size=(60, 60)))
    people = rng.normal(size=(300, 60)) * np.linspace(3, 0.3, 60) @ turn.T
    known, strangers = people[:150], people[150:]

    def told_apart(axes):
        whitening = LatentWhitening(60, directions="principal", patients_per_component=2).fit(
            known, np.zeros((150, 0)), weights=np.ones(150), patients=np.arange(150), seed=0, axes=axes
        )
        assert whitening.num_scores_ == 60
        far = [(whitening.transform(side) ** 2).sum(axis=1) for side in (known, strangers)]
        return (far[1][:, None] > far[0]).mean()

    assert told_apart(None) > 0.8
    assert told_apart(turn.T) == pytest.approx(0.5, abs=0.08)


def test_all_public_axes_take_part_however_few_the_patients():
    latents, label = make_latents()
    turn, _ = np.linalg.qr(np.random.default_rng(5).normal(size=(WIDTH, WIDTH)))
    whitening = LatentWhitening(WIDTH, directions="principal").fit(
        latents, label, weights=np.ones(ROWS), patients=np.arange(ROWS) % 20, seed=0, axes=turn.T
    )
    assert whitening.num_scores_ == WIDTH
    rng = np.random.default_rng(1)
    drawn = whitening.inverse(rng.standard_normal((40_000, WIDTH)), rng)
    np.testing.assert_allclose((drawn @ turn).var(0), (latents @ turn).var(0), rtol=0.05)
