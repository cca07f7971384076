from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from monai_hybridsynth.fusion import joint_flow_training
from monai_hybridsynth.fusion.joint_flow_training import CHECKED_DRAWS, train_record_flow

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


@pytest.mark.parametrize(
    ("evaluations", "chosen", "reached"),
    [
        ([(3.0, 0.5), (2.0, 0.5), (1.0, 0.9)], 1, None),  # the usual course: the least loss below the limit
        ([(1.0, 0.9), (2.0, 0.6), (3.0, 0.5)], 1, None),  # a first one above the limit, of whatever loss, gives way
        ([(1.0, 0.9), (3.0, 0.7), (2.0, 0.8)], 1, "0.71 after 100 steps"),  # none keeps it: the least memorising
    ],
)
def test_weights_above_the_limit_are_taken_only_where_all_are(monkeypatch, evaluations, chosen, reached):
    course = iter(evaluations)

    def scripted(network, watched, noise, times, known):
        loss, auroc = next(course)
        left_out = 6  # of 40
        trained = len(watched) // CHECKED_DRAWS - left_out
        below = np.arange(trained) < round(auroc * trained)
        losses = np.append(np.where(below, loss - 0.5, loss + 0.5), np.full(left_out, loss))
        return torch.from_numpy(losses).repeat_interleave(CHECKED_DRAWS)

    monkeypatch.setattr(joint_flow_training, "flow_losses", scripted)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        _, found = train(records(40), max_steps=150, largest_membership=0.61)
    assert found.chosen == chosen
    said = [str(warning.message) for warning in told if warning.category is UserWarning]
    assert len(said) == (reached is not None)
    if reached is not None:
        assert f"reaches AUROC {reached}, the least of 3 evaluations, above largest_membership 0.61" in said[0]
        assert "Train fewer steps (max_steps, or a smaller check_every) or on more patients" in said[0]


def test_a_short_training_is_evaluated_at_its_end():
    with pytest.warns(UserWarning, match=r"reaches AUROC .* after 30 steps, the least of 1 evaluations, above"):
        _, course = train(records(40), max_steps=30, largest_membership=0.0)
    assert (course.steps, course.chosen) == ([30], 0)
    assert len(course.membership_auroc) == 1


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
