"""Training end to end on a small cohort: what is fitted, what is reused, what is published."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import save_file

from monai_hybridsynth import fusion
from monai_hybridsynth.data import RecordSchema, digest_folder, read_cohort
from monai_hybridsynth.fusion import (
    ConditionalGaussianSynthesizer,
    CTGANSynthesizer,
    FactorisedCTGANSynthesizer,
    IndependentSynthesizer,
    JointFlowSynthesizer,
    PrivateFlowSynthesizer,
    PrivateGaussianSynthesizer,
    load_synthesizer,
    private_flow_synthesizer,
)
from monai_hybridsynth.fusion.gaussian_mechanism import GaussianMechanism
from monai_hybridsynth.workflows import CohortImages, SynthesizerTraining, encode_cohort, write_public_encoder

CTGAN = {"steps": 2, "batch_size": 20, "pac": 1, "max_clusters": 2}
# What makes a fit of each synthesizer short.
SHORT = {
    IndependentSynthesizer: {},
    ConditionalGaussianSynthesizer: {},
    JointFlowSynthesizer: {"max_steps": 2, "progress": False},
    CTGANSynthesizer: {"latent_components": 2, "progress": False, **CTGAN},
    FactorisedCTGANSynthesizer: {"table": CTGAN, "progress": False},
}
SHORT_PRIVATE = {
    PrivateGaussianSynthesizer: {},
    PrivateFlowSynthesizer: {"private_steps": 2, "options": {"max_steps": 2}, "progress": False},
}


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


@pytest.fixture
def private(cohort_folder, encoder, tmp_path):
    """Return a function that fits privately, with the fingerprints of the given images as the encoder's pool."""
    cohort = read_cohort(cohort_folder)
    limits = {"minimum": -1e4, "maximum": 1e4}
    fields = [replace(f, **limits) for f in cohort.schema if f.is_modelled and f.is_numeric]
    cohort = replace(cohort, schema=cohort.schema.with_fields(*fields))

    def run(pool):
        images = CohortImages(cohort, spatial_size=16)
        generator = torch.nn.Sequential(
            torch.nn.Linear(encoder_width(encoder, images), 256), torch.nn.Unflatten(1, (1, 16, 16))
        )
        path = write_public_encoder(
            tmp_path / "encoder_public.safetensors",
            pool(images),
            encoder,
            generator,
            latent_dim=generator[0].in_features,
        )
        made = PrivateGaussianSynthesizer(
            epsilon=3, delta=1e-3, public_schema=True, encoder_is_public=True, directions=path
        )
        SynthesizerTraining(
            images, encoder, made, tmp_path / "private", seed=0, batch_size=4, epsilon=3, public_encoder=path
        ).run()
        return json.loads((tmp_path / "private" / "synthesizer.json").read_text())["privacy"]

    return run


def encoder_width(encoder, images) -> int:
    with torch.no_grad():
        return encoder(images[0]["image"][None]).shape[1]


def test_a_private_fit_says_that_its_encoder_was_compared(private):
    noise = torch.Generator().manual_seed(5)
    stated = private(lambda images: [{"image": torch.randn(1, 16, 16, generator=noise)} for _ in range(3)])
    assert stated["epsilon"] == 3
    assert stated["encoder"] == "declared public; no image of the cohort is among the 3 on which it was trained"


def test_an_encoder_that_saw_the_cohort_is_refused(private):
    with pytest.raises(ValueError, match="so that no epsilon can be stated"):
        private(lambda images: [images[0]])


def test_an_epsilon_without_a_private_synthesizer_is_refused(cohort_folder, encoder, tmp_path):
    images = CohortImages(read_cohort(cohort_folder), spatial_size=16)
    with pytest.raises(ValueError, match="IndependentSynthesizer has no differential privacy"):
        SynthesizerTraining(images, encoder, IndependentSynthesizer(), tmp_path / "out", seed=0, epsilon=3)


def test_what_is_no_synthesizer_is_refused_before_the_fit(cohort_folder, encoder, tmp_path):
    images = CohortImages(read_cohort(cohort_folder), spatial_size=16)
    made = IndependentSynthesizer()
    del made.minimum_patients
    with pytest.raises(TypeError, match=r"IndependentSynthesizer is no RecordSynthesizer; it needs .*minimum_patients"):
        SynthesizerTraining(images, encoder, made, tmp_path / "out", seed=0)


