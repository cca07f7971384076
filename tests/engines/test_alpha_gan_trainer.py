"""The trainer: who is updated when, what it refuses, and that SIGKILL and resume change no bit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
import torch
from monai.data import DataLoader, Dataset, DistributedSampler
from torch import nn

from monai_hybridsynth.engines import AlphaGanTrainer
from monai_hybridsynth.handlers import TrainingCheckpoint, WeightAverage
from monai_hybridsynth.losses import AlphaGanLoss
from monai_hybridsynth.networks import (
    AlphaGanAutoencoder,
    AlphaGanCodeDiscriminator,
    AlphaGanEncoder,
    AlphaGanGenerator,
    AlphaGanImageDiscriminator,
)
from monai_hybridsynth.transforms import RandomBatchAffine

NAMES = ("encoder", "generator", "image_discriminator", "code_discriminator")


def tiny_trainer(max_epochs=2, kind="alphagan", folder=None, count=12, **options):
    torch.manual_seed(0)
    size = 16
    images = nn.functional.interpolate(torch.rand(count, 1, 2, 2) * 2 - 1, scale_factor=size // 2)
    dataset = Dataset([{"image": image} for image in images])
    sampler = DistributedSampler(dataset, num_replicas=1, rank=0, shuffle=True, seed=0)
    norm = "batch" if kind == "alphagan" else None
    networks = {
        "encoder": AlphaGanEncoder(2, 1, size, 4, 4),
        "generator": AlphaGanGenerator(2, 1, size, 4, 4),
        "image_discriminator": AlphaGanImageDiscriminator(2, 1, size, 4, norm=norm),
        "code_discriminator": AlphaGanCodeDiscriminator(4, 8),
    }
    optimizers = {f"{name}_optimizer": torch.optim.Adam(net.parameters(), 1e-3) for name, net in networks.items()}
    average = WeightAverage(AlphaGanAutoencoder(networks["encoder"], networks["generator"]))
    trainer = AlphaGanTrainer(
        "cpu",
        max_epochs,
        DataLoader(dataset, batch_size=4, sampler=sampler),
        **networks,
        **optimizers,
        loss=AlphaGanLoss(kind),
        augmentation=RandomBatchAffine(),
        handlers=[average],
        **options,
    )
    if folder is not None:
        objects = {**networks, **optimizers, "average": average, "trainer": trainer}
        TrainingCheckpoint(folder, objects).attach(trainer)
    return trainer, average


def weights(trainer):
    return {
        f"{name}.{key}": value.clone()
        for name, network in trainer.networks().items()
        for key, value in network.state_dict().items()
    }


def assert_same_bits(first, second):
    assert set(first) == set(second)
    for name in first:
        assert torch.equal(first[name], second[name]), name


@pytest.mark.parametrize("kind", ["alphagan", "alphawgan_gp"])
def test_every_network_learns(kind):
    trainer, _ = tiny_trainer(kind=kind)
    before = weights(trainer)
    trainer.run()
    for name, network in trainer.networks().items():
        for key, _ in network.named_parameters():
            if kind == "alphawgan_gp" and key in ("score.bias", "score.4.bias"):
                continue  # a constant cancels between the real and the fake term
            after = network.state_dict()[key]
            assert not torch.equal(after, before[f"{name}.{key}"]), f"{name}.{key}"
    assert trainer.state.output["autoencoder_l1"] > 0


def test_warm_up_leaves_the_image_discriminator_alone():
    trainer, _ = tiny_trainer(max_epochs=1, warmup_epochs=1)
    before = weights(trainer)
    trainer.run()
    after = weights(trainer)
    for key in before:
        changed = not torch.equal(before[key], after[key])
        assert changed != key.startswith("image_discriminator") or key.endswith("num_batches_tracked"), key


def test_reconstruction_improves_over_the_mean_image():
    trainer, _ = tiny_trainer(max_epochs=100, warmup_epochs=100, count=8)
    trainer.augmentation = None
    trainer.run()
    images = torch.stack([torch.as_tensor(item["image"]) for item in trainer.data_loader.dataset])
    constant = (images - images.mean(0)).abs().mean().item()
    assert trainer.state.output["autoencoder_l1"] < 0.7 * constant


def test_one_seed_one_result_and_global_seed_untouched():
    results = []
    for _ in range(2):
        trainer, average = tiny_trainer(seed=5)
        torch.manual_seed(99)
        before = torch.get_rng_state()
        trainer.run()
        assert torch.equal(torch.get_rng_state(), before) or trainer.data_loader.num_workers == 0
        results.append({**weights(trainer), **average.state_dict()})
    assert_same_bits(*results)
    other, _ = tiny_trainer(seed=6)
    other.run()
    assert not torch.equal(weights(other)["encoder.code.weight"], results[0]["encoder.code.weight"])


def test_divergence_is_an_error_with_a_remedy():
    trainer, _ = tiny_trainer()
    with torch.no_grad():
        trainer.generator.project.weight.fill_(float("nan"))
    with pytest.raises(RuntimeError, match="lower learning rate"):
        trainer.run()


def test_mixed_precision_on_cpu_stays_close():
    plain, _ = tiny_trainer(max_epochs=1)
    mixed, _ = tiny_trainer(max_epochs=1, amp=True)
    plain.run()
    mixed.run()
    assert mixed.state.output["autoencoder_l1"] == pytest.approx(plain.state.output["autoencoder_l1"], rel=0.05)


def test_refuses_what_a_command_line_turns_into_text():
    with pytest.raises(TypeError, match="--amp True"):
        tiny_trainer(amp="true")
    with pytest.raises(ValueError, match="float16"):
        tiny_trainer(amp_dtype="float8")


def test_clipping_limits_the_gradient(monkeypatch):
    trainer, _ = tiny_trainer(max_epochs=1, clip_norm=1e-3)
    norms = []
    step = torch.optim.Adam.step

    def watched(self, *args, **kwargs):
        gradients = [p.grad.flatten() for group in self.param_groups for p in group["params"] if p.grad is not None]
        norms.append(torch.cat(gradients).norm().item())
        return step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.Adam, "step", watched)
    trainer.run()
    assert norms
    assert max(norms) <= 1.001e-3


def test_interrupted_after_an_epoch_and_resumed_is_the_same_bit_for_bit(tmp_path):
    whole, whole_average = tiny_trainer(max_epochs=4, folder=tmp_path / "whole")
    whole.run()
    first, _ = tiny_trainer(max_epochs=2, folder=tmp_path / "parts")
    first.run()
    second, second_average = tiny_trainer(max_epochs=4, folder=tmp_path / "parts")
    torch.rand(7)  # a resumed run restores the global state too
    second.run()
    assert second.state.epoch == 4
    assert_same_bits(weights(whole), weights(second))
    assert_same_bits(whole_average.state_dict(), second_average.state_dict())


SCRIPT = """
    import sys
    sys.path.insert(0, {tests!r})
    import time
    from test_alpha_gan_trainer import tiny_trainer
    trainer, _ = tiny_trainer(max_epochs=40, folder={folder!r})
    iterate = trainer._iteration
    trainer._process_function = lambda engine, batch: (time.sleep(0.02), iterate(engine, batch))[1]
    trainer.run()
"""


def test_sigkill_anywhere_and_resume_is_the_same_bit_for_bit(tmp_path):
    folder = tmp_path / "killed"
    script = textwrap.dedent(SCRIPT.format(tests=os.path.dirname(__file__), folder=str(folder)))
    process = subprocess.Popen([sys.executable, "-c", script])
    deadline = time.monotonic() + 120
    while not (folder / "checkpoint.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.13)  # somewhere inside an epoch or a write
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.returncode == -signal.SIGKILL
    reached = torch.load(folder / "checkpoint.pt", weights_only=True)["objects"]["trainer"]["epoch"]
    assert 0 < reached < 40
    resumed, resumed_average = tiny_trainer(max_epochs=reached + 3, folder=folder)
    resumed.run()
    whole, whole_average = tiny_trainer(max_epochs=reached + 3)
    whole.run()
    assert_same_bits(weights(whole), weights(resumed))
    assert_same_bits(whole_average.state_dict(), resumed_average.state_dict())


def test_modules_are_back_in_training_mode_each_epoch():
    trainer, _ = tiny_trainer(max_epochs=1)
    nn.Module.eval(trainer.encoder)
    trainer.run()
    assert trainer.encoder.training
