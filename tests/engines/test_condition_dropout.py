"""What a step is shown: the velocity at its timestep, rows left out, the same draws again from seed and epoch."""

from __future__ import annotations

import pytest
import torch
from ignite.engine import Engine
from monai.engines import SupervisedTrainer
from monai.inferers import DiffusionInferer
from monai.networks.schedulers import DDIMScheduler

from monai_hybridsynth.engines import ConditionDropoutBatch


@pytest.fixture
def scheduler():
    """Return a cosine schedule that ends in pure noise."""
    schedule = DDIMScheduler(100, schedule="cosine", prediction_type="v_prediction")
    schedule.alphas_cumprod[-1] = 0.0
    return schedule


def batch(count=6):
    generator = torch.Generator().manual_seed(3)
    return {"image": torch.rand(count, 1, 4, 4, generator=generator), "condition": torch.ones(count, 3)}


def test_the_target_is_the_velocity(scheduler):
    images, target, _, given = ConditionDropoutBatch(scheduler, 100, dropout=0.0)(batch())
    share = scheduler.alphas_cumprod[given["timesteps"]].view(-1, 1, 1, 1)
    torch.testing.assert_close(target, share.sqrt() * given["noise"] - (1 - share).sqrt() * images)
    noised = scheduler.add_noise(images, given["noise"], given["timesteps"])
    # The velocity and the noised image are a rotation of image and noise: rotating back gives the image.
    torch.testing.assert_close(share.sqrt() * noised - (1 - share).sqrt() * target, images)
    assert torch.equal(given["condition"], torch.ones(6, 3))


def test_rows_are_left_out_as_often_as_asked_and_whole(scheduler):
    prepare = ConditionDropoutBatch(scheduler, 100, dropout=0.25)
    dropped = torch.cat([prepare(batch(200))[3]["condition"].isnan() for _ in range(10)])
    assert torch.equal(dropped.all(dim=1), dropped.any(dim=1))
    assert dropped.float().mean().item() == pytest.approx(0.25, abs=0.04)
    assert ConditionDropoutBatch(scheduler, 100, dropout=1.0)(batch())[3]["condition"].isnan().all()


def draws(prepare, epochs):
    """Return the noise, timesteps and conditions that each epoch of an engine sees."""
    seen = []

    def step(engine, data):
        given = prepare(data)[3]
        seen.append(torch.cat([part.flatten().nan_to_num(7).float() for part in given.values()]))

    engine = Engine(step)
    prepare.attach(engine)
    engine.run([batch(), batch()], max_epochs=epochs)
    return seen


def test_draws_follow_from_seed_and_epoch(scheduler):
    before = torch.random.get_rng_state()
    whole = draws(ConditionDropoutBatch(scheduler, 100, seed=5), 2)
    again = draws(ConditionDropoutBatch(scheduler, 100, seed=5), 2)
    assert all(torch.equal(one, other) for one, other in zip(whole, again, strict=True))
    assert not torch.equal(whole[0], whole[1])
    assert not torch.equal(whole[0], whole[2])
    assert not torch.equal(whole[0], draws(ConditionDropoutBatch(scheduler, 100, seed=6), 1)[0])
    fixed = draws(ConditionDropoutBatch(scheduler, 100, fixed=True), 2)
    assert torch.equal(fixed[0], fixed[2])
    assert torch.equal(fixed[1], fixed[3])
    assert torch.equal(before, torch.random.get_rng_state()), "the global generator is untouched"


def test_min_snr_draws_in_proportion_to_its_weights_and_never_forgets_the_last_step(scheduler):
    prepare = ConditionDropoutBatch(scheduler, 100, snr_gamma=5.0)
    weights = prepare.timestep_weights()
    middle = int((scheduler.alphas_cumprod > 0.5).sum())  # SNR near 1: below gamma
    share = scheduler.alphas_cumprod[middle].item()
    ratio = share / (1 - share)
    assert weights[middle].item() == pytest.approx(ratio / (ratio + 1), rel=1e-4)
    assert weights[-1].item() == pytest.approx(0.05 * weights.max().item())
    drawn = torch.cat([prepare(batch(500))[3]["timesteps"] for _ in range(20)])
    counts = torch.bincount(drawn, minlength=100) / len(drawn)
    torch.testing.assert_close(counts, weights / weights.sum(), atol=0.006, rtol=0)
    assert ConditionDropoutBatch(scheduler, 100).timestep_weights().unique().tolist() == [1.0]


def test_augmentation_changes_the_images_from_the_same_generator(scheduler):
    def brighter(images, *, generator):
        return images + torch.rand(1, generator=generator)

    images = ConditionDropoutBatch(scheduler, 100, augmentation=brighter)(batch())[0]
    shift = images - batch()["image"]
    assert shift.min() > 0
    assert shift.min().item() == pytest.approx(shift.max().item(), abs=1e-6)


@pytest.mark.parametrize(("name", "value"), [("dropout", 1.5), ("snr_gamma", 0.0)])
def test_numbers_out_of_range_are_refused(scheduler, name, value):
    with pytest.raises(ValueError, match=f"{name} is {value}"):
        ConditionDropoutBatch(scheduler, 100, **{name: value})


class Affine(torch.nn.Module):
    """Stands in for a network."""

    def __init__(self):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x, timesteps, context=None):
        return self.gain * x


def test_monais_trainer_learns_with_it(scheduler):
    network, prepare = Affine(), ConditionDropoutBatch(scheduler, 100)
    trainer = SupervisedTrainer(
        device="cpu",
        max_epochs=30,
        train_data_loader=[batch()],
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.1),
        loss_function=torch.nn.MSELoss(),
        prepare_batch=prepare,
        inferer=DiffusionInferer(scheduler),
        train_handlers=[prepare],
        decollate=False,
    )
    trainer.run()
    assert network.gain.item() != 0
