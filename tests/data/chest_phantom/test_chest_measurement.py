"""The inverse measurement on fresh phantoms, sharp, blurred, noisy and of other sizes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from monai_hybridsynth.data import draw_images, draw_rows, measure_images


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return draw_rows(300, seed=31)


@pytest.fixture(scope="module")
def films(rows) -> np.ndarray:
    return draw_images(rows, spatial_size=64, seed=31)


def blurred(films: np.ndarray) -> np.ndarray:
    """Return the films as a 128-component PCA of other phantoms would give them back."""
    others = draw_images(draw_rows(400, seed=32), seed=32).reshape(400, -1).astype(np.float32)
    mean = others.mean(axis=0)
    _, vectors = np.linalg.eigh((others - mean) @ (others - mean).T)
    basis, _ = np.linalg.qr((others - mean).T @ vectors[:, -128:])
    return ((films.reshape(len(films), -1) - mean) @ basis @ basis.T + mean).reshape(films.shape)


def accuracy(measured: pd.DataFrame, rows: pd.DataFrame, name: str) -> float:
    return float((measured[name] == rows[name]).mean())


def correlation(measured: pd.Series, truth: pd.Series) -> float:
    known = truth.notna().to_numpy()
    return float(np.corrcoef(measured[known], truth[known])[0, 1])


@pytest.mark.parametrize(
    ("change", "ratio", "fluid", "side", "device"),
    [
        pytest.param(lambda films: films, 0.93, 0.90, 0.97, 0.97, id="sharp"),
        pytest.param(blurred, 0.90, 0.80, 0.96, 0.90, id="pca128"),
        pytest.param(lambda films: films[:, None] / 127.5 - 1, 0.93, 0.90, 0.97, 0.97, id="range-one"),
        pytest.param(
            lambda films: films + np.random.default_rng(0).normal(0, 12, films.shape),
            0.90,
            0.85,
            0.96,
            0.95,
            id="noise",
        ),
    ],
)
def test_accuracy_on_fresh_phantoms(rows, films, change, ratio, fluid, side, device):
    measured = measure_images(change(films))
    assert correlation(measured["cardiothoracic_ratio"], rows["cardiothoracic_ratio"]) > ratio
    assert correlation(np.sqrt(measured["effusion_ml"]), np.sqrt(rows["effusion_ml"])) > fluid
    assert accuracy(measured, rows, "opacity_side") > side
    assert accuracy(measured, rows, "device") > device
    assert accuracy(measured, rows, "view") > 0.96
    assert accuracy(measured, rows, "sex") > 0.92


@pytest.mark.parametrize("spatial_size", [32, 128])
def test_other_sizes(rows, spatial_size):
    measured = measure_images(draw_images(rows[:120], spatial_size=spatial_size, seed=31))
    assert correlation(measured["cardiothoracic_ratio"], rows["cardiothoracic_ratio"][:120]) > 0.88
    assert accuracy(measured, rows[:120], "opacity_side") > 0.95


def test_both_sites_are_measured():
    rows = draw_rows(150, seed=33, variant="two_site")
    measured = measure_images(draw_images(rows, seed=33))
    for _, group in rows.groupby("site"):
        assert accuracy(measured.loc[group.index], group, "opacity_side") > 0.93


def test_shuffled_images_measure_nothing(rows, films):
    measured = measure_images(np.roll(films, 57, axis=0))
    assert abs(correlation(measured["cardiothoracic_ratio"], rows["cardiothoracic_ratio"])) < 0.2
    assert accuracy(measured, rows, "opacity_side") < 0.45


def test_measures_each_image_alone(films):
    together = measure_images(films[:9])[5:].reset_index(drop=True)
    pd.testing.assert_frame_equal(measure_images(films[5:9]), together, rtol=1e-3, atol=0.05)


def test_refuses():
    with pytest.raises(ValueError, match=r"multiple of 64, got \(2, 50, 50\)"):
        measure_images(np.zeros((2, 50, 50)))
    with pytest.raises(ValueError, match="not finite"):
        measure_images(np.full((2, 64, 64), np.nan))
