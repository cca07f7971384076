"""Directions of a latent space that are known without any patient of a cohort: the encoder's public file holds them."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from monai_hybridsynth.transforms.published_statistics import patient_folds

__all__ = ["public_axes", "public_axes_hold", "read_directions", "slope_prior"]

FOLDS = 5
RIDGE = 1e-3
# 0 for slopes that are alike on all latents, 1 for slopes that are alike on the pixels of generated images. The columns
# of NIH training patients are likeliest at about the first. At the second links take fewer directions: they hold nearly
# as well, and records tell less of who the patients are (`benchmarks/link_prior.py`), where the axes do not tell it.
PIXEL_POWER, PUBLIC_PIXEL_POWER = 0.25, 0.75


def read_directions(path: str | Path | None, num_latents: int, *, kind: str = "directions") -> np.ndarray:
    """Return orthonormal directions, one a row, float64 ``(num_latents, num_latents)``.

    Args:
        path: safetensors file that `write_public_encoder` wrote; None for the latents as they are numbered.
        num_latents: of the table.
        kind: ``"directions"``, those first that change images of the generator most, or ``"axes"``, the principal
            components of the latents of public images.

    Raises:
        ValueError: if the file's latent space has another size, or there is no such file.
    """
    if path is None:
        return np.eye(num_latents)
    from safetensors.numpy import load_file

    if not Path(path).is_file():
        raise ValueError(f"{kind}: {path} is no file; give encoder_public.safetensors, or None.")
    found = load_file(path).get(kind, np.zeros((0, 0))).astype(float)
    if found.shape != (num_latents, num_latents) or not np.allclose(found @ found.T, np.eye(len(found)), atol=1e-3):
        raise ValueError(
            f"{path} holds {kind} of shape {found.shape}, the table has {num_latents} latents; give the file of "
            "the encoder that made the latents, written anew by write_public_encoder() if it is older than this "
            "version. Fewer public images than latents have no axes: then do without (public_encoder=None; in the "
            "bundle public_axes=false)."
        )
    return found


def slope_prior(path: str | Path | None, num_latents: int, *, along_public: bool) -> np.ndarray:
    """Return a root of the covariance that slopes of clinical variables on latents are expected to have.

    What a row says is more likely about what shows in an image: slopes are expected to be larger along directions that
    change images of the generator more.

    Args:
        path: as `read_directions` takes it; None for slopes that are alike on all latents.
        num_latents: of the table.
        along_public: whether the latents are learned along public axes.

    Returns:
        shape ``(num_latents, num_latents)``.

    Raises:
        ValueError: as `read_directions`, or if the file does not say how much each direction changes images.
    """
    directions = read_directions(path, num_latents)
    if path is None:
        return directions
    from safetensors.numpy import load_file

    changes = load_file(path).get("changes", np.zeros(0))
    if changes.shape != (num_latents,):
        raise ValueError(
            f"{path} holds no changes of {num_latents} directions; have it written anew by write_public_encoder() of "
            "this version, or do without (public_encoder=None; in the bundle public_axes=false)."
        )
    return directions.T * changes.astype(float) ** (PUBLIC_PIXEL_POWER if along_public else PIXEL_POWER)


def public_axes(
    path: str | Path | None, latents: np.ndarray, *, weights: np.ndarray, patients: np.ndarray, seed: int
) -> np.ndarray | None:
    """Return the axes of the encoder's public images, one a row, if there are any that these images vary along.

    Where they vary otherwise it warns.

    Args:
        path: as `read_directions` takes it; None for no axes.
        latents: without outliers (`clip_outliers`), shape ``(rows, latents)``.
        weights: one per row, so that every patient counts once.
        patients: one identifier per row.
        seed: of the folds.
    """
    if path is None:
        return None
    axes = read_directions(path, latents.shape[1], kind="axes")
    if public_axes_hold(latents, axes, weights=weights, patients=patients, seed=seed):
        return axes
    warnings.warn(
        "the encoder's public images vary unlike these, so that latents are learned along the principal components of "
        "these patients: whoever has the encoder and the records can tell them from others. An encoder trained on "
        "images like these does not have this cost.",
        stacklevel=3,
    )
    return None


def public_axes_hold(
    latents: np.ndarray, axes: np.ndarray, *, weights: np.ndarray, patients: np.ndarray, seed: int
) -> bool:
    """Return whether independent variances along public axes describe patients left out as well as a covariance does.

    Both are learned from the other patients, and compared by the mean log-likelihood of those left out. The public axes
    are given up only where they are worse by more than two standard errors over the folds: images unlike the public
    ones (drawn phantoms are) need axes of their own.

    Args:
        latents: shape ``(rows, latents)``.
        axes: by `read_directions`.
        weights: one per row, so that every patient counts once.
        patients: one identifier per row.
        seed: of the folds.
    """
    fold = patient_folds(patients, FOLDS, seed=seed)
    gains = []
    for left_out in np.unique(fold):
        test = fold == left_out
        if test.all():
            return True
        share = weights[~test] / weights[~test].sum()
        mean = share @ latents[~test]
        apart, others = latents[~test] - mean, latents[test] - mean
        half = np.sqrt(share)[:, None] * apart
        covariance = half.T @ half
        covariance += RIDGE * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
        own = (others * np.linalg.solve(covariance, others.T).T).sum(axis=1) + np.linalg.slogdet(covariance)[1]
        variance = np.maximum(share @ (apart @ axes.T) ** 2, 1e-12)
        public = ((others @ axes.T) ** 2 / variance).sum(axis=1) + np.log(variance).sum()
        gains.append(np.average(own - public, weights=weights[test]) / 2)
    return bool(np.mean(gains) + 2 * np.std(gains, ddof=1) / np.sqrt(len(gains)) >= 0)
