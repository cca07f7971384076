"""Training of a classifier of findings on one or two sets of records, stopped by real patients."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from monai.networks.utils import eval_mode, train_mode
from torch import nn
from torch.nn import functional

from monai_hybridsynth.transforms import RandomBatchAffine

__all__ = ["ClassifierTraining", "LabelledImages", "TrainedClassifier", "masked_entropy"]

PREDICTED_AT_ONCE = 256


@dataclass(frozen=True)
class LabelledImages:
    """What a network learns from: uint8 images ``(N, C, S, S)``, 0 for -1, and labels ``(N, findings)``, NaN unknown.

    One byte per pixel is kept, as in the files of synthetic cohorts.
    """

    images: torch.Tensor
    labels: torch.Tensor

    @classmethod
    def of(cls, images: torch.Tensor, labels: np.ndarray) -> LabelledImages:
        """Return records from images in [-1, 1] and labels."""
        pixels = ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        return cls(pixels, torch.as_tensor(labels, dtype=torch.float32))

    def joined(self, other: LabelledImages) -> LabelledImages:
        """Return both, this one first."""
        return LabelledImages(torch.cat([self.images, other.images]), torch.cat([self.labels, other.labels]))

    def batch(self, rows: torch.Tensor) -> torch.Tensor:
        """Return images of rows as the network sees them."""
        return self.images[rows].float().div_(127.5).sub_(1.0)

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self.images)


@dataclass
class TrainedClassifier:
    """A network with the weights of its best validation, and how it came to them.

    Attributes:
        network: the classifier.
        steps: of each phase.
        best_steps: step of the weights that were kept, of each phase; 0 are those that the phase began with.
        losses: validation loss of these weights, of each phase.
        seconds: of training and validation.
        images_seen: images in all training batches.
        images_validated: images in all validations.
    """

    network: nn.Module
    steps: list[int] = field(default_factory=list)
    best_steps: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0
    images_seen: int = 0
    images_validated: int = 0

    def scores(self, records: LabelledImages) -> np.ndarray:
        """Return logits, float32 ``(N, findings)``."""
        device = next(self.network.parameters()).device
        with eval_mode(self.network):  # which also turns gradients off
            blocks = torch.arange(len(records)).split(PREDICTED_AT_ONCE)
            return torch.cat([self.network(records.batch(rows).to(device)).float().cpu() for rows in blocks]).numpy()


class ClassifierTraining:
    """AdamW on the cross-entropy of all known labels; the weights of the best validation are kept.

    Every arm gets the same number of steps at most, whatever the number of its records, so that arms differ in data and
    not in computation. Two phases (pretraining and fine-tuning) get half of them each.

    Args:
        max_steps: batches at most.
        batch_size: images per batch.
        learning_rate: of AdamW; fine-tuning uses a third of it.
        weight_decay: of AdamW.
        validation_interval: steps between validations.
        patience: validations without a smaller loss after which a phase ends.
        augmentation: changes a batch, called with ``generator``; small moves by default.
        device: where the network runs.

    Source:
        Supplementation study of Khosravi et al. 2023, https://arxiv.org/abs/2311.09402. Differs from the paper: loss
        rather than AUROC chooses the weights, since AUROC of few validation patients is coarse; equal steps. Not stated
        in the paper: the rate of fine-tuning.
    """

    def __init__(
        self,
        *,
        max_steps: int = 2000,
        batch_size: int = 32,
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-2,
        validation_interval: int = 50,
        patience: int = 8,
        augmentation: Any = "default",
        device: str | torch.device = "cpu",
    ) -> None:
        if min(max_steps, validation_interval, patience) < 1 or batch_size < 2:
            raise ValueError(
                f"max_steps {max_steps}, validation_interval {validation_interval}, patience {patience} and batch_size "
                f"{batch_size} must be positive, a batch at least two images."
            )
        self.max_steps, self.batch_size = max_steps, batch_size
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.validation_interval, self.patience = validation_interval, patience
        self.augmentation = RandomBatchAffine() if augmentation == "default" else augmentation
        self.device = torch.device(device)

    def settings(self) -> dict[str, Any]:
        """Return JSON values of what decides a result; the device does not, up to rounding."""
        augmentation = [type(self.augmentation).__name__, getattr(self.augmentation, "__dict__", {})]
        names = ("max_steps", "batch_size", "learning_rate", "weight_decay", "validation_interval", "patience")
        return {**{name: getattr(self, name) for name in names}, "augmentation": repr(augmentation)}

    def fit(
        self, network: nn.Module, phases: Sequence[LabelledImages], validation: LabelledImages, *, seed: int
    ) -> TrainedClassifier:
        """Train a network in place.

        Args:
            network: images ``(B, C, S, S)`` in [-1, 1] to logits ``(B, findings)``; its weights are the start.
            phases: records to learn from, one phase after the other.
            validation: real records of other patients.
            seed: of the order, the augmentation and dropout; no global state is touched.
        """
        trained = TrainedClassifier(network.to(self.device))
        started = time.perf_counter()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            for place, records in enumerate(phases):
                rate = self.learning_rate if place == 0 else self.learning_rate / 3
                generator = torch.Generator().manual_seed(seed + 1000 * place)
                self._phase(trained, records, validation, rate, self.max_steps // len(phases), generator)
        trained.seconds = time.perf_counter() - started
        return trained

    def _phase(
        self,
        trained: TrainedClassifier,
        records: LabelledImages,
        validation: LabelledImages,
        rate: float,
        max_steps: int,
        generator: torch.Generator,
    ) -> None:
        """Train until validation stops it, and keep the best weights."""
        network = trained.network
        optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=self.weight_decay)
        # Untrained weights are never kept; those of the pretraining are where fine-tuning only does harm.
        best = self._validated(trained, validation) if trained.steps else float("inf")
        best_state, best_step, waited, step = deepcopy(network.state_dict()), 0, 0, 0
        batches = _batches(len(records), self.batch_size, generator)
        for step in range(1, max_steps + 1):
            rows = next(batches)
            images = records.batch(rows)
            if self.augmentation is not None:
                images = self.augmentation(images, generator=generator)
            with train_mode(network):
                predicted = network(images.to(self.device))
                loss = masked_entropy(predicted, records.labels[rows].to(self.device))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            trained.images_seen += len(rows)
            if step % self.validation_interval and step != max_steps:
                continue
            current = self._validated(trained, validation)
            waited = 0 if current < best else waited + 1
            if current < best:
                best, best_state, best_step = current, deepcopy(network.state_dict()), step
            if waited >= self.patience:
                break
        network.load_state_dict(best_state)
        trained.steps.append(step)
        trained.best_steps.append(best_step)
        trained.losses.append(best)

    def _validated(self, trained: TrainedClassifier, validation: LabelledImages) -> float:
        """Return the validation loss."""
        trained.images_validated += len(validation)
        loss = float(masked_entropy(torch.from_numpy(trained.scores(validation)), validation.labels))
        if not np.isfinite(loss):
            raise ValueError(f"the validation loss is {loss}; lower learning_rate, or look at the images' scaling.")
        return loss


def masked_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy of the labels that are known, scalar; 0 where none is.

    Args:
        logits: shape ``(B, findings)``.
        labels: 0 / 1, NaN where not known, same shape.
    """
    known = ~torch.isnan(labels)
    losses = functional.binary_cross_entropy_with_logits(logits, labels.nan_to_num(0.0), reduction="none")
    return (losses * known).sum() / known.sum().clamp(min=1)


def _batches(count: int, size: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
    """Yield shuffled batches of rows without end; a last one of a single row is left out for batch norm's sake."""
    if count < 2:
        raise ValueError(f"there is {count} record to train on; a training needs at least two.")
    while True:
        yield from (rows for rows in torch.randperm(count, generator=generator).split(size) if len(rows) > 1)
