"""A fixed cardiothoracic ratio shows in the decoded hearts, as the phantom's own inverse measures them."""

from __future__ import annotations

import pandas as pd
import pytest
import torch

from monai_hybridsynth.data import measure_images, read_cohort, write_phantom_cohort
from monai_hybridsynth.fusion import ConditionalGaussianSynthesizer, IndependentSynthesizer, latent_columns
from monai_hybridsynth.networks import AlphaGanEncoder, AlphaGanGenerator
from monai_hybridsynth.workflows import encode_cohort

pytestmark = pytest.mark.slow
SMALL, LARGE, DRAWS = 0.45, 0.60, 40


@pytest.fixture(scope="module")
def networks(repository):
    """Return the shipped encoder and generator."""
    folder = repository / "bundles" / "cxr_alpha_gan" / "models"
    pair = []
    for network, name in ((AlphaGanEncoder(2, 1, 64, 128), "encoder"), (AlphaGanGenerator(2, 1, 64, 128), "model")):
        network.load_state_dict(torch.load(folder / f"{name}.pt", weights_only=True))
        pair.append(network.eval())
    return pair


@pytest.fixture(scope="module")
def hearts(networks, tmp_path_factory):
    """Return a function that fits a synthesizer and returns the mean ratio measured, by the ratio asked for."""
    cohort = read_cohort(write_phantom_cohort(tmp_path_factory.mktemp("phantom"), 350, seed=1, spatial_size=64))
    table = encode_cohort(cohort, networks[0], spatial_size=64)

    def measure(synthesizer) -> dict[float, float]:
        conditions = pd.DataFrame({"cardiothoracic_ratio": [SMALL] * DRAWS + [LARGE] * DRAWS})
        records = synthesizer.fit(table, cohort.schema, seed=0).sample(2 * DRAWS, conditions=conditions, seed=1)
        assert records["cardiothoracic_ratio"].tolist() == conditions["cardiothoracic_ratio"].tolist()
        latents = torch.from_numpy(records[latent_columns(records)].to_numpy(dtype="float32"))
        with torch.no_grad():
            measured = measure_images(networks[1](latents).clamp(-1, 1).numpy())["cardiothoracic_ratio"]
        return measured.groupby(conditions["cardiothoracic_ratio"]).mean().to_dict()

    return measure


def test_drawn_hearts_have_the_ratio_that_was_fixed(hearts):
    found = hearts(ConditionalGaussianSynthesizer())
    # Phantoms drawn with these ratios are .087 apart after encoding and decoding, which is the ceiling.
    assert found[LARGE] - found[SMALL] > 0.06
    assert found[SMALL] == pytest.approx(SMALL, abs=0.03)
    assert found[LARGE] == pytest.approx(LARGE, abs=0.07)


def test_without_a_link_the_hearts_know_nothing_of_it(hearts):
    """The floor: the same measurement finds no difference, so the test above can fail."""
    found = hearts(IndependentSynthesizer())
    assert abs(found[LARGE] - found[SMALL]) < 0.03
