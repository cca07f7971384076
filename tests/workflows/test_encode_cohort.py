"""Encoding: the right vector beside the right row, once, however it was interrupted or shared out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from monai_hybridsynth.data import read_cohort
from monai_hybridsynth.workflows import CohortImages, encode_cohort, join_latents


class CountingNetwork(torch.nn.Module):
    """Mean brightness and its square, counting the images it saw; may fail at a given call."""

    def __init__(self, fail_at: int | None = None):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(1))
        self.images, self.calls, self.fail_at = 0, 0, fail_at

    def forward(self, x):
        if self.calls == self.fail_at:
            raise KeyboardInterrupt
        self.calls += 1
        self.images += len(x)
        mean = x.mean(dim=(1, 2, 3)) * self.scale
        return torch.stack([mean, mean**2], dim=1)


def latents_of(table: pd.DataFrame) -> np.ndarray:
    return table.filter(like="latent_").to_numpy()


def test_each_row_has_the_latent_of_its_own_image(cohort_folder):
    cohort = read_cohort(cohort_folder)
    table = encode_cohort(cohort, CountingNetwork(), spatial_size=16, batch_size=4)
    assert list(table.columns) == ["patient_id", "age", "bright", "latent_000", "latent_001"]
    assert (table.dtypes[["latent_000", "latent_001"]] == np.float32).all()
    for row, path in zip(table.itertuples(), cohort.image_paths, strict=True):
        brightness = np.asarray(Image.open(path), dtype=np.float64).mean() / 127.5 - 1
        assert row.latent_000 == pytest.approx(brightness, abs=1e-5)
    assert table["patient_id"].tolist() == cohort.table["patient_id"].tolist()
    assert pd.isna(table["age"][1])


def test_a_network_is_used_in_eval_mode_and_left_as_it_was(cohort_folder, encoder):
    cohort = read_cohort(cohort_folder)
    encoder.train()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    first = encode_cohort(cohort, encoder, spatial_size=16, batch_size=4)
    assert encoder.training
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    second = encode_cohort(cohort, encoder, spatial_size=16, batch_size=3)
    np.testing.assert_allclose(latents_of(first), latents_of(second), atol=1e-6)


def test_what_was_encoded_is_reused_until_something_changes(cohort_folder, tmp_path):
    def images_encoded(*, spatial_size=16, scale=1.0):
        network = CountingNetwork()
        network.scale.data.fill_(scale)
        cohort = read_cohort(cohort_folder)
        encode_cohort(cohort, network, spatial_size=spatial_size, batch_size=4, cache_dir=tmp_path / "cache")
        return network.images

    assert images_encoded() == 11
    assert images_encoded() == 0
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(cohort_folder / "images/5.png")
    assert images_encoded() == 4, "only the batch of the changed image"
    assert images_encoded(scale=2.0) == 11
    assert images_encoded(spatial_size=8) == 11
    schema = cohort_folder / "schema.json"
    schema.write_text(schema.read_text().replace('"maximum": 255', '"maximum": 200'))
    assert images_encoded() == 11
    assert images_encoded() == 0


def test_the_cache_holds_no_names(cohort_folder, tmp_path):
    encode_cohort(read_cohort(cohort_folder), CountingNetwork(), spatial_size=16, cache_dir=tmp_path / "cache")
    (path,) = (tmp_path / "cache").iterdir()
    assert len(path.stem) == 64
    assert int(path.stem, 16)


def test_an_interrupted_run_goes_on_and_ends_with_the_same_bits(cohort_folder, encoder, tmp_path):
    cohort, cache = read_cohort(cohort_folder), tmp_path / "cache"
    whole = encode_cohort(cohort, encoder, spatial_size=16, batch_size=4)
    with pytest.raises(KeyboardInterrupt):
        encode_cohort(cohort, CountingNetwork(fail_at=2), spatial_size=16, batch_size=4, cache_dir=cache)
    assert len(list(cache.iterdir())) == 2
    resumed = CountingNetwork()
    encode_cohort(cohort, resumed, spatial_size=16, batch_size=4, cache_dir=cache)
    assert resumed.images == 3
    # A block that a full disk cut short is made again.
    encode_cohort(cohort, encoder, spatial_size=16, batch_size=4, cache_dir=cache)
    for path in cache.iterdir():
        path.write_bytes(path.read_bytes()[:-5])
    again = encode_cohort(cohort, encoder, spatial_size=16, batch_size=4, cache_dir=cache)
    pd.testing.assert_frame_equal(whole, again, check_exact=True)


def test_the_table_survives_parquet(cohort_folder, encoder, tmp_path):
    out = tmp_path / "deep" / "latents.parquet"
    table = encode_cohort(read_cohort(cohort_folder), encoder, spatial_size=16, out=out)
    pd.testing.assert_frame_equal(pd.read_parquet(out), table)
    assert [path.name for path in out.parent.iterdir()] == ["latents.parquet"]


def test_an_encoder_that_does_not_fit_is_refused(cohort_folder):
    cohort = read_cohort(cohort_folder)
    with pytest.raises(ValueError, match=r"must return \(B, latent_dim\)"):
        encode_cohort(cohort, torch.nn.Identity(), spatial_size=16)
    broken = CountingNetwork()
    broken.scale.data.fill_(float("nan"))
    with pytest.raises(ValueError, match=r"not finite for .*0\.png"):
        encode_cohort(cohort, broken, spatial_size=16)
    with pytest.raises(ValueError, match="batch_size is 0"):
        encode_cohort(cohort, broken, spatial_size=16, batch_size=0)


def test_latents_of_another_cohort_are_refused(cohort_folder):
    cohort = read_cohort(cohort_folder)
    with pytest.raises(ValueError, match="3 latents for 11 rows"):
        join_latents(cohort, np.zeros((3, 2), np.float32))


def test_images_come_as_dictionaries(cohort_folder):
    images = CohortImages(read_cohort(cohort_folder), spatial_size=8)
    assert len(images) == 11
    assert images[3]["image"].shape == (1, 8, 8)
    assert images[3]["image"].dtype == torch.float32
