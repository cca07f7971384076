"""Sampling: seeds per record, block size without effect, tables checked."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from monai_hybridsynth.inferers import AlphaGanSamplingInferer, draw_codes, latent_records
from monai_hybridsynth.networks import AlphaGanGenerator


def test_record_depends_on_seed_and_place_only():
    whole = draw_codes(10, 5, seed=3)
    parts = torch.cat([draw_codes(4, 5, seed=3), draw_codes(6, 5, seed=3, first_record=4)])
    assert torch.equal(whole, parts)
    assert not torch.equal(whole, draw_codes(10, 5, seed=4))
    assert draw_codes(0, 5, seed=1).shape == (0, 5)


def test_codes_are_standard_normal():
    codes = draw_codes(2000, 16, seed=0)
    assert codes.mean().item() == pytest.approx(0, abs=0.02)
    assert codes.std().item() == pytest.approx(1, abs=0.02)


def test_global_seed_is_untouched():
    torch.manual_seed(1)
    state = torch.get_rng_state()
    draw_codes(5, 5, seed=0)
    assert torch.equal(torch.get_rng_state(), state)


def test_batch_size_does_not_change_the_images_and_training_mode_is_refused():
    torch.manual_seed(0)
    network = AlphaGanGenerator(2, 1, 16, 4, 4).double()
    codes = draw_codes(7, 4, seed=0).double()
    with pytest.raises(RuntimeError, match="eval"):
        AlphaGanSamplingInferer()(codes, network)
    network.eval()
    torch.testing.assert_close(AlphaGanSamplingInferer(batch_size=3)(codes, network), network(codes))
    drawn = AlphaGanSamplingInferer().sample(7, network.float(), latent_dim=4, seed=0)
    torch.testing.assert_close(drawn, network(codes.float()))


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_reads_a_latent_table(tmp_path, ending):
    values = np.arange(6, dtype=np.float32).reshape(3, 2)
    table = pd.DataFrame({"sex": ["F", "M", "F"], "latent_000": values[:, 0], "latent_001": values[:, 1]})
    path = tmp_path / f"latents.{ending}"
    table.to_parquet(path) if ending == "parquet" else table.to_csv(path, index=False)
    source = tmp_path if ending == "parquet" else path
    records = latent_records(source, num_records=99, latent_dim=2, seed=0)
    assert torch.equal(torch.stack([record["image"] for record in records]), torch.from_numpy(values))
    with pytest.raises(ValueError, match="decodes 5"):
        latent_records(source, num_records=99, latent_dim=5, seed=0)


def test_draws_without_a_table():
    records = latent_records(None, num_records=4, latent_dim=3, seed=2)
    assert torch.equal(torch.stack([record["image"] for record in records]), draw_codes(4, 3, seed=2))
