"""Train the velocity of a flow on patients' records with differential privacy: DP-SGD, a patient at a time."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import numpy as np
import torch
from ignite.engine import Engine
from torch import nn

from monai_hybridsynth.engines.record_flow_trainer import RecordFlowTrainer, flow_losses, random_known

__all__ = ["PrivateRecordFlowTrainer"]


class PrivateRecordFlowTrainer(RecordFlowTrainer):
    """An ignite engine whose step draws patients at random, clips what each asks for, and adds noise.

    Each patient takes part in a step with the same chance, independently of the others (Poisson sampling), with one of
    its records. The gradient of that record, a mean over several noises, times and given parts, is cut to ``clip_norm``
    by Opacus before it meets those of others. So one patient moves the sum by ``clip_norm`` at most, however many
    records it has.

    Draws and noise come from a generator that is seeded by the operating system, and forgotten. It is no cryptographic
    generator.

    Args:
        network: ``network(x, times, known) -> velocity``, of layers whose gradients Opacus takes apart.
        optimizer: of the network.
        records: vectors of the patients' records, ``(rows, size)``.
        patients: one identifier per row.
        blocks: entries that are given together.
        num_clinical: entries of the clinical part.
        sample_rate: chance of a patient to take part in a step.
        num_patients: how many there are, from a noisy count; only the gradient's scale depends on it.
        noise_multiplier: standard deviation of the noise in units of ``clip_norm``.
        clip_norm: largest norm of a patient's gradient.
        draws: noises, times and given parts a record.
        noise_seed: for tests; the noise could be subtracted.

    Source:
        Abadi et al. 2016, https://arxiv.org/abs/1607.00133; several draws a record as in De et al. 2022,
        https://arxiv.org/abs/2204.13650.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        records: torch.Tensor,
        patients: np.ndarray,
        blocks: Sequence[slice],
        num_clinical: int,
        sample_rate: float,
        num_patients: float,
        noise_multiplier: float,
        clip_norm: float = 1.0,
        draws: int = 4,
        noise_seed: int | None = None,
    ) -> None:
        try:
            from opacus import GradSampleModule
            from opacus.optimizers import DPOptimizer
        except ImportError as error:
            raise ImportError(
                "differential privacy of a flow needs Opacus; install monai-hybridsynth[dp], or take the Gaussian."
            ) from error
        if not 0 < sample_rate <= 1:
            raise ValueError(f"sample_rate is {sample_rate}; it is a chance, above 0 and at most 1.")
        seed = secrets.randbits(63) if noise_seed is None else noise_seed
        private = DPOptimizer(
            optimizer,
            noise_multiplier=noise_multiplier,
            max_grad_norm=clip_norm,
            expected_batch_size=max(sample_rate * num_patients, 1e-6),
            generator=torch.Generator().manual_seed(seed),
        )
        super().__init__(
            GradSampleModule(network, loss_reduction="sum"),
            private,
            records=records,
            weights=torch.ones(len(records)),
            blocks=blocks,
            num_clinical=num_clinical,
            clip_norm=clip_norm,
            seed=secrets.randbits(63) if noise_seed is None else noise_seed + 1,
        )
        self.sample_rate, self.draws = sample_rate, draws
        _, position, counts = np.unique(np.asarray(patients).astype(str), return_inverse=True, return_counts=True)
        self.first, self.counts = torch.from_numpy(np.cumsum(counts) - counts), torch.from_numpy(counts)
        self.order = torch.from_numpy(np.argsort(position, kind="stable"))

    def draw_rows(self) -> torch.Tensor:
        """Return one row of each patient that takes part in a step."""
        taking_part = torch.rand(len(self.counts), generator=self.random) < self.sample_rate
        place = (torch.rand(len(self.counts), generator=self.random) * self.counts).long()
        return self.order[(self.first + place.clamp(max=self.counts - 1))[taking_part]]

    def _step(self, engine: Engine, step: int) -> float:
        self.network.train()
        rows = self.draw_rows()
        records = self.records[rows].repeat_interleave(self.draws, dim=0)
        noise = torch.randn(records.shape, generator=self.random)
        times = torch.rand(len(records), generator=self.random)
        known = random_known(max(len(records), 1), self.blocks, self.num_clinical, self.random)[: len(records)]
        self.optimizer.zero_grad()
        losses = flow_losses(self.network, records, noise, times, known)
        losses.sum().backward()
        for parameter in self.network.parameters():
            parts = parameter.grad_sample  # type: ignore[attr-defined]
            parameter.grad_sample = parts.view(len(rows), self.draws, *parameter.shape).mean(1)  # type: ignore[attr-defined]
        self.optimizer.step()
        # Nothing of the patients leaves a step but the weights.
        return float("nan")
