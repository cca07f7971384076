from __future__ import annotations

import pytest
import torch

from monai_hybridsynth.inferers import record_noise

SHAPE = (1, 8, 8)


def test_noise_is_the_same_in_any_batch_order_and_company():
    rows, replicas = ["a", "b", "c", "a"], [0, 0, 0, 1]
    together = record_noise(rows, replicas, SHAPE, seed=3)
    for place, (row, replica) in enumerate(zip(rows, replicas, strict=True)):
        assert torch.equal(record_noise([row], [replica], SHAPE, seed=3)[0], together[place])
    backwards = record_noise(rows[::-1], replicas[::-1], SHAPE, seed=3)
    assert torch.equal(backwards.flip(0), together)


def test_noise_is_that_of_other_days():
    known = torch.tensor([[[0.7611, -1.0118, 1.4202, 0.4569]]])
    torch.testing.assert_close(record_noise(["row 7"], 2, (1, 4), seed=0)[0], known[0], atol=1e-4, rtol=0)


def test_row_replica_and_seed_each_give_other_noise():
    one = record_noise(["1"], 0, SHAPE, seed=0)
    others = [("2", 0, 0), ("1", 1, 0), ("1", 0, 1), ("11", 0, 0), ("1", 11, 0)]
    assert not any(torch.equal(one, record_noise([row], replica, SHAPE, seed=seed)) for row, replica, seed in others)
    assert torch.equal(one, record_noise([1], 0, SHAPE, seed=0))


def test_noise_is_standard_normal_and_uncorrelated_between_replicas():
    noise = record_noise(["x"] * 400, range(400), SHAPE, seed=0).flatten(1)
    assert noise.dtype == torch.float32
    assert noise.mean().item() == pytest.approx(0, abs=0.02)
    assert noise.std().item() == pytest.approx(1, abs=0.02)
    assert (noise[:-1] * noise[1:]).mean().item() == pytest.approx(0, abs=0.02)


def test_the_global_seed_is_untouched_and_without_effect():
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first = record_noise(["a"], 0, SHAPE, seed=0)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(1)
    assert torch.equal(record_noise(["a"], 0, SHAPE, seed=0), first)


def test_no_rows_and_wrong_counts():
    assert record_noise([], [], SHAPE, seed=0).shape == (0, *SHAPE)
    with pytest.raises(ValueError, match="replicas has 1 entries but row_ids 2"):
        record_noise(["a", "b"], [0], SHAPE, seed=0)
