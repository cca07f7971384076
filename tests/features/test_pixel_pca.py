from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from monai_hybridsynth.features import PixelPCA


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(40, 5, generator=generator) @ torch.randn(5, 64, generator=generator)


@pytest.fixture(scope="module")
def pictures(images):
    return images.reshape(40, 1, 8, 8)


def test_without_whitening_distances_are_those_of_scikit_learn_up_to_one_factor(pictures):
    ours = PixelPCA(3, whitening=0.0).fit(pictures)(pictures).numpy()
    theirs = PCA(3).fit_transform(pictures.flatten(1).numpy())
    ratio = np.abs(ours) / np.abs(theirs)
    assert ratio == pytest.approx(np.full_like(ratio, ratio[0, 0]), rel=1e-3)


@pytest.mark.parametrize("whitening", [0.0, 0.5, 1.0])
def test_features_are_centred_uncorrelated_and_of_mean_square_one(pictures, whitening):
    features = PixelPCA(4, whitening=whitening).fit(pictures)(pictures).double()
    covariance = features.T @ features / len(features)
    assert features.mean(0).abs().max() < 1e-5
    assert (covariance - covariance.diag().diag()).abs().max() < 1e-4
    assert covariance.diag().mean().item() == pytest.approx(1, abs=1e-4)
    if whitening == 1.0:
        assert covariance.diag().numpy() == pytest.approx(np.ones(4), abs=1e-4)


def test_components_stop_at_the_rank_of_few_images(pictures):
    assert PixelPCA(64).fit(pictures[:4])(pictures).shape == (40, 3)


def test_folder_round_trip(pictures, tmp_path):
    fitted = PixelPCA(3).fit(pictures)
    fitted.save(tmp_path)
    assert torch.equal(PixelPCA.load(tmp_path)(pictures), fitted(pictures))


def test_likely_mistakes_are_refused(pictures, tmp_path):
    with pytest.raises(RuntimeError, match="call fit"):
        PixelPCA()(pictures)
    with pytest.raises(RuntimeError, match="before save"):
        PixelPCA().save(tmp_path)
    with pytest.raises(ValueError, match="same spatial_size"):
        PixelPCA(2).fit(pictures)(pictures[..., :4])
    with pytest.raises(ValueError, match="all the same"):
        PixelPCA(2).fit(torch.ones(5, 1, 4, 4))
    with pytest.raises(ValueError, match="at least two images"):
        PixelPCA(2).fit(pictures[:1])
    with pytest.raises(ValueError, match="PixelPCA.save wrote"):
        PixelPCA.load(tmp_path)
