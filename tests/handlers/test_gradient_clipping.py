"""Gradients are clipped before each step of the optimiser, once per accumulation."""

from __future__ import annotations

import pytest
import torch
from monai.engines import SupervisedTrainer

from monai_hybridsynth.handlers import GradientClipping


def weight_after(values, *, max_norm, accumulation_steps=1):
    """Return the weight of ``weight * x`` after one epoch of SGD steps of length 1 towards smaller products."""
    network = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(network.weight)
    trainer = SupervisedTrainer(
        device="cpu",
        max_epochs=1,
        train_data_loader=[{"image": torch.tensor([[value]]), "label": torch.zeros(1, 1)} for value in values],
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=1.0),
        loss_function=lambda pred, label: pred - label,
        train_handlers=[GradientClipping(max_norm)],
        accumulation_steps=accumulation_steps,
        decollate=False,
    )
    trainer.run()
    return network.weight.item()


def test_each_step_is_as_long_as_the_norm_allows():
    assert weight_after([3.0, 0.5], max_norm=1.0) == pytest.approx(-1.5, abs=1e-4)
    assert weight_after([3.0, 0.5], max_norm=10.0) == pytest.approx(-3.5, abs=1e-4)


def test_accumulated_gradients_are_clipped_once():
    # means of (4, 0), of (1, 1) and, left over at the end of the epoch, of (6, nothing)
    assert weight_after([4.0, 0.0, 1.0, 1.0, 6.0], max_norm=1.5, accumulation_steps=2) == pytest.approx(-4.0, abs=1e-4)


def test_a_gradient_that_is_not_finite_ends_the_training():
    with pytest.raises(RuntimeError, match="epoch 1: the gradient is not finite"):
        weight_after([float("inf")], max_norm=1.0)
