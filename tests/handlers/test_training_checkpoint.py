"""What a checkpoint keeps, refuses and survives."""

from __future__ import annotations

import pytest
import torch
from ignite.engine import Engine, Events
from torch import nn

from monai_hybridsynth.handlers import TrainingCheckpoint


def engine_with(folder, network, *, max_epochs=3, **options):
    engine = Engine(lambda engine, batch: nn.init.constant_(network.weight, engine.state.iteration))
    TrainingCheckpoint(folder, {"network": network, "trainer": engine}, **options).attach(engine)
    engine.run([0, 1], max_epochs=max_epochs)
    return engine


def test_continues_where_it_stopped_and_does_nothing_when_done(tmp_path):
    engine_with(tmp_path, nn.Linear(1, 1), max_epochs=2)
    network = nn.Linear(1, 1)
    assert engine_with(tmp_path, network, max_epochs=5).state.iteration == 10
    untouched = nn.Linear(1, 1)
    again = engine_with(tmp_path, untouched, max_epochs=5)
    assert again.state.epoch == 5
    assert torch.equal(untouched.weight, network.weight)


def test_the_file_is_tensors_only_and_no_partial_file_stays(tmp_path):
    engine_with(tmp_path, nn.Linear(1, 1))
    content = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert content["objects"]["trainer"]["epoch"] == 3
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_a_broken_partial_file_is_ignored(tmp_path):
    engine_with(tmp_path, nn.Linear(1, 1), max_epochs=1)
    (tmp_path / "checkpoint.partial").write_bytes(b"cut short")
    assert engine_with(tmp_path, nn.Linear(1, 1), max_epochs=2).state.epoch == 2


def test_resume_false_starts_anew(tmp_path):
    engine_with(tmp_path, nn.Linear(1, 1), max_epochs=2)
    assert engine_with(tmp_path, nn.Linear(1, 1), max_epochs=2, resume=False).state.iteration == 4


def test_refuses_other_networks_other_objects_and_other_data(tmp_path):
    engine_with(tmp_path, nn.Linear(1, 1), fingerprint="a")
    with pytest.raises(ValueError, match="does not fit 'network'"):
        engine_with(tmp_path, nn.Linear(2, 1), fingerprint="a")
    with pytest.raises(ValueError, match="other data"):
        engine_with(tmp_path, nn.Linear(1, 1), fingerprint="b")
    engine = Engine(lambda engine, batch: None)
    TrainingCheckpoint(tmp_path, {"trainer": engine}, fingerprint="a").attach(engine)
    with pytest.raises(ValueError, match="network"):
        engine.run([0], max_epochs=9)


def test_an_early_stop_stays_stopped(tmp_path):
    network = nn.Linear(1, 1)

    def run():
        engine = Engine(lambda engine, batch: None)
        engine.add_event_handler(Events.EPOCH_COMPLETED(once=2), engine.terminate)
        TrainingCheckpoint(tmp_path, {"network": network, "trainer": engine}).attach(engine)
        engine.run([0], max_epochs=9)
        return engine.state.epoch

    assert run() == 2
    assert run() == 2


def test_keeps_the_best_weights(tmp_path):
    network, evaluator = nn.Linear(1, 1), Engine(lambda engine, batch: None)
    engine = Engine(lambda engine, batch: nn.init.constant_(network.weight, engine.state.epoch))
    evaluator.state.best_metric_epoch = 2
    TrainingCheckpoint(tmp_path, {"network": network, "trainer": engine}, best=(evaluator, network)).attach(engine)
    engine.run([0], max_epochs=4)
    assert torch.load(tmp_path / "best.pt", weights_only=True)["weight"].item() == 2


def test_finishes_with_the_best_weights_and_goes_on_from_the_last(tmp_path):
    network, evaluator = nn.Linear(1, 1), Engine(lambda engine, batch: None)
    evaluator.state.best_metric_epoch = 2
    seen = []

    def run(max_epochs):
        engine = Engine(lambda engine, batch: network.weight.data.add_(1))
        best = (evaluator, network)
        checkpoint = TrainingCheckpoint(
            tmp_path, {"network": network, "trainer": engine}, best=best, finish_with_best=True
        )
        checkpoint.attach(engine)
        engine.add_event_handler(Events.COMPLETED, lambda: seen.append(network.weight.item()))
        engine.run([0], max_epochs=max_epochs)
        return torch.load(checkpoint.path, weights_only=True)["objects"]["network"]["weight"].item()

    nn.init.zeros_(network.weight)
    assert run(4) == 4
    assert run(5) == 5, "a longer training goes on from the last weights"
    assert seen == [2, 2], "what handlers attached later export"
    with pytest.raises(ValueError, match="best is None"):
        TrainingCheckpoint(tmp_path, {}, finish_with_best=True)
