"""Fit the velocity of a flow to record vectors and stop before it remembers patients."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from ignite.engine import Engine, Events
from tqdm.auto import tqdm

from monai_hybridsynth.engines.record_flow_trainer import RecordFlowTrainer, flow_losses, random_known
from monai_hybridsynth.handlers.weight_average import WeightAverage
from monai_hybridsynth.networks.record_velocity import RecordVelocity

__all__ = ["FlowCourse", "train_record_flow"]

VALIDATION_SHARE = 0.15
CHECKED_DRAWS = 8  # noises, times and given parts at which a record's loss is compared


@dataclass
class FlowCourse:
    """How a training went, evaluation by evaluation.

    Attributes:
        steps: training steps done.
        validation_loss: loss of patients left out.
        membership_auroc: how well a record's loss tells patients trained on from those left out; .5: not at all.
        chosen: place of the evaluation whose weights were taken.
    """

    steps: list[int] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    membership_auroc: list[float] = field(default_factory=list)
    chosen: int = 0


def train_record_flow(
    records: np.ndarray,
    weights: np.ndarray,
    patients: np.ndarray,
    *,
    blocks: Sequence[slice],
    num_clinical: int,
    width: int,
    depth: int,
    dropout: float,
    max_steps: int,
    batch_size: int,
    learning_rate: float,
    average_decay: float,
    check_every: int,
    patience: int,
    largest_membership: float,
    seed: int,
    progress: bool,
    device: torch.device | str = "cpu",
) -> tuple[RecordVelocity, FlowCourse]:
    """Train on most patients, watch the others, and return the averaged weights of the best evaluation.

    The best is the one of least loss on patients left out, among those at which a membership attack by loss does not
    exceed ``largest_membership``; where all exceed it, the one that does least, with a warning. Training ends when that
    has not improved for ``patience`` evaluations. A training shorter than ``check_every`` is evaluated at its end. With
    fewer than four patients none is left out, and the attack says nothing.

    Args:
        records: vectors ``(rows, size)``.
        weights: one per row, so that every patient counts once.
        patients: one identifier per row.
        blocks: entries that are given together.
        num_clinical: entries of the clinical part.
        width: hidden units of the network.
        depth: of the network.
        dropout: of the network.
        max_steps: most training steps.
        batch_size: records a step.
        learning_rate: at the start; it falls to zero along a cosine.
        average_decay: of the averaged weights.
        check_every: steps between evaluations.
        patience: evaluations without an improvement.
        largest_membership: AUROC.
        seed: of the split, the first weights and every draw.
        progress: whether to show a bar.
        device: where to train.
    """
    kept, left_out = _split(patients, seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = RecordVelocity(records.shape[1], width=width, depth=depth, dropout=dropout).to(device)
        optimizer = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max_steps)
        values = torch.from_numpy(records)
        trainer = RecordFlowTrainer(
            network,
            optimizer,
            records=values[kept],
            weights=torch.from_numpy(weights[kept]),
            blocks=blocks,
            num_clinical=num_clinical,
            batch_size=batch_size,
            seed=seed,
        )
        average = WeightAverage(network, decay=average_decay)
        average.attach(trainer)
        trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: schedule.step())
        watch = _Watch(
            average, values[kept], values[left_out], blocks, num_clinical, seed, patience, largest_membership
        )
        trainer.add_event_handler(Events.ITERATION_COMPLETED(every=check_every), watch)
        with tqdm(total=max_steps, desc="joint flow", disable=not progress) as bar:
            trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: bar.update())
            trainer.run(range(max_steps), max_epochs=1)
        if not watch.course.steps:
            watch(trainer)
    watch.warn_if_memorised()
    network.load_state_dict(watch.best or average.module.state_dict())
    return network.eval().cpu(), watch.course


class _Watch:
    """Evaluates the averaged weights, keeps the best, and ends a training that no longer improves."""

    def __init__(
        self,
        average: WeightAverage,
        trained: torch.Tensor,
        left_out: torch.Tensor,
        blocks: Sequence[slice],
        num_clinical: int,
        seed: int,
        patience: int,
        largest_membership: float,
    ) -> None:
        random = torch.Generator().manual_seed(seed + 1)
        rows = torch.randperm(len(trained), generator=random)[: max(len(left_out), 100)]
        self.average, self.patience, self.largest_membership = average, patience, largest_membership
        self.num_trained = len(rows)
        self.records = torch.cat([trained[rows], left_out]).repeat_interleave(CHECKED_DRAWS, dim=0)
        count = len(self.records)
        self.noise = torch.randn(self.records.shape, generator=random)
        self.times = torch.rand(count, generator=random)
        self.known = random_known(count, blocks, num_clinical, random)
        self.course = FlowCourse()
        self.best: dict[str, torch.Tensor] | None = None
        self.best_rank = (np.inf, np.inf)

    @torch.no_grad()
    def __call__(self, engine: Engine) -> None:
        module = self.average.module
        device = next(module.parameters()).device
        parts = [part.to(device) for part in (self.records, self.noise, self.times, self.known)]
        losses = flow_losses(module, *parts).view(-1, CHECKED_DRAWS).mean(1).cpu().numpy()
        trained, left_out = losses[: self.num_trained], losses[self.num_trained :]
        loss, auroc = float(left_out.mean()), float((trained[:, None] < left_out[None, :]).mean())
        course = self.course
        course.steps.append(engine.state.iteration)
        course.validation_loss.append(loss)
        course.membership_auroc.append(auroc)
        # First how far above the limit: no loss makes up for memorising.
        rank = (max(auroc - self.largest_membership, 0.0), loss)
        if rank < self.best_rank:
            self.best, self.best_rank, course.chosen = copy.deepcopy(module.state_dict()), rank, len(course.steps) - 1
        elif len(course.steps) - 1 - course.chosen >= self.patience:
            engine.terminate()

    def warn_if_memorised(self) -> None:
        """Warn if no evaluation kept the limit, so that what was taken exceeds it."""
        if self.best_rank[0] > 0:
            course = self.course
            warnings.warn(
                f"a membership attack on the flow reaches AUROC {course.membership_auroc[course.chosen]:.2f} after "
                f"{course.steps[course.chosen]} steps, the least of {len(course.steps)} evaluations, above "
                f"largest_membership {self.largest_membership:g}; its records may tell who was trained on. Train fewer "
                "steps (max_steps, or a smaller check_every) or on more patients.",
                stacklevel=4,
            )


def _split(patients: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows to train on and rows of patients left out; a cohort of fewer than four patients leaves none out."""
    unique, position = np.unique(np.asarray(patients).astype(str), return_inverse=True)
    count = round(VALIDATION_SHARE * len(unique)) if len(unique) >= 4 else 0
    left_out = np.isin(position, np.random.default_rng(seed).permutation(len(unique))[: max(count, 1)])
    rows = np.arange(len(position))
    return (rows[~left_out], rows[left_out]) if count else (rows, rows)
