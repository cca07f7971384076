from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_hybridsynth.fusion.joint_flow_training import train_record_flow

BLOCKS = [slice(0, 1), slice(1, 5)]


def records(count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, 5)).astype(np.float32)


def train(values: np.ndarray, **changes):
    options = {
        "width": 64,
        "depth": 2,
        "dropout": 0.0,
        "max_steps": 600,
        "batch_size": 64,
        "learning_rate": 3e-3,
        "average_decay": 0.95,
        "check_every": 50,
        "patience": 100,
        "largest_membership": 1.0,
        "seed": 0,
        "progress": False,
    } | changes
    patients = np.arange(len(values))
    return train_record_flow(values, np.ones(len(values)), patients, blocks=BLOCKS, num_clinical=1, **options)


def test_the_least_loss_on_patients_left_out_is_taken():
    _, course = train(records(120))
    assert course.validation_loss[course.chosen] == min(course.validation_loss)
    assert course.steps == list(range(50, 601, 50))


def test_memorising_is_seen_and_ends_the_choice():
    # few records and a wide network: it can learn them by heart, and the attack by loss says so
    _, course = train(records(20), width=128, max_steps=700, largest_membership=1.0)
    assert max(course.membership_auroc) > 0.85
    _, guarded = train(records(20), width=128, max_steps=700, largest_membership=0.7)
    assert guarded.membership_auroc[guarded.chosen] <= 0.7


def test_it_ends_when_nothing_improves():
    _, course = train(records(30), patience=3, max_steps=1500)
    assert course.steps[-1] < 1500
    assert len(course.steps) - 1 - course.chosen == 3


def test_global_state_is_left_alone_and_seeds_decide():
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    first, _ = train(records(40), max_steps=100)
    assert torch.equal(before, torch.random.get_rng_state())
    again, _ = train(records(40), max_steps=100)
    for one, two in zip(first.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize("count", [1, 3])
def test_a_handful_of_patients_is_no_error(count):
    network, _ = train(records(count), max_steps=60)
    assert all(torch.isfinite(p).all() for p in network.parameters())
