"""Grids: tiles in their places, one file per epoch, the network's mode restored."""

from __future__ import annotations

import numpy as np
import torch
from ignite.engine import Engine, State
from PIL import Image

from monai_hybridsynth.handlers import SampleGrid, tile_images
from monai_hybridsynth.networks import AlphaGanAutoencoder, AlphaGanEncoder, AlphaGanGenerator


def test_tiles_lie_row_by_row():
    images = torch.stack([torch.full((1, 2, 2), value) for value in (-1.0, 0.0, 1.0)])
    grid = tile_images(images, columns=2)
    assert grid.shape == (4, 4)
    assert (grid[:2, :2] == 0).all()
    assert (grid[:2, 2:] == 128).all()
    assert (grid[2:, :2] == 255).all()
    assert (grid[2:, 2:] == 0).all()


class Writer:
    def __init__(self):
        self.images = []

    def add_image(self, name, image, step):
        self.images.append((name, image.shape, step))


def test_writes_a_picture_per_epoch(tmp_path):
    network = AlphaGanAutoencoder(AlphaGanEncoder(2, 1, 8, 3, 2), AlphaGanGenerator(2, 1, 8, 3, 2)).train()
    images = torch.rand(4, 1, 8, 8) * 2 - 1
    writer = Writer()
    grid = SampleGrid(network, images, tmp_path, sample_rows=2, writer=writer)
    engine = Engine(lambda engine, batch: None)
    engine.state = State(device="cpu")
    grid.attach(engine)
    engine.state.device = "cpu"
    engine.run([0], max_epochs=2)
    assert network.training
    picture = np.asarray(Image.open(tmp_path / "epoch_0002.png"))
    assert picture.shape == (4 * 8, 4 * 8)  # real, reconstruction, two rows of samples
    expected = tile_images(images, columns=4)
    assert (picture[:8] == expected).all()
    assert [step for _, _, step in writer.images] == [1, 2]
