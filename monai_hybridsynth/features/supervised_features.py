"""A judge trained in place on the real labels: what a small network sees that tells patients apart clinically."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy

import numpy as np
import torch
from monai.networks.nets import DenseNet
from monai.networks.utils import eval_mode, train_mode
from torch import nn
from torch.nn import functional

from monai_hybridsynth.features.pixel_pca import PixelPCA
from monai_hybridsynth.transforms import RandomBatchAffine

__all__ = ["SupervisedFeatures"]

SMALLEST_IMAGE = 16
FEWEST_PATIENTS = 20


class SupervisedFeatures(nn.Module):
    """Pooled features of a small DenseNet that learned all clinical columns of real training patients at once.

    Labels make it look at what matters clinically, and no generator had a hand in it. It has seen the training
    patients' labels: their features know a little more than those of new patients do, so figures in this space are
    read beside their floor, which compares held-out patients with the same training patients.

    A fifth of the patients is left out of the training to stop it in time. Features are reduced to their principal
    components over the training images, half whitened, mean square one, as predictors expect.

    Args:
        in_channels: image channels.
        num_outcomes: columns of the label matrix.
        max_epochs: passes over the training images at most.
        patience: passes without a better validation loss after which training stops.
        num_components: features at most.

    Shape:
        - input: ``(B, in_channels, S, S)`` in [-1, 1], S at least 16; output: ``(B, F)``, F at most ``num_components``

    Source:
        Features of a classifier trained on the real cohort as a judge: DuMont Schuette et al. 2021,
        https://arxiv.org/abs/2012.03769. Differs from the paper: a small DenseNet, all columns at once.
    """

    def __init__(
        self,
        in_channels: int,
        num_outcomes: int,
        *,
        max_epochs: int = 40,
        patience: int = 8,
        num_components: int = 64,
    ) -> None:
        super().__init__()
        self.max_epochs, self.patience, self.num_outcomes = max_epochs, patience, num_outcomes
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.network = DenseNet(
                spatial_dims=2,
                in_channels=in_channels,
                out_channels=max(num_outcomes, 1),
                init_features=24,
                growth_rate=12,
                block_config=(3, 4, 4),
                bn_size=2,
                dropout_prob=0.1,
            )
        self.components = PixelPCA(num_components)

    @property
    def name(self) -> str:
        """What judged, for the reader of a metric."""
        return "a network trained on the labels of real training patients"

    def fit(
        self,
        images: torch.Tensor,
        targets: np.ndarray,
        groups: np.ndarray,
        *,
        is_binary: np.ndarray,
        seed: int,
        start: Mapping[str, np.ndarray] | None = None,
    ) -> SupervisedFeatures:
        """Train on real patients, keep the weights of the best epoch, and fit the components.

        Args:
            images: shape ``(N, C, S, S)`` in [-1, 1].
            targets: shape ``(N, num_outcomes)``, 0 / 1 or numbers; NaN marks missing and is left out of the loss.
            groups: patient of each row, shape ``(N,)``; a patient trains or validates, never both.
            is_binary: which outcomes are 0 / 1 (cross-entropy, also each category of several) rather than numbers
                (squared error on the standardised value), shape ``(num_outcomes,)``.
            seed: of the start, the patients left out, the order and the augmentation.
            start: weights to begin with, as :meth:`weights` returns them, instead of random ones.

        Raises:
            ValueError: if there are too few patients, no labels, or the images are too small.
        """
        patients = len(np.unique(groups))
        if patients < FEWEST_PATIENTS or not self.num_outcomes or min(images.shape[2:]) < SMALLEST_IMAGE:
            raise ValueError(
                f"cannot train features on {patients} patients with {self.num_outcomes} outcomes and images of "
                f"{tuple(images.shape[2:])} pixels; {FEWEST_PATIENTS} patients, one outcome and {SMALLEST_IMAGE} "
                "pixels a side are needed. Leave --features out to judge by components of the pixels."
            )
        labels, present = _standardised(targets, is_binary)
        held_out = _validation_rows(groups, seed=seed)
        binary = torch.from_numpy(np.asarray(is_binary, dtype=bool))
        with torch.random.fork_rng(devices=[]):  # dropout and weights draw from the global state: give it back
            torch.manual_seed(seed)
            for module in self.network.modules():
                if hasattr(module, "reset_parameters"):
                    module.reset_parameters()
            if start is not None:
                self.restore(start)
            self._train(images, labels, present, binary, held_out, seed=seed)
        return self.reduce(images)

    def reduce(self, images: torch.Tensor) -> SupervisedFeatures:
        """Fit the components of the trained network's features over real training images."""
        self.components.fit(self._pooled(images)[:, None, None])
        return self

    def weights(self) -> dict[str, np.ndarray]:
        """Return the network's weights, for a note from which training need not be repeated."""
        return {name: tensor.numpy().copy() for name, tensor in self.network.state_dict().items()}

    def restore(self, weights: Mapping[str, np.ndarray]) -> SupervisedFeatures:
        """Take the weights that :meth:`weights` returned; call :meth:`reduce` afterwards."""
        self.network.load_state_dict({name: torch.from_numpy(np.asarray(value)) for name, value in weights.items()})
        return self

    @torch.no_grad()
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Embed images ``(B, C, S, S)``."""
        return self.components(self._pooled(images)[:, None, None])

    @torch.no_grad()
    def _pooled(self, images: torch.Tensor) -> torch.Tensor:
        with eval_mode(self.network):
            blocks = [
                functional.relu(self.network.features(block)).mean(dim=(2, 3)) for block in images.float().split(256)
            ]
        return torch.cat(blocks)

    def _train(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        present: torch.Tensor,
        binary: torch.Tensor,
        held_out: torch.Tensor,
        *,
        seed: int,
    ) -> None:
        """Minimise the mean loss of all outcomes; ends with the weights of the best epoch."""
        optimizer = torch.optim.AdamW(self.network.parameters(), lr=2e-3, weight_decay=1e-2)
        generator = torch.Generator().manual_seed(seed)
        augment = RandomBatchAffine(rotate=0.1, scale=0.1, translate=0.08, contrast=0.1)
        best, best_state, waited = float("inf"), deepcopy(self.network.state_dict()), 0
        training, validation = torch.nonzero(~held_out).flatten(), torch.nonzero(held_out).flatten()
        for _ in range(self.max_epochs):
            with train_mode(self.network):
                for rows in _batches(training, generator):
                    predicted = self.network(augment(images[rows], generator=generator))
                    loss = _loss(predicted, labels[rows], present[rows], binary)
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
            with eval_mode(self.network):
                predicted = torch.cat([self.network(images[rows]) for rows in validation.split(256)])
                current = float(_loss(predicted, labels[validation], present[validation], binary))
            waited = 0 if current < best else waited + 1
            if current < best:
                best, best_state = current, deepcopy(self.network.state_dict())
            if waited >= self.patience:
                break
        self.network.load_state_dict(best_state)


def _standardised(targets: np.ndarray, is_binary: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Return labels without gaps, numbers as z-scores, and where there is one."""
    present = np.isfinite(targets)
    labels = np.where(present, targets, 0.0)
    count = np.maximum(present.sum(0), 1)
    mean = np.where(is_binary, 0.0, labels.sum(0) / count)
    spread = np.sqrt((np.where(present, labels - mean, 0.0) ** 2).sum(0) / count)
    scale = np.where(is_binary | (spread == 0), 1.0, spread)
    labels = np.where(present, (labels - mean) / scale, 0.0)
    return torch.from_numpy(labels).float(), torch.from_numpy(present).float()


