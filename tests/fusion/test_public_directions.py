from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import save_file

from monai_hybridsynth.fusion import CTGANSynthesizer, JointFlowSynthesizer
from monai_hybridsynth.fusion.latent_whitening import clip_outliers
from monai_hybridsynth.fusion.public_directions import public_axes_hold, read_directions, slope_prior


def test_directions_are_read_and_checked(tmp_path):
    basis, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((6, 6)))
    save_file({"directions": basis.astype(np.float32)}, tmp_path / "encoder_public.safetensors")
    assert read_directions(tmp_path / "encoder_public.safetensors", 6) == pytest.approx(basis, abs=1e-6)
    assert np.array_equal(read_directions(None, 4), np.eye(4))
    with pytest.raises(ValueError, match="the table has 5 latents"):
        read_directions(tmp_path / "encoder_public.safetensors", 5)
    save_file({"directions": np.ones((6, 6), dtype=np.float32)}, tmp_path / "skew.safetensors")
    with pytest.raises(ValueError, match="give the file of the encoder"):
        read_directions(tmp_path / "skew.safetensors", 6)
    with pytest.raises(ValueError, match="is no file"):
        read_directions(tmp_path / "absent.safetensors", 6)


def test_slopes_are_expected_along_what_changes_images(tmp_path):
    basis, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((4, 4)))
    changes = np.array([16.0, 1.0, 1.0, 0.0625])
    path = tmp_path / "encoder_public.safetensors"
    save_file({"directions": basis.astype(np.float32), "changes": changes.astype(np.float32)}, path)
    root = slope_prior(path, 4, along_public=False)
    values, axes = np.linalg.eigh(root @ root.T)
    assert values == pytest.approx([0.25, 1, 1, 4], abs=1e-5), "the root of how much each direction changes images"
    few = slope_prior(path, 4, along_public=True)
    assert np.linalg.eigvalsh(few @ few.T) == pytest.approx([1 / 64, 1, 1, 64], abs=1e-4), (
        "a covariance: twice the power"
    )
    assert np.abs(axes[:, -1] @ basis[0]) == pytest.approx(1, abs=1e-5)
    assert np.array_equal(slope_prior(None, 3, along_public=True), np.eye(3))
    save_file({"directions": basis.astype(np.float32)}, path)
    with pytest.raises(ValueError, match="changes.* written anew"):
        slope_prior(path, 4, along_public=True)


def test_public_axes_are_given_up_for_images_that_vary_otherwise():
    rng = np.random.default_rng(0)
    turn, _ = np.linalg.qr(rng.standard_normal((20, 20)))
    latents = rng.standard_normal((300, 20)) * np.linspace(3, 0.2, 20) @ turn.T

    def hold(rows, axes):
        patients = np.arange(rows) // 2
        return public_axes_hold(latents[:rows], axes, weights=np.ones(rows), patients=patients, seed=0)

    assert hold(300, turn.T)
    assert not hold(300, np.eye(20)), "a covariance of 150 patients is better than foreign axes"
    assert hold(16, np.eye(20)), "eight patients have none"
    assert hold(1, turn.T)


@pytest.mark.parametrize("kind", ["flow", "CTGAN"])
def test_networks_learn_scores_along_public_axes(kind, table, schema, tmp_path):
    names = [name for name in table if name.startswith("latent_")]
    turn = np.linalg.eigh(table[names].iloc[1::2].cov())[1].T
    path = tmp_path / "encoder_public.safetensors"
    save_file({"axes": np.ascontiguousarray(turn, dtype=np.float32)}, path)
    along = []
    for known in (None, path):
        options = {"latent_components": 3, "public_encoder": known, "progress": False}
        if kind == "flow":
            made = JointFlowSynthesizer(max_steps=2, **options).fit(table, schema, seed=0)
            whitening = made.vectors_.whitening
        else:
            short = {"steps": 2, "batch_size": 20, "max_clusters": 2}
            made = CTGANSynthesizer("tuned", **short, **options).fit(table, schema, seed=0)
            whitening = made.whitening_
        scores = whitening.transform(clip_outliers(table[names].to_numpy(dtype=float), np.ones(len(table))))
        assert scores.std(axis=0) == pytest.approx(1, abs=0.01)
        covariance = turn @ whitening.mixing_ @ whitening.mixing_.T @ turn.T
        along.append(np.abs(covariance - np.diag(np.diag(covariance))).max())
        assert str(tmp_path) not in (made.save(tmp_path / "artifact") / "synthesizer.json").read_text()
    assert along[1] < 1e-4 < 0.01 < along[0], "scores are along the public axes, and only then"


def test_without_scores_there_are_no_axes():
    assert CTGANSynthesizer("paper", public_encoder="encoder_public.safetensors").public_encoder is None
