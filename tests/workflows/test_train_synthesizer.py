"""Training end to end on a small cohort: what is fitted, what is reused, what is published."""

from __future__ import annotations

import json

import pytest

from monai_hybridsynth.data import RecordSchema, digest_folder, read_cohort
from monai_hybridsynth.fusion import IndependentSynthesizer, load_synthesizer
from monai_hybridsynth.workflows import CohortImages, SynthesizerTraining, encode_cohort


class FitCounter:
    """Stands in the place of ``IndependentSynthesizer.fit``: counts fits, and may be killed in one."""

    def __init__(self):
        self.fits, self.killed, self.fit = 0, False, IndependentSynthesizer.fit

    def __call__(self, synthesizer, table, schema, *, seed=0):
        if self.killed:
            raise KeyboardInterrupt
        self.fits += 1
        return self.fit(synthesizer, table, schema, seed=seed)


@pytest.fixture
def counter(monkeypatch):
    """Return the counter of fits."""
    counter = FitCounter()
    monkeypatch.setattr(IndependentSynthesizer, "fit", lambda self, *args, **kwargs: counter(self, *args, **kwargs))
    return counter


@pytest.fixture
def train(cohort_folder, encoder, tmp_path, counter):
    """Return a function that trains on the cohort folder into ``tmp_path / out`` and tells how often it fitted."""

    def run(out="artifact", *, seed=0, minimum_patients=2, cache="cache"):
        images = CohortImages(read_cohort(cohort_folder), spatial_size=16)
        before = counter.fits
        SynthesizerTraining(
            images,
            encoder,
            IndependentSynthesizer(minimum_patients=minimum_patients),
            tmp_path / out,
            seed=seed,
            cache_dir=tmp_path / cache if cache else None,
            batch_size=4,
        ).run()
        return counter.fits - before

    return run


def test_the_artifact_is_the_synthesizer_fitted_on_the_latent_table(train, cohort_folder, encoder, tmp_path):
    assert train() == 1
    cohort = read_cohort(cohort_folder)
    table = encode_cohort(cohort, encoder, spatial_size=16, batch_size=4)
    IndependentSynthesizer(minimum_patients=2).fit(table, cohort.schema).save(tmp_path / "by_hand")
    expected = load_synthesizer(tmp_path / "by_hand").sample(20, seed=5)
    assert load_synthesizer(tmp_path / "artifact").sample(20, seed=5).equals(expected)
    assert {path.name for path in (tmp_path / "artifact").iterdir()} == {
        "exclusions.json",
        "schema.json",
        "synthesizer.json",
        "weights.safetensors",
    }
    assert RecordSchema.load(tmp_path / "artifact" / "schema.json").names == ["image", "age", "bright"]


def test_the_same_fit_is_not_made_twice_and_any_change_makes_it_again(train, cohort_folder, tmp_path):
    assert train() == 1
    assert train() == 0
    assert train(seed=1) == 1
    assert train(minimum_patients=3) == 1
    assert train() == 1, "back to the first settings: the artifact is another one"
    schema = json.loads((cohort_folder / "schema.json").read_text())
    schema["fields"][2]["unit"] = "mo"
    (cohort_folder / "schema.json").write_text(json.dumps(schema))
    assert train() == 1
    (tmp_path / "artifact" / "schema.json").write_text("{}")
    assert train() == 1, "a damaged artifact is replaced"
    records = (cohort_folder / "records.csv").read_text().splitlines()
    (cohort_folder / "records.csv").write_text("\n".join(records[:-1]) + "\n")
    assert train() == 1
    assert train(cache=None) == 1, "without a cache nothing is remembered"


def test_a_killed_fit_leaves_the_old_artifact_and_starts_again(train, tmp_path, counter):
    train("whole")
    train(seed=7)
    old = digest_folder(tmp_path / "artifact")
    counter.killed = True
    with pytest.raises(KeyboardInterrupt):
        train()
    assert digest_folder(tmp_path / "artifact") == old
    counter.killed = False
    assert train() == 1
    assert digest_folder(tmp_path / "artifact") == digest_folder(tmp_path / "whole")


def test_images_are_encoded_once(cohort_folder, encoder, tmp_path):
    images = CohortImages(read_cohort(cohort_folder), spatial_size=16)
    with pytest.raises(ValueError, match="set the synthesizer's epochs"):
        SynthesizerTraining(images, encoder, IndependentSynthesizer(), tmp_path / "a", seed=0, max_epochs=3)
