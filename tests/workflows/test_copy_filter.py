"""The filter as a part: arguments, redrawing, exact rows, what it says, and that it refuses a stated epsilon."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from monai_hybridsynth.data import read_cohort, write_phantom_cohort
from monai_hybridsynth.workflows import CopyFilter
from monai_hybridsynth.workflows.copy_detector import as_pixels
from monai_hybridsynth.workflows.copy_filter import refuse_with_epsilon


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_phantom_cohort(tmp_path_factory.mktemp("private") / "train", 60, seed=1, spatial_size=64)


@pytest.fixture(scope="module")
def pictures(folder, tmp_path_factory) -> dict[str, np.ndarray]:
    """Return training images and those of other phantoms, uint8 (N, 1, 64, 64)."""
    other = write_phantom_cohort(tmp_path_factory.mktemp("other") / "cohort", 60, seed=2, spatial_size=64)
    return {
        name: np.stack([np.asarray(Image.open(path)) for path in read_cohort(place).image_paths])[:, None]
        for name, place in (("train", folder), ("other", other))
    }


class Drawer:
    """Draws rows that name their position and attempt; chosen positions show training images for some attempts."""

    def __init__(self, pictures, planted: dict[int, int]):
        self.pictures, self.planted, self.asked = pictures, planted, []

    def __call__(self, positions, attempt):
        self.asked.append(positions.tolist())
        copy = np.array([attempt < self.planted.get(place, 0) for place in positions])
        images = np.where(copy[:, None, None, None], *(self.pictures[name][positions] for name in ("train", "other")))
        records = pd.DataFrame({"place": pd.array(positions, dtype="Int64"), "attempt": attempt})
        return records, images


def test_copies_are_drawn_again_until_none_is_left(folder, pictures):
    drawer = Drawer(pictures, {3: 1, 7: 3})
    guard = CopyFilter(folder, spatial_size=64)
    strangers = set(np.flatnonzero(guard.rejects(pictures["other"], pd.DataFrame(index=range(60)))))
    places = [place for place in range(60) if place not in strangers][:12]
    planted = {places[3]: 1, places[7]: 3}
    drawer = Drawer(pictures, planted)

    def draw(positions, attempt):
        return drawer(np.array(places)[positions], attempt)

    records, images, rejected = guard.without_copies(draw, 12)
    assert rejected.tolist() == [0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 0]
    assert records["place"].tolist() == places
    assert records["place"].dtype == "Int64"
    assert records["attempt"].tolist() == rejected.tolist()
    np.testing.assert_array_equal(images, pictures["other"][places])
    assert [len(asked) for asked in drawer.asked] == [12, 2, 1, 1]


def test_copies_without_end_are_an_error_that_says_how_many(folder, pictures):
    drawer = Drawer(pictures, {0: 99, 1: 99})
    with pytest.raises(RuntimeError, match=r"2 of 2 records copy training patients after 4 further draws; fix fewer"):
        CopyFilter(folder, spatial_size=64, max_rounds=4).without_copies(drawer, 2)
    assert len(drawer.asked) == 5


def test_exact_rows_are_rejected_only_where_asked_for(folder, pictures):
    table = read_cohort(folder).table
    rows = pd.concat([table.iloc[:3], table.iloc[:3].assign(age=17.5)]).drop(columns=["image", "patient_id"])
    guard, strict = (CopyFilter(folder, spatial_size=64, reject_exact_rows=flag) for flag in (False, True))
    by_image = guard.rejects(pictures["other"][:6], rows)
    assert (strict.rejects(pictures["other"][:6], rows) | by_image).tolist() == [
        True,
        True,
        True,
        *by_image[3:].tolist(),
    ]


def test_the_description_holds_shares_and_nobodys_value(folder):
    text = json.dumps(CopyFilter(folder, spatial_size=64).describe(), allow_nan=False)
    found = json.loads(text)
    assert set(found) == {"thresholds", "false_alarms", "sensitivity", "renderings_compared", "reject_exact_rows"}
    assert found["renderings_compared"] is False
    assert found["sensitivity"]["none"] == 1.0
    assert 0 <= found["false_alarms"]["share"] <= found["false_alarms"]["interval"][1]
    assert "phantom-" not in text


def test_what_the_generator_makes_of_a_training_image_is_a_copy(folder, pictures):
    class Mosaic(torch.nn.Module):
        """Renders images coarse, as an autoencoder of four pixels would."""

        def __init__(self):
            super().__init__()
            self.one = torch.nn.Parameter(torch.ones(1))

        def forward(self, x):
            return torch.nn.functional.interpolate(torch.nn.functional.avg_pool2d(x * self.one, 16), size=64)

    rendered = as_pixels(Mosaic()(torch.from_numpy(pictures["train"]).float() / 127.5 - 1).detach())
    rows = pd.DataFrame(index=range(60))
    blind, seeing = (CopyFilter(folder, spatial_size=64, autoencoder=network) for network in (None, Mosaic()))
    assert seeing.rejects(rendered, rows).all()
    assert blind.rejects(rendered, rows).mean() < 0.9
    assert seeing.describe()["renderings_compared"] is True
    assert seeing.request() != blind.request()


def test_the_request_follows_the_cohort_and_the_arguments(folder, tmp_path):
    first = CopyFilter(folder, spatial_size=64).request()
    assert CopyFilter(folder, spatial_size=64).request() == first
    other = write_phantom_cohort(tmp_path / "other", 8, seed=3, spatial_size=64)
    changed = [{"cohort": other}, {"false_alarms": 0.02}, {"reject_exact_rows": True}, {"max_rounds": 3}, {"seed": 1}]
    digests = {CopyFilter(**{"cohort": folder, "spatial_size": 64} | change).request() for change in changed}
    assert len(digests) == 5
    assert first not in digests


def test_arguments_are_checked(folder):
    with pytest.raises(ValueError, match=r"false_alarms is 0.5; give a share"):
        CopyFilter(folder, spatial_size=64, false_alarms=0.5)
    with pytest.raises(ValueError, match="max_rounds is 0"):
        CopyFilter(folder, spatial_size=64, max_rounds=0)


@pytest.mark.parametrize("content", [{"epsilon": 3.0}, {"privacy": {"epsilon": 1}}, {"steps": [{"epsilon": 0.5}]}])
def test_an_artifact_with_a_stated_epsilon_is_refused(tmp_path, content):
    (tmp_path / "synthesizer.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="which that epsilon does not account for; leave copy_filter out"):
        refuse_with_epsilon(tmp_path)


@pytest.mark.parametrize("content", [{}, {"arguments": {"epsilon": None}}, {"name": "epsilon"}])
def test_other_artifacts_are_not(tmp_path, content):
    (tmp_path / "synthesizer.json").write_text(json.dumps(content))
    refuse_with_epsilon(tmp_path)
