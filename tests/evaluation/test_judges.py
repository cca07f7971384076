from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from monai_hybridsynth.data import digest_network, read_cohort
from monai_hybridsynth.evaluation import judges as judging
from monai_hybridsynth.evaluation.findings import FinishedStages
from monai_hybridsynth.evaluation.judged_cohort import embed_cohort
from monai_hybridsynth.evaluation.judges import choose_judges, refuse_features_of_the_synthetic, train_supervised
from monai_hybridsynth.features import PixelPCA, SupervisedFeatures
from monai_hybridsynth.transforms import load_images

BUNDLE = Path(__file__).parents[2] / "bundles" / "cxr_alpha_gan"


@pytest.fixture(scope="module")
def train(folders):
    return read_cohort(folders["train"])


def choose(features, train, **options):
    return choose_judges(features, train, **{"spatial_size": 16, "seed": 0, **options})


def test_components_of_real_pixels_are_the_default_and_stored_ones_are_read(train, tmp_path):
    images = load_images(train.image_paths, train.schema.image, spatial_size=16)
    default = choose(None, train)
    torch.testing.assert_close(default.judge(images), PixelPCA().fit(images)(images))
    assert set(default.spaces) == {"texture"}
    default.judge.save(tmp_path)
    torch.testing.assert_close(choose(tmp_path, train).judge(images), default.judge(images))
    assert choose(str(tmp_path), train).judge.name == default.judge.name


def test_a_callable_is_taken_as_it_is(train):
    def judge(images):
        return images.flatten(1)

    assert choose(judge, train).judge is judge


def test_a_network_file_judges(train, tmp_path):
    network = torch.nn.AvgPool2d(8)  # four quarters of the image
    torch.jit.save(torch.jit.trace(network, torch.zeros(2, 1, 16, 16)), tmp_path / "net.pt")
    judge = choose(tmp_path / "net.pt", train).judge
    assert judge(torch.rand(3, 1, 16, 16)).shape == (3, 1)  # one channel, averaged over the image
    assert "network file net.pt" in judge.name


def test_the_encoder_is_a_further_space_and_never_the_judge(train):
    found = choose(None, train, encoder=BUNDLE)
    assert set(found.spaces) == {"texture", "encoder"}
    assert isinstance(found.judge, PixelPCA)
    assert found.spaces["encoder"].name == "generator's own encoder"
    # The codes are the encoder's own: a training cohort of other patients gives the same.
    part = replace(train, table=train.table.head(40), image_paths=train.image_paths[:40])
    images = load_images(train.image_paths, train.schema.image, spatial_size=16)
    assert found.codes(images).shape == (120, 128)
    torch.testing.assert_close(choose(None, part, encoder=BUNDLE).codes(images), found.codes(images))
    assert choose(None, train).codes is None
    for path in (BUNDLE, BUNDLE / "models", BUNDLE / "models" / "encoder.pt"):
        with pytest.raises(ValueError, match="judge its own work"):
            choose(path, train)


def test_supervised_features_are_trained_once_and_noted(train, tmp_path, monkeypatch):
    monkeypatch.setattr(judging, "SupervisedFeatures", lambda *a: SupervisedFeatures(*a, max_epochs=1))
    notes = FinishedStages(tmp_path / "notes", {"seed": 0})
    first = choose("supervised", train, notes=notes)
    assert isinstance(first.judge, SupervisedFeatures)
    assert set(first.spaces) == {"texture"}

    def never(*_, **__):
        raise AssertionError("the training was noted and must not be repeated")

    monkeypatch.setattr(SupervisedFeatures, "fit", never)
    second = choose(None, train, supervised=True, notes=notes)
    assert isinstance(second.judge, PixelPCA)
    assert digest_network(second.spaces["supervised"]) == digest_network(first.judge)


def test_too_few_patients_train_no_judge(train):
    few = replace(train, table=train.table.head(10), image_paths=train.image_paths[:10])
    with pytest.raises(ValueError, match="cannot train features on 5 patients"):
        choose("supervised", few)
    with pytest.warns(UserWarning, match="no space 'supervised'"):
        assert set(choose(None, few, supervised=True).spaces) == {"texture"}


def test_the_trained_judge_sees_training_patients_only(train, monkeypatch):
    seen = {}

    def watch(self, images, targets, groups, **_):
        seen.update(images=images, targets=targets, groups=groups)
        return self.reduce(images)

    monkeypatch.setattr(SupervisedFeatures, "fit", watch)
    train_supervised(train, spatial_size=16, seed=0)
    assert len(seen["images"]) == len(seen["targets"]) == len(train)
    assert set(seen["groups"]) == set(train.table["patient_id"])
    assert seen["targets"].shape[1] == 9  # sex, age, three labels, the laboratory value, three habits
    assert np.nanmax(seen["targets"]) <= 1


def test_features_of_the_synthetic_cohort_are_refused(train, folders, tmp_path):
    honest = read_cohort(folders["honest"])
    images = load_images(honest.image_paths, honest.schema.image, spatial_size=16)
    own, fair = PixelPCA(8).fit(images), choose(None, train).judge
    for judge in (own, fair):
        a, c = (
            embed_cohort(cohort, judge, name=role, role=role, spatial_size=16)
            for role, cohort in (("train", train), ("synthetic", honest))
        )
        if judge is fair:
            refuse_features_of_the_synthetic(judge, a, [c])
        else:
            with pytest.raises(ValueError, match="fitted on the synthetic cohort synthetic"):
                refuse_features_of_the_synthetic(judge, a, [c])
