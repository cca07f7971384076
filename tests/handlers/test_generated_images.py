"""Generated images land on disk in the dataset's order, upright."""

from __future__ import annotations

import numpy as np
import torch
from ignite.engine import Engine
from PIL import Image

from monai_hybridsynth.handlers import GeneratedImages


def test_grey_images_become_png_and_others_arrays(tmp_path):
    grey = torch.linspace(-1, 1, 6).view(1, 2, 3)
    windows = torch.zeros(2, 2, 3)
    engine = Engine(lambda engine, batch: [{"pred": image} for image in batch])
    GeneratedImages(tmp_path).attach(engine)
    engine.run([[grey, -grey], [windows]], max_epochs=1)
    first = np.asarray(Image.open(tmp_path / "000000.png"))
    assert first.tolist() == [[0, 51, 102], [153, 204, 255]]
    assert (np.asarray(Image.open(tmp_path / "000001.png")) == 255 - first).all()
    assert np.load(tmp_path / "000002.npy").shape == (2, 2, 3)
