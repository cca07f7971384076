"""Training of the study's classifier: missing labels, the best weights, equal steps, equal bits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from monai_hybridsynth.studies import ClassifierTraining
from monai_hybridsynth.studies.supplementation.finding_classifier import LabelledImages, masked_entropy


def records(count, seed):
    """Return noise images whose mean is the first label; the second label is known in every third record."""
    generator = torch.Generator().manual_seed(seed)
    labels = (torch.rand(count, 2, generator=generator) < 0.5).float()
    images = 0.3 * torch.randn(count, 1, 8, 8, generator=generator) + 0.4 * (labels[:, :1, None, None] - 0.5)
    labels[torch.arange(count) % 3 > 0, 1] = torch.nan
    return LabelledImages.of(images, labels.numpy())


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Dropout(0.2), nn.Linear(64, 2))


def training(**changed):
    settings = {"max_steps": 60, "batch_size": 8, "learning_rate": 0.01, "validation_interval": 5, "patience": 3}
    return ClassifierTraining(**{**settings, **changed})


def test_unknown_labels_enter_no_loss():
    logits = torch.tensor([[0.5, 9.0], [-1.0, 2.0]], requires_grad=True)
    loss = masked_entropy(logits, torch.tensor([[1.0, float("nan")], [0.0, 0.0]]))
    by_hand = [np.log1p(np.exp(-0.5)), np.log1p(np.exp(-1.0)), np.log1p(np.exp(2.0))]
    assert loss.item() == pytest.approx(np.mean(by_hand), rel=1e-6)
    loss.backward()
    assert logits.grad[0, 1] == 0
    assert masked_entropy(torch.ones(2, 1), torch.full((2, 1), torch.nan)).item() == 0


def test_it_learns_and_keeps_the_weights_of_the_smallest_loss():
    validation = records(60, 2)
    trained = training().fit(network(), [records(120, 1)], validation, seed=0)
    loss = masked_entropy(torch.from_numpy(trained.scores(validation)), validation.labels).item()
    assert loss == pytest.approx(trained.losses[0])
    scores, labels = trained.scores(records(200, 3))[:, 0], records(200, 3).labels[:, 0].numpy()
    assert scores[labels == 1].mean() > scores[labels == 0].mean() + 1
    assert trained.steps[0] <= 60
    assert trained.images_validated == len(validation) * -(-trained.steps[0] // 5)


def test_two_phases_take_half_of_the_steps_each_and_never_end_worse_than_they_began():
    shuffled = LabelledImages(records(60, 4).images, records(60, 5).labels)
    trained = training(patience=100).fit(network(), [records(120, 1), shuffled], records(60, 2), seed=0)
    assert trained.steps == [30, 30]
    whole, last = divmod(60, 8)  # a pass over the second phase's records: 7 whole batches and one of 4
    passes, rest = divmod(30, whole + 1)
    assert trained.images_seen == 30 * 8 + passes * 60 + rest * 8
    assert last > 1
    assert trained.losses[1] <= trained.losses[0]


def test_the_same_seed_gives_the_same_bits():
    first, second, other = (
        training().fit(network(), [records(40, 1)], records(20, 2), seed=seed).scores(records(20, 3))
        for seed in (0, 0, 1)
    )
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_the_global_state_is_given_back():
    built = network()
    before = torch.get_rng_state()
    training().fit(built, [records(40, 1)], records(20, 2), seed=0)
    assert torch.equal(before, torch.get_rng_state())


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="must be positive"):
        training(batch_size=1)
    with pytest.raises(ValueError, match="at least two"):
        training().fit(network(), [records(1, 1)], records(20, 2), seed=0)
    with pytest.raises(ValueError, match="lower learning_rate"):
        training(learning_rate=1e30).fit(network(), [records(40, 1)], records(20, 2), seed=0)
