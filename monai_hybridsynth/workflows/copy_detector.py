"""Which images copy a patient of a cohort: the evaluation's measures, thresholds from the cohort's own patients."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch

from monai_hybridsynth.features import PixelPCA
from monai_hybridsynth.metrics import Estimate, share_estimate
from monai_hybridsynth.metrics.copy_share import copy_rule
from monai_hybridsynth.metrics.nearest_patients import nearest_by_features, nearest_by_pixels
from monai_hybridsynth.transforms.copy_changes import COPY_CHANGES

__all__ = ["CopyDetector", "as_pixels"]

MEASURES = ("pixel correlation", "principal components")
NUM_FOLDS = 5
NUM_PLANTED = 40
DIGITS = 3


class CopyDetector:
    """Tells copies of training images by pixel correlation and by principal components of pixels.

    An image is a copy if, by either measure, it comes much closer to one patient than to the next ten. How much is
    learned from the training patients: a fifth of them at a time is compared with the others, who are strangers.

    A generator does not give a training image back but its own rendering of it, which may lie far from the image and
    still be that patient's. So each patient is best represented by both.

    Args:
        images: of the training cohort, uint8 ``(T, C, S, S)``.
        groups: patient of each, shape ``(T,)``.
        rendered: the same images as the generator renders them (encoded and decoded), same shape; None for a generator
            that has no encoder.
        false_alarms: share of strangers that each measure may take for copies.
        seed: of the halves of patients on which thresholds are set and false alarms counted.

    Raises:
        ValueError: if there are fewer than four patients.

    Source:
        `copy_rule`; differs from the evaluation, where patients who were never used are the strangers.
    """

    def __init__(
        self,
        images: np.ndarray,
        groups: np.ndarray,
        *,
        rendered: np.ndarray | None = None,
        false_alarms: float = 0.01,
        seed: int = 0,
    ) -> None:
        if len(np.unique(groups)) < 4:
            raise ValueError(f"the cohort has {len(np.unique(groups))} patients; a threshold needs at least 4.")
        self.images, self.groups, self.seed = images, np.asarray(groups), seed
        # What a generated image of a patient looks like: strangers and planted copies are taken from here.
        self.shown = images if rendered is None else rendered
        self._bank = self._bank_of(np.ones(len(images), dtype=bool))
        self.rules = {
            name: copy_rule(contrast, self.groups, rate=false_alarms, seed=seed)
            for name, contrast in self._strangers().items()
        }
        # One contrast sets a threshold: rounded, so that what is published is not one patient's.
        self.thresholds = {name: round(float(rule.thresholds.mean()), DIGITS) for name, rule in self.rules.items()}

    @property
    def false_alarms(self) -> Estimate:
        """Share of training patients whose image one of the measures takes for a copy of somebody else's."""
        rules = list(self.rules.values())
        alarms = np.max([rule.alarms for rule in rules], axis=0)
        return share_estimate(round(float(alarms @ rules[0].weights)), rules[0].num_patients)

    def copies(self, images: np.ndarray) -> np.ndarray:
        """Return which images, uint8 ``(N, C, S, S)``, are copies, bool ``(N,)``."""
        if images.shape[1:] != self.images.shape[1:]:
            raise ValueError(
                f"images are {images.shape[1:]} but the training images were read as {self.images.shape[1:]}; "
                "give the spatial_size of the generated images."
            )
        found = self._bank.contrasts(images)
        # An exact copy is one whatever the threshold.
        return np.any([(found[name] < limit) | (found[name] <= 0) for name, limit in self.thresholds.items()], axis=0)

    @cached_property
    def sensitivity(self) -> dict[str, float]:
        """Share found of at most `NUM_PLANTED` training images, rendered if they can be, by how they were changed."""
        picked = np.random.default_rng(self.seed).permutation(len(self.images))[:NUM_PLANTED]
        planted = _scaled(self.shown[picked])
        found = self.copies(np.concatenate([as_pixels(change(planted)) for change in COPY_CHANGES.values()]))
        shares = found.reshape(len(COPY_CHANGES), len(picked)).mean(axis=1)
        return {name: round(float(share), 2) for name, share in zip(COPY_CHANGES, shares, strict=True)}

    def _bank_of(self, rows: np.ndarray) -> _Bank:
        """Return the images of some rows, and their renderings, to be compared with."""
        if self.shown is self.images:
            return _Bank(self.images[rows], self.groups[rows])
        return _Bank(np.concatenate([self.images[rows], self.shown[rows]]), np.tile(self.groups[rows], 2))

    def _strangers(self) -> dict[str, np.ndarray]:
        """Return by measure how near each training image comes to other patients; components are learned from these.

        Components that had seen an image would keep it farther from the others than a new one is.
        """
        codes = np.unique(self.groups, return_inverse=True)[1].reshape(-1)
        fold = (np.random.default_rng(self.seed).permutation(codes.max() + 1) % NUM_FOLDS)[codes]
        contrasts = {name: np.zeros(len(codes)) for name in MEASURES}
        for number in np.unique(fold):
            left_out = fold == number
            found = self._bank_of(~left_out).contrasts(self.shown[left_out])
            for name in MEASURES:
                contrasts[name][left_out] = found[name]
        return contrasts


class _Bank:
    """Images of patients, ready to be compared with."""

    def __init__(self, images: np.ndarray, groups: np.ndarray) -> None:
        self.images, self.groups = images, groups
        self.features = PixelPCA().fit(_scaled(images))
        self.embedded = self._embed(images)

    def contrasts(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Return by measure how much nearer each image comes to one patient than to the next."""
        by_pixels = nearest_by_pixels(images, self.images, self.groups)
        by_components = nearest_by_features(self._embed(images), self.embedded, self.groups)
        return dict(zip(MEASURES, (by_pixels.contrast, by_components.contrast), strict=True))

    def _embed(self, images: np.ndarray) -> np.ndarray:
        return self.features(_scaled(images)).double().numpy()


def as_pixels(images: torch.Tensor) -> np.ndarray:
    """Return images in [-1, 1] as they are written, uint8."""
    return ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).cpu().numpy()


def _scaled(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels).float().div_(127.5).sub_(1.0)
