"""Fine-tune a flow on patients within what is left of a privacy budget."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from ignite.engine import Events

from monai_hybridsynth.engines.private_record_flow_trainer import PrivateRecordFlowTrainer
from monai_hybridsynth.handlers.weight_average import WeightAverage
from monai_hybridsynth.networks.record_velocity import RecordVelocity

__all__ = ["composed_epsilon", "fine_tune_privately", "noise_for"]

MOST_NOISE = 1e4


def composed_epsilon(mu: float, noise_multiplier: float, *, sample_rate: float, steps: int, delta: float) -> float:
    """Return the epsilon of a Gaussian mechanism of loss ``mu`` followed by DP-SGD, by Renyi accounting of Opacus.

    Args:
        mu: privacy loss of the first; 0 for none.
        noise_multiplier: of DP-SGD.
        sample_rate: chance of a patient to take part in a step.
        steps: of DP-SGD.
        delta: of the whole.
    """
    from opacus.accountants import RDPAccountant

    accountant = RDPAccountant()
    accountant.history = [(1 / mu, 1.0, 1)] * bool(mu > 0) + [(noise_multiplier, sample_rate, steps)]
    return float(accountant.get_epsilon(delta))


def noise_for(mu: float, *, epsilon: float, delta: float, sample_rate: float, steps: int) -> float:
    """Return the smallest noise multiplier, to one per cent, with which the whole keeps to ``epsilon``; 0 for infinity.

    Raises:
        ValueError: if ``mu`` alone exceeds epsilon.
    """
    if not math.isfinite(epsilon):
        return 0.0
    low, high = 0.1, MOST_NOISE
    if composed_epsilon(mu, high, sample_rate=sample_rate, steps=steps, delta=delta) > epsilon:
        raise ValueError(f"epsilon is {epsilon:g}, and nothing of it is left for training; take a larger one.")
    while high > 1.01 * low:
        middle = math.sqrt(low * high)
        kept = composed_epsilon(mu, middle, sample_rate=sample_rate, steps=steps, delta=delta) <= epsilon
        low, high = (low, middle) if kept else (middle, high)
    return high


def fine_tune_privately(
    network: RecordVelocity,
    records: np.ndarray,
    patients: np.ndarray,
    *,
    blocks: Sequence[slice],
    num_clinical: int,
    sample_rate: float,
    num_patients: float,
    noise_multiplier: float,
    steps: int,
    learning_rate: float,
    average_decay: float,
    noise_seed: int | None = None,
) -> RecordVelocity:
    """Train on patients for a fixed number of steps and return the averaged weights; nothing is chosen by looking.

    Args:
        network: to start from; changed in place.
        records: vectors ``(rows, size)``.
        patients: one identifier per row.
        blocks: entries that are given together.
        num_clinical: entries of the clinical part.
        sample_rate: chance of a patient to take part in a step.
        num_patients: a noisy count.
        noise_multiplier: see `noise_for`.
        steps: of training.
        learning_rate: at the start; it falls to zero along a cosine.
        average_decay: of the averaged weights.
        noise_seed: for tests.
    """
    average = WeightAverage(network, decay=average_decay)
    optimizer = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    trainer = PrivateRecordFlowTrainer(
        network,
        optimizer,
        records=torch.from_numpy(records),
        patients=patients,
        blocks=blocks,
        num_clinical=num_clinical,
        sample_rate=sample_rate,
        num_patients=num_patients,
        noise_multiplier=noise_multiplier,
        noise_seed=noise_seed,
    )
    average.attach(trainer)
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: schedule.step())
    trainer.run(range(steps), max_epochs=1)
    network.load_state_dict(average.module.state_dict())
    return network.eval()
