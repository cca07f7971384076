from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_hybridsynth.data import digest_network
from monai_hybridsynth.features import SupervisedFeatures


def labelled(count: int, *, seed: int = 0) -> tuple[torch.Tensor, np.ndarray, np.ndarray]:
    """Return images with a bar, its direction (sometimes unknown) and its brightness as labels, two per patient."""
    rng = np.random.default_rng(seed)
    upright, bright = rng.integers(0, 2, count), rng.random(count)
    images = rng.normal(-0.5, 0.2, (count, 1, 16, 16)).astype(np.float32)
    for image, up, level in zip(images, upright, bright, strict=True):
        place = int(rng.integers(4, 12))
        image[0, :, place] += up * (0.5 + level)
        image[0, place, :] += (1 - up) * (0.5 + level)
    targets = np.column_stack([upright.astype(float), bright])
    targets[rng.random(count) < 0.2, 0] = np.nan
    return torch.from_numpy(images).clamp(-1, 1), targets, np.arange(count) // 2


BINARY = np.array([True, False])


@pytest.fixture(scope="module")
def fitted():
    images, targets, groups = labelled(120)
    before = torch.get_rng_state()
    network = SupervisedFeatures(1, 2, max_epochs=6).fit(images, targets, groups, is_binary=BINARY, seed=0)
    assert torch.equal(before, torch.get_rng_state()), "library code gives the global generator back as it was"
    return network


def test_new_images_are_told_apart_by_what_the_labels_meant(fitted):
    from sklearn.linear_model import RidgeClassifier

    images, targets, _ = labelled(200, seed=7)
    known = ~np.isnan(targets[:, 0])
    features = fitted(images).numpy()[known]
    labels = targets[known, 0]
    found = RidgeClassifier(1.0).fit(features[:80], labels[:80]).score(features[80:], labels[80:])
    assert found > max(labels[80:].mean(), 1 - labels[80:].mean()) + 0.15


def test_one_seed_gives_one_network_and_blocks_do_not_matter(fitted):
    images, targets, groups = labelled(120)
    again = SupervisedFeatures(1, 2, max_epochs=6).fit(images, targets, groups, is_binary=BINARY, seed=0)
    assert digest_network(again) == digest_network(fitted)
    torch.testing.assert_close(torch.cat([fitted(images[:50]), fitted(images[50:])]), fitted(images))
    assert not fitted(images).requires_grad
    assert fitted(images).pow(2).mean().item() == pytest.approx(1, abs=0.05)


def test_a_noted_training_is_taken_up(fitted):
    images, targets, groups = labelled(120)
    restored = SupervisedFeatures(1, 2).restore(fitted.weights()).reduce(images)
    torch.testing.assert_close(restored(images), fitted(images))
    other = SupervisedFeatures(1, 2, max_epochs=1).fit(images, targets, groups, is_binary=BINARY, seed=1)
    assert digest_network(other) != digest_network(fitted)


def test_no_patient_trains_and_validates():
    from monai_hybridsynth.features.supervised_features import _validation_rows

    groups = np.repeat(np.arange(50), 3)
    held_out = _validation_rows(groups, seed=0).numpy()
    assert held_out.sum() == 30
    assert not set(groups[held_out]) & set(groups[~held_out])


def test_a_missing_label_adds_nothing_to_the_loss():
    from monai_hybridsynth.features.supervised_features import _loss

    predicted, labels = torch.randn(6, 2), torch.tensor([[1.0, 0.3]] * 6)
    present = torch.ones(6, 2)
    present[2:, 0] = 0
    binary = torch.from_numpy(BINARY)
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(predicted[:2, 0], labels[:2, 0])
    square = 0.5 * (predicted[:, 1] - 0.3).pow(2).mean()
    torch.testing.assert_close(_loss(predicted, labels, present, binary), (entropy + square) / 2)
    assert _loss(predicted, labels, torch.zeros(6, 2), binary) == 0


@pytest.mark.parametrize(("count", "outcomes", "size"), [(20, 2, 16), (60, 0, 16), (60, 2, 8)])
def test_what_cannot_be_learned_from_is_refused(count, outcomes, size):
    images, targets, groups = labelled(count)
    network = SupervisedFeatures(1, outcomes)
    with pytest.raises(ValueError, match="Leave --features out"):
        network.fit(images[..., :size, :size], targets[:, :outcomes], groups, is_binary=BINARY[:outcomes], seed=0)