def _validation_rows(groups: np.ndarray, *, seed: int) -> torch.Tensor:
    """Return which rows belong to the fifth of the patients that validates, bool ``(N,)``."""
    patients, codes = np.unique(groups, return_inverse=True)
    chosen = np.random.default_rng(seed).permutation(len(patients)) < len(patients) // 5
    return torch.from_numpy(chosen[codes.reshape(-1)])


def _batches(rows: torch.Tensor, generator: torch.Generator, size: int = 32) -> Iterator[torch.Tensor]:
    """Yield shuffled batches; a last one of a single row is left out, since batch norm cannot use it."""
    order = rows[torch.randperm(len(rows), generator=generator)]
    return (batch for batch in order.split(size) if len(batch) > 1)


def _loss(predicted: torch.Tensor, labels: torch.Tensor, present: torch.Tensor, binary: torch.Tensor) -> torch.Tensor:
    """Return the mean over outcomes of cross-entropy or squared error, each over the rows that have it."""
    entropy = functional.binary_cross_entropy_with_logits(predicted, labels.clamp(0, 1), reduction="none")
    losses = torch.where(binary, entropy, 0.5 * (predicted - labels) ** 2) * present
    known = present.sum(0)
    return (losses.sum(0)[known > 0] / known[known > 0]).mean() if bool((known > 0).any()) else losses.sum()
