"""Grids of samples under the conditions of real rows, at noise that does not change."""

from __future__ import annotations

import numpy as np
import torch
from ignite.engine import Engine
from PIL import Image

from monai_hybridsynth.handlers import ConditionGrid


class Painter:
    """Stands in for an inferer: the condition's value plus a trace of the noise, grey all over."""

    def __init__(self):
        self.noises = []

    def sample(self, noise, network, condition):
        assert not network.training
        self.noises.append(noise)
        return condition[:, 0].view(-1, *[1] * (noise.ndim - 1)).expand(noise.shape)


def run(folder, images, *, epochs=2, **settings):
    painter, network = Painter(), torch.nn.Identity().train()
    conditions = torch.tensor([[-1.0], [1.0]])
    grid = ConditionGrid(network, painter, images=images, conditions=conditions, folder=folder, **settings)
    engine = Engine(lambda engine, batch: None)
    engine.state.device = "cpu"
    grid.attach(engine)
    engine.run([0], max_epochs=epochs)
    assert network.training
    return painter


def test_real_images_above_samples_of_their_conditions(tmp_path):
    painter = run(tmp_path, torch.zeros(2, 1, 4, 4), sample_rows=3)
    pixels = np.asarray(Image.open(tmp_path / "epoch_0002.png"))
    assert pixels.shape == (16, 8)
    assert (pixels[:4] == 128).all()
    assert (pixels[4:, :4] == 0).all()
    assert (pixels[4:, 4:] == 255).all()
    first, second = painter.noises
    assert torch.equal(first, second), "the noise is the same in every epoch"
    by_row = first.view(3, 2, -1)
    assert torch.equal(by_row[:, 0], by_row[:, 1])
    assert not torch.equal(by_row[0, 0], by_row[1, 0])


def test_volumes_are_shown_by_their_middle_slice_and_epochs_are_left_out(tmp_path):
    run(tmp_path, torch.zeros(2, 1, 4, 4, 4), sample_rows=1, interval=2)
    assert [path.name for path in tmp_path.iterdir()] == ["epoch_0002.png"]
    assert np.asarray(Image.open(tmp_path / "epoch_0002.png")).shape == (8, 8)
