"""Exported weights load without code, and equal each other."""

from __future__ import annotations

import torch
from ignite.engine import Engine
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from monai_hybridsynth.handlers import WeightExport


def test_both_files_hold_the_weights_and_nothing_else(tmp_path):
    network = nn.Conv2d(1, 2, 3).to(memory_format=torch.channels_last)
    engine = Engine(lambda engine, batch: None)
    WeightExport({"model": network}, tmp_path / "models").attach(engine)
    engine.run([0], max_epochs=1)
    loaded = torch.load(tmp_path / "models" / "model.pt", weights_only=True)
    safe = load_file(tmp_path / "models" / "model.safetensors")
    assert (tmp_path / "models" / "model.safetensors").stat().st_mode & 0o777 == 0o644
    assert set(loaded) == set(safe) == set(network.state_dict())
    for name, value in network.state_dict().items():
        assert torch.equal(loaded[name], value)
        assert torch.equal(safe[name], value)


def test_the_header_of_safetensors_carries_texts(tmp_path):
    WeightExport({"model": nn.Linear(1, 1)}, tmp_path, metadata={"columns": "age"})()
    with safe_open(tmp_path / "model.safetensors", framework="pt") as file:
        assert file.metadata() == {"columns": "age"}
