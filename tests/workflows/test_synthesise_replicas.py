"""Replicas of rows: one image per row and replica, whatever the batch; rows as they were told; others refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from PIL import Image

from monai_hybridsynth.data import digest_folder, read_cohort
from monai_hybridsynth.inferers import GuidedDiffusionInferer
from monai_hybridsynth.transforms import RecordEncoder
from monai_hybridsynth.workflows import ReplicaRequests, ReplicaSynthesis


@pytest.fixture
def cohort(make_cohort, tmp_path):
    return read_cohort(make_cohort(tmp_path / "big", 20, seed=2))


class Bright(torch.nn.Module):
    """Stands in for a network: moves towards white for bright rows, black for the others, with some of the noise."""

    in_channels = 1

    def __init__(self, cohort, minimum_patients=2):
        super().__init__()
        encoder = RecordEncoder(cohort.schema, minimum_patients=minimum_patients).fit(cohort.table)
        self.record_encoding = encoder.to_dict()
        self.place = encoder.vector_names.index("bright=yes" if "bright=yes" in encoder.vector_names else "bright")
        self.gain = torch.nn.Parameter(torch.ones(1))

    def forward(self, x, timesteps, context=None):
        level = context[:, self.place].view(-1, 1, 1, 1) - 0.5
        return 0.7 * level.expand_as(x) + 0.2 * x.tanh() * self.gain


def synthesise(cohort, out, *, on_unlearned="replace", batch_size=6, seed=0, unpaired=False, network=None, **asked):
    scheduler = DDIMScheduler(prediction_type="sample", beta_schedule="squaredcos_cap_v2", rescale_betas_zero_snr=True)
    return ReplicaSynthesis(
        ReplicaRequests(cohort, **asked),
        network or Bright(cohort),
        GuidedDiffusionInferer(scheduler, num_inference_steps=2),
        out,
        spatial_size=8,
        seed=seed,
        on_unlearned=on_unlearned,
        batch_size=batch_size,
        unpaired=unpaired,
    ).run()


def pixels(folder):
    return np.stack([np.asarray(Image.open(path)) for path in read_cohort(folder).image_paths]).astype(int)


def test_replicas_follow_one_another_and_images_their_rows(cohort, tmp_path):
    out = synthesise(cohort, tmp_path / "out", replicas=2)
    drawn = read_cohort(out).table
    assert drawn["bright"].tolist() == cohort.table["bright"].tolist() * 2
    images = pixels(out)
    assert (images.mean((1, 2)) > 127).tolist() == (drawn["bright"] == "yes").tolist()
    assert len({image.tobytes() for image in images}) == 40, "every replica has noise of its own"
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["replicas"] == 2
    assert manifest["rows"]["number"] == 20
    assert "p1" not in (out / "records.csv").read_text(), "no patient is named"


def test_an_image_does_not_depend_on_batch_or_company(cohort, tmp_path):
    whole = pixels(synthesise(cohort, tmp_path / "whole", replicas=2))
    small = pixels(synthesise(cohort, tmp_path / "small", replicas=2, batch_size=1))
    assert np.abs(whole - small).max() <= 1, "convolutions may round differently"
    few = pixels(synthesise(cohort, tmp_path / "few", replicas=2, rows=[3, 7]))
    assert np.abs(few - whole[[3, 7, 23, 27]]).max() <= 1
    other = pixels(synthesise(cohort, tmp_path / "other", replicas=2, seed=1))
    assert np.abs(other - whole).max() > 5


def test_the_same_request_is_not_drawn_again(cohort, tmp_path):
    out = synthesise(cohort, tmp_path / "out")
    before, made = digest_folder(out), (out / "manifest.json").stat().st_mtime_ns
    assert digest_folder(synthesise(cohort, tmp_path / "out")) == before
    assert (out / "manifest.json").stat().st_mtime_ns == made
    again = synthesise(cohort, tmp_path / "out", replicas=2)
    assert (again / "manifest.json").stat().st_mtime_ns != made


def test_fixed_columns_stand_in_every_row(cohort, tmp_path):
    out = synthesise(cohort, tmp_path / "out", conditions={"bright": "yes"})
    assert set(read_cohort(out).table["bright"]) == {"yes"}
    assert (pixels(out).mean((1, 2)) > 127).all()
    assert json.loads((out / "manifest.json").read_text())["fixed_columns"] == ["bright"]
    with pytest.raises(ValueError, match="not modelled"):
        ReplicaRequests(cohort, conditions={"dark": "yes"})


def test_wrong_conditions_are_refused_by_name_and_rows_say_what_was_told(cohort, tmp_path):
    network = Bright(cohort)
    cohort.table.loc[4, "age"] = 400.0
    with pytest.raises(ValueError, match="'age': .*400"):
        synthesise(cohort, tmp_path / "out", on_unlearned="error", network=network)
    out = synthesise(cohort, tmp_path / "out", network=network)
    assert read_cohort(out).table["age"].max() < 100
    assert json.loads((out / "manifest.json").read_text())["replaced_in_columns"] == ["age"]


def test_unpaired_breaks_the_link(cohort, tmp_path):
    paired = pixels(synthesise(cohort, tmp_path / "paired"))
    shuffled = pixels(synthesise(cohort, tmp_path / "shuffled", unpaired=True))
    assert all((one != other).any() for one, other in zip(paired, shuffled, strict=True))
    assert {image.tobytes() for image in paired} == {image.tobytes() for image in shuffled}


def test_nothing_to_draw_is_refused(cohort):
    with pytest.raises(ValueError, match="replicas is 0 for 20 rows"):
        ReplicaRequests(cohort, replicas=0)
    requests = ReplicaRequests(cohort, replicas=2, rows=[5, 1])
    assert [(requests[n]["row"], requests[n]["replica"]) for n in range(4)] == [(5, 0), (1, 0), (5, 1), (1, 1)]
