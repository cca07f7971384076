"""Image latents to a few uncorrelated scores of unit variance, and back with the rest drawn again."""

from __future__ import annotations

import numpy as np

from monai_hybridsynth.transforms.published_statistics import patient_folds, weighted_quantile

__all__ = ["LatentWhitening", "clip_outliers"]

CLIP_SPREADS = 5.0
PENALTIES = tuple(float(10**power) for power in np.arange(0.0, 4.6, 0.5))


class LatentWhitening:
    """Turn latents into the scores that a table model learns; what is left out is Gaussian noise of the same size.

    The latents are written as ``mean + mixing @ scores + residual * noise``: principal components of unit variance, one
    per ``patients_per_component`` at most (with a patient or two for each, their span would single out the patients
    that it was computed from), rotated so that the first ``num_components`` scores carry what the clinical columns say
    (``directions="clinical"``: left singular vectors of a ridge regression of the columns on the components, its
    penalty chosen per column by cross-validation over patients) or the largest variances (``"principal"``). Only those
    are modelled. On the way back the remaining components are drawn from N(0, 1) and the part outside of all components
    from a Gaussian of each latent's left-over variance, both independent of the row.

    Principal components of some hundred patients fit these better than others: who has the covariance, or images enough
    and the encoder to estimate it, can tell them apart. Where public images give the axes (``fit(axes=...)``), only the
    variance along each is learned, so that all axes may take part; scores along clinical directions are brought to unit
    variance, so that they do not carry the covariance of these patients either.

    Args:
        num_components: how many scores to keep.
        directions: ``"clinical"`` or ``"principal"``.
        patients_per_component: patients that each component stands for, at least.

    Shape:
        - latents ``(rows, latents)``, scores ``(rows, num_components)``
    """

    def __init__(self, num_components: int, *, directions: str = "clinical", patients_per_component: int = 4) -> None:
        if num_components < 1:
            raise ValueError(f"num_components is {num_components}; it must be at least 1.")
        if directions not in ("clinical", "principal"):
            raise ValueError(f"directions is {directions!r}; it must be 'clinical' or 'principal'.")
        if patients_per_component < 1:
            raise ValueError(f"patients_per_component is {patients_per_component}; it must be at least 1.")
        self.num_components = num_components
        self.directions = directions
        self.patients_per_component = patients_per_component

    def fit(
        self,
        latents: np.ndarray,
        vectors: np.ndarray,
        *,
        weights: np.ndarray,
        patients: np.ndarray,
        seed: int,
        axes: np.ndarray | None = None,
    ) -> LatentWhitening:
        """Learn the components.

        Args:
            latents: shape ``(rows, latents)``.
            vectors: encoded clinical columns, shape ``(rows, F)``; unused by ``"principal"``.
            weights: one weight per row, so that every patient counts once.
            patients: one identifier per row.
            seed: of the folds that choose the ridge penalty.
            axes: public ones in place of the principal components, one a row, ``(latents, latents)``.
        """
        latents = clip_outliers(np.asarray(latents, dtype=float), weights)
        share = weights / weights.sum()
        self.mean_ = share @ latents
        centred = latents - self.mean_
        most, public = latents.shape[1], axes is not None
        if axes is None:
            values, axes = np.linalg.eigh((centred * share[:, None]).T @ centred)
            most = max(1, min(most, len(np.unique(patients)) // self.patients_per_component))
        else:
            axes = axes.T
            values = share @ (centred @ axes) ** 2
        order = np.argsort(values)[::-1]
        order = order[:most][values[order[:most]] > 1e-8 * max(values.max(), 1e-12)]
        if len(order) == 0:
            raise ValueError("the latent columns do not vary; encode the images again before fitting.")
        scale, axes = np.sqrt(values[order]), axes[:, order]
        rotation = np.eye(len(order))
        if self.directions == "clinical" and vectors.shape[1]:
            rotation = _clinical_rotation(centred @ axes / scale, vectors, share, patients, seed)
        self.mixing_ = (axes * scale) @ rotation
        self.unmixing_ = rotation.T @ (axes / scale).T
        if public and self.directions == "clinical":
            # Along public axes these patients' components correlate by chance, and a rotation fitted to them finds
            # where: scores would have a variance that strangers do not have.
            self.unmixing_ /= np.sqrt(share @ (centred @ self.unmixing_.T) ** 2)[:, None]
        left = (share[:, None] * (centred - centred @ axes @ axes.T) ** 2).sum(axis=0)
        self.residual_ = np.sqrt(np.maximum(left, 0.0))
        self.num_scores_ = min(self.num_components, len(order))
        self._to_float32()
        return self

    def transform(self, latents: np.ndarray) -> np.ndarray:
        """Return the modelled scores, float64."""
        centred = np.asarray(latents, dtype=float) - self.mean_
        return centred @ self.unmixing_[: self.num_scores_].T.astype(float)

    def inverse(self, scores: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return latents, float32: the scores' part plus what is drawn independently of the row."""
        width = self.mixing_.shape[1] - self.num_scores_
        scores = np.concatenate([scores, rng.standard_normal((len(scores), width))], axis=1)
        noise = rng.standard_normal((len(scores), len(self.mean_)))
        return (self.mean_ + scores @ self.mixing_.T.astype(float) + noise * self.residual_).astype(np.float32)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the fitted arrays by name, float32."""
        return {"mean": self.mean_, "mixing": self.mixing_, "unmixing": self.unmixing_, "residual": self.residual_}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], *, num_scores: int) -> LatentWhitening:
        """Rebuild a fitted whitening."""
        whitening = cls(num_scores)
        whitening.num_scores_ = num_scores
        for name in ("mean", "mixing", "unmixing", "residual"):
            setattr(whitening, f"{name}_", np.asarray(arrays[name], dtype=np.float32))
        return whitening

    def _to_float32(self) -> None:
        """Keep what the artifact keeps, so that sampling before and after saving agrees to the bit."""
        for name, value in self.to_arrays().items():
            setattr(self, f"{name}_", np.ascontiguousarray(value, dtype=np.float32))


def clip_outliers(latents: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Limit every latent to five robust spreads around its median, so that no single image rules the covariance."""
    clipped = latents.copy()
    for column in range(latents.shape[1]):
        low, middle, high = (weighted_quantile(latents[:, column], weights, level) for level in (0.25, 0.5, 0.75))
        reach = CLIP_SPREADS * (high - low) / 1.349
        if reach > 0:
            clipped[:, column] = np.clip(latents[:, column], middle - reach, middle + reach)
    return clipped


def _clinical_rotation(
    components: np.ndarray, vectors: np.ndarray, share: np.ndarray, patients: np.ndarray, seed: int
) -> np.ndarray:
    """Return an orthonormal basis whose first axes carry what a ridge regression of the clinical columns uses."""
    mean = share @ vectors
    target = vectors - mean
    target = target / np.sqrt(np.maximum(share @ target**2, 1e-12))
    penalties = _choose_penalties(components, target, share, patients, seed)
    slopes = np.stack(
        [_ridge(components, target[:, [i]], share, penalty)[:, 0] for i, penalty in enumerate(penalties)], axis=1
    )
    axes, strength, _ = np.linalg.svd(slopes, full_matrices=False)
    axes = axes[:, strength > 1e-6 * max(strength.max(), 1e-12)]
    basis, upper = np.linalg.qr(np.concatenate([axes, np.eye(len(slopes))], axis=1))
    return basis * np.where(np.diag(upper[:, : len(slopes)]) < 0, -1.0, 1.0)


def _ridge(components: np.ndarray, target: np.ndarray, share: np.ndarray, penalty: float) -> np.ndarray:
    """Return weighted ridge slopes; ``penalty`` counts in rows."""
    gram = (components * share[:, None]).T @ components * len(components)
    moment = (components * share[:, None]).T @ target * len(components)
    return np.linalg.solve(gram + penalty * np.eye(gram.shape[0]), moment)


def _choose_penalties(
    components: np.ndarray, target: np.ndarray, share: np.ndarray, patients: np.ndarray, seed: int
) -> list[float]:
    """Choose each column's penalty by the squared error on patients left out, in up to five folds."""
    fold = patient_folds(patients, 5, seed=seed)
    error = np.zeros((len(PENALTIES), target.shape[1]))
    for left_out in np.unique(fold):
        train, test = fold != left_out, fold == left_out
        if not train.any():
            return [PENALTIES[-1]] * target.shape[1]
        for row, penalty in enumerate(PENALTIES):
            slopes = _ridge(components[train], target[train], share[train] / share[train].sum(), penalty)
            error[row] += (share[test, None] * (target[test] - components[test] @ slopes) ** 2).sum(axis=0)
    return [PENALTIES[row] for row in error.argmin(axis=0)]