def test_without_public_axes_it_says_who_can_be_told_apart(cohort_folder, encoder, tmp_path, caplog):
    images = CohortImages(read_cohort(cohort_folder), spatial_size=16)
    flow = JointFlowSynthesizer(minimum_patients=2, progress=False, max_steps=2)
    for made in (ConditionalGaussianSynthesizer(minimum_patients=2), flow, IndependentSynthesizer()):
        caplog.clear()
        SynthesizerTraining(images, encoder, made, tmp_path / "a", seed=0).run()
        assert ("no public axes" in caplog.text) != isinstance(made, IndependentSynthesizer)


def test_no_synthesizer_is_missing_from_these_tests():
    names = {name for name in fusion.__all__ if name.endswith("Synthesizer")} - {"RecordSynthesizer"}
    assert {kind.__name__ for kind in SHORT | SHORT_PRIVATE} == names


@pytest.mark.parametrize("kind", SHORT)
def test_every_synthesizer_publishes_by_its_own_minimum(kind, make_cohort, encoder, tmp_path, monkeypatch):
    monkeypatch.setattr(fusion.factorised_ctgan_synthesizer, "LINK_RECORDS", 100)
    folder = make_cohort(tmp_path / "cohort", 40)
    records = pd.read_csv(folder / "records.csv", dtype=str, keep_default_na=False)
    records["bright"] = ["yes"] * 14 + ["no"] * 26  # seven patients: more than the five of the default
    records.to_csv(folder / "records.csv", index=False)
    images = CohortImages(read_cohort(folder), spatial_size=16)
    for minimum, published in ((7, ("no", "yes")), (8, ("no",))):
        made = kind(minimum_patients=minimum, **SHORT[kind])
        artifact = SynthesizerTraining(images, encoder, made, tmp_path / "artifact", seed=0).run()
        assert RecordSchema.load(artifact / "schema.json")["bright"].enum == published
        assert made.minimum_patients == load_synthesizer(artifact).minimum_patients == minimum


@pytest.mark.parametrize("kind", SHORT_PRIVATE)
def test_only_noisy_sums_of_a_private_fit_know_who_is_in_the_cohort(
    kind, cohort_folder, encoder, tmp_path, monkeypatch
):
    """With the same numbers in the place of every sum, the artifact is the same to the byte without one patient.

    That patient alone has a declared category and a missing age.
    """
    monkeypatch.setattr(GaussianMechanism, "release", lambda self, rows, **_: (np.full(rows.shape[1], 3.0), 1.0))
    monkeypatch.setattr(private_flow_synthesizer, "fine_tune_privately", lambda network, *_, **__: network)
    if kind is PrivateFlowSynthesizer:
        pytest.importorskip("opacus")
    schema = RecordSchema.load(cohort_folder / "schema.json")
    declared = replace(schema["bright"], enum=("no", "yes", "flash"))
    schema = schema.with_fields(declared, replace(schema["age"], minimum=0, maximum=120))
    records = pd.read_csv(cohort_folder / "records.csv", dtype=str, keep_default_na=False)
    one = records["patient_id"] == "p0"
    records.loc[one, "bright"] = "flash"
    artifacts = []
    for rows in (records, records[~one]):
        rows.to_csv(cohort_folder / "records.csv", index=False)
        images = CohortImages(read_cohort(cohort_folder, schema=schema), spatial_size=16)
        made = kind(epsilon=3, delta=1e-3, public_schema=True, encoder_is_public=True, **SHORT_PRIVATE[kind])
        artifact = SynthesizerTraining(images, encoder, made, tmp_path / "artifact", seed=0, epsilon=3).run()
        artifacts.append(digest_folder(artifact))
    assert artifacts[0] == artifacts[1]
    found = RecordSchema.load(artifact / "schema.json")
    assert found["bright"] == declared
    assert (found["age"].minimum, found["age"].maximum) == (0, 120)


def test_another_public_file_is_another_fit(cohort_folder, encoder, tmp_path):
    images = CohortImages(read_cohort(cohort_folder), spatial_size=16)
    size, path = encoder_width(encoder, images), tmp_path / "encoder_public.safetensors"
    artifacts = []
    for seed in (0, 0, 1):
        turn, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((size, size)))
        axes = turn.astype(np.float32)
        save_file({"axes": axes, "directions": axes, "changes": np.ones(size, dtype=np.float32)}, path)
        made = ConditionalGaussianSynthesizer(minimum_patients=2, public_encoder=path)
        run = SynthesizerTraining(images, encoder, made, tmp_path / "a", seed=0, cache_dir=tmp_path / "cache")
        artifacts.append(digest_folder(run.run()))
        assert hasattr(made, "copula_") == (len(artifacts) != 2), "the second is the first"
    assert artifacts[0] == artifacts[1] != artifacts[2]
