from __future__ import annotations

import pytest
import torch
from ignite.engine import Events

from monai_hybridsynth.engines import RecordFlowTrainer, flow_losses
from monai_hybridsynth.engines.record_flow_trainer import random_known
from monai_hybridsynth.networks import RecordVelocity

BLOCKS = [slice(0, 1), slice(1, 4), slice(4, 9)]


def test_blocks_are_given_together_and_every_kind_of_question_is_asked():
    known = random_known(4000, BLOCKS, 4, torch.Generator().manual_seed(0))
    for block in BLOCKS:
        assert (known[:, block] == known[:, block.start : block.start + 1]).all()
    clinical, image = known[:, :4].all(1), known[:, 4:].all(1)
    nothing = ~known.any(1)
    assert nothing.float().mean() == pytest.approx(0.4 + 0.2 * 0.25, abs=0.03)  # a random part may be empty
    assert (clinical & ~image).float().mean() > 0.2
    assert (image & ~clinical).float().mean() > 0.2


def test_the_loss_is_the_error_on_what_is_not_given():
    records, noise = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[0.5, 0.5, 0.5]])
    known = torch.tensor([[0.0, 1.0, 0.0]])
    seen = []

    def network(x, times, mask):
        seen.append((x, times, mask))
        return torch.zeros_like(x)

    loss = flow_losses(network, records, noise, torch.tensor([0.25]), known)
    expected = ((1.0 - 0.5) ** 2 + (3.0 - 0.5) ** 2) / 2
    assert loss.item() == pytest.approx(expected)
    torch.testing.assert_close(seen[0][0], torch.tensor([[0.25 + 0.375, 2.0, 0.75 + 0.375]]))


def train(seed: int) -> RecordVelocity:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = RecordVelocity(9, width=32, depth=1, dropout=0.0)
        records = torch.randn(40, 9, generator=torch.Generator().manual_seed(1)) * 0.1 + 2
        trainer = RecordFlowTrainer(
            network,
            torch.optim.Adam(network.parameters(), lr=3e-3),
            records=records,
            weights=torch.ones(40),
            blocks=BLOCKS,
            num_clinical=4,
            batch_size=64,
            seed=seed,
        )
        losses: list[float] = []
        trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: losses.append(trainer.state.output))
        trainer.run(range(150), max_epochs=1)
    assert sum(losses[-20:]) < 0.5 * sum(losses[:20])
    return network


def test_it_learns_and_one_seed_gives_one_network():
    first, again, other = (train(seed).leave.weight for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
