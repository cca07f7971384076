"""CTGAN on records: what comes back, what is linked, what may be fixed, and that nothing outside changes."""

from __future__ import annotations

import json
import random

import numpy as np
import pandas as pd
import pytest
import torch

from monai_hybridsynth.data import RecordField, RecordSchema
from monai_hybridsynth.fusion import CTGANSynthesizer, RecordSynthesizer, load_synthesizer

SHORT = {"steps": 2, "batch_size": 20, "pac": 1, "max_clusters": 2, "progress": False}


def test_follows_the_protocol(fitted):
    assert isinstance(fitted, RecordSynthesizer)


def test_returns_the_columns_order_and_dtypes_of_the_table(fitted, table):
    records = fitted.sample(150, seed=1)
    expected = table.drop(columns="patient_id")
    assert list(records.columns) == list(expected.columns)
    assert records.dtypes.to_dict() == expected.dtypes.to_dict()
    assert len(records) == 150


def test_values_are_those_that_the_table_may_hold(fitted, table, schema):
    records = fitted.sample(500, seed=1)
    assert set(records["sex"]) == {"F", "M"}
    assert set(records["view"].dropna()) == {"AP", "PA", "LL"}
    assert records["view"].isna().any()
    assert records["crp"].isna().mean() == pytest.approx(table["crp"].isna().mean(), abs=0.15)
    assert np.isposinf(records["crp"]).any()
    assert not np.isneginf(records["crp"]).any()
    finite = records["crp"][np.isfinite(records["crp"])]
    assert finite.between(0, 120).all()
    np.testing.assert_allclose(finite, finite.round(1))
    labels = {label for joined in records["findings"] for label in joined.split("|")}
    assert labels == {"Effusion", "Mass", "No Finding"}
    assert not records["findings"].str.contains(r"No Finding\||\|No Finding").any()
    pd.testing.assert_frame_equal(schema.parse(records[schema.feature_names]), records[schema.feature_names])


def test_row_and_latents_belong_together(fitted, table):
    records = fitted.sample(1000, seed=1)
    for column, value, latent in (("sex", "M", "latent_000"), ("view", "PA", "latent_001")):
        gap = records.groupby(records[column] == value)[latent].mean().diff().iloc[-1]
        assert gap > 1.0, f"{column} is 4 apart in the training rows"
    assert np.corrcoef(records["age"], records["latent_002"])[0, 1] > 0.25


def test_a_category_of_any_discrete_column_can_be_fixed(fitted):
    """Upstream sets the wrong category for every discrete column but the first."""
    for column, low, high, latent in (("view", "AP", "PA", "latent_001"), ("sex", "F", "M", "latent_000")):
        means = []
        for value in (low, high):
            records = fitted.sample(200, conditions={column: value}, seed=2)
            assert (records[column] == value).all()
            means.append(records[latent].mean())
        assert means[1] - means[0] > 1.0, f"the latents follow {column}; they are 4 apart in the training rows"


def test_missing_and_censored_values_can_be_fixed(fitted):
    records = fitted.sample(20, conditions={"crp": np.inf, "view": None}, seed=2)
    assert np.isposinf(records["crp"]).all()
    assert records["view"].isna().all()
    assert fitted.sample(20, conditions={"crp": np.nan}, seed=2)["crp"].isna().all()


def test_a_table_fixes_every_record_on_its_own(fitted, table):
    wanted = table[["findings", "sex", "age"]].iloc[:150].reset_index(drop=True)
    wanted["age"] = wanted["age"].clip(25, 75)
    records = fitted.sample(150, conditions=wanted, seed=2)
    pd.testing.assert_frame_equal(records[["findings", "sex", "age"]], wanted)
    assert records["latent_000"].groupby(records["sex"]).mean().diff().iloc[-1] > 1.0
    assert np.corrcoef(records["age"], records["latent_002"])[0, 1] > 0.25


def test_latents_can_be_fixed(fitted):
    records = fitted.sample(100, conditions={"latent_000": 2.5}, seed=2)
    assert (records["latent_000"] == np.float32(2.5)).all()
    assert (records["sex"] == "M").mean() > 0.6
    assert records["latent_000"].dtype == np.float32


def test_an_unknown_category_is_named_with_what_is_allowed(fitted):
    with pytest.raises(ValueError, match=r"'X' in column 'sex'.*allowed: \['F', 'M'\]"):
        fitted.sample(5, conditions={"sex": "X"}, seed=0)


def test_one_seed_gives_one_cohort_and_leaves_the_global_states_alone(fitted, table, schema):
    def states():
        return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # noqa: NPY002

    before = states()
    made = [CTGANSynthesizer(**SHORT).fit(table, schema, seed=seed).sample(30, seed=5) for seed in (3, 3, 4)]
    records = [fitted.sample(30, conditions={"sex": "F"}, seed=seed) for seed in (1, 1, 2)]
    assert states() == before
    torch.rand(1)
    for frames in (made, records):
        pd.testing.assert_frame_equal(frames[0], frames[1])
        assert not frames[0].equals(frames[2])


def test_a_loaded_artifact_samples_the_same(fitted, tmp_path):
    folder = fitted.save(tmp_path / "artifact")
    assert sorted(path.name for path in folder.iterdir()) == ["synthesizer.json", "weights.safetensors"]
    for conditions in (None, {"view": "LL", "age": 40.0}):
        pd.testing.assert_frame_equal(
            load_synthesizer(folder).sample(40, conditions=conditions, seed=3),
            fitted.sample(40, conditions=conditions, seed=3),
        )
    again = load_synthesizer(folder).save(tmp_path / "again")
    for name in ("synthesizer.json", "weights.safetensors"):
        assert (again / name).read_bytes() == (folder / name).read_bytes()


def test_a_record_does_not_depend_on_those_beside_it(fitted):
    """Batch norm in training mode would mix the records of one batch."""
    conditions = torch.zeros(3, fitted.spans_.num_categories)
    noise = torch.randn(3, fitted.options["embedding_dim"], generator=torch.Generator().manual_seed(0))
    inputs = torch.cat([noise, conditions], dim=1)
    torch.testing.assert_close(fitted.generator_(inputs)[:1], fitted.generator_(inputs[:1]))


def test_paper_models_the_raw_latents_with_the_defaults_of_the_package(table, schema):
    import inspect

    from ctgan import CTGAN

    paper = CTGANSynthesizer("paper", progress=False)
    defaults = {name: parameter.default for name, parameter in inspect.signature(CTGAN).parameters.items()}
    shared = set(defaults) & set(paper.options)
    assert {name: paper.options[name] for name in shared} == {name: defaults[name] for name in shared}
    assert {"batch_size", "pac", "epochs", "generator_dim"} <= shared
    made = CTGANSynthesizer("paper", epochs=1, max_clusters=2, progress=False).fit(table.iloc[:60], schema, seed=0)
    assert [span.name for span in made.spans_.spans if span.name.startswith("latent_")] == [
        name for name in table.columns if name.startswith("latent_")
    ]
    records = made.sample(20, conditions={"latent_001": 1.0}, seed=0)
    assert (records["latent_001"] == 1.0).all()


def test_the_constructor_takes_json_values():
    options = json.loads(json.dumps({"preset": "tuned", "generator_dim": [32, 32], "steps": 5, "pac": 2}))
    assert CTGANSynthesizer(**options).options["generator_dim"] == [32, 32]
    with pytest.raises(TypeError, match="bacth_size"):
        CTGANSynthesizer(bacth_size=20)
    with pytest.raises(ValueError, match="preset is 'best'"):
        CTGANSynthesizer("best")
    with pytest.raises(ValueError, match="multiple of pac"):
        CTGANSynthesizer(batch_size=50, pac=20)


def test_calls_in_the_wrong_order_are_refused(tmp_path):
    for call in (lambda s: s.sample(1, seed=0), lambda s: s.save(tmp_path)):
        with pytest.raises(RuntimeError, match="call fit"):
            call(CTGANSynthesizer())


def test_shows_progress_when_asked(table, schema, capsys):
    CTGANSynthesizer(**(SHORT | {"progress": True})).fit(table, schema, seed=0)
    assert "Gen." in capsys.readouterr().err


@pytest.mark.parametrize("kinds", ["numbers", "categories", "latents", "one row each"])
def test_accepts_tables_of_one_kind(kinds, table, schema):
    choices = {"numbers": ["age", "crp"], "categories": ["sex", "findings"], "latents": [], "one row each": ["sex"]}
    names = choices[kinds]
    latents = ["latent_000", "latent_001"] if kinds in ("latents", "numbers") else []
    small = RecordSchema([RecordField("patient_id", role="group"), *[schema[name] for name in names]])
    part = table[["patient_id", *names, *latents]].iloc[:40]
    part = part.drop(columns="patient_id") if kinds == "one row each" else part
    made = CTGANSynthesizer(**SHORT, latent_components=2).fit(part, small, seed=0)
    assert list(made.sample(7, seed=0).columns) == [*names, *latents]


def test_nothing_that_varies_is_an_error(schema):
    small = RecordSchema([schema["sex"]])
    with pytest.raises(ValueError, match="no column of the table varies"):
        CTGANSynthesizer(**SHORT).fit(pd.DataFrame({"sex": ["F"] * 20}, dtype=object), small, seed=0)


def test_weights_count_patients_not_images(schema):
    """One patient with 200 images of F among 20 patients of M: the share of F stays near one in twenty-one."""
    rows = [("same", "F")] * 200 + [(f"p{i}", "M") for i in range(20)] + [(f"q{i}", "F") for i in range(5)]
    part = pd.DataFrame(rows, columns=["patient_id", "sex"]).astype(object)
    part["age"] = np.random.default_rng(0).normal(50, 10, len(part)).round()
    small = RecordSchema([schema["patient_id"], schema["sex"], schema["age"]])
    options = SHORT | {"steps": 150, "generator_lr": 1e-3, "discriminator_lr": 1e-3}
    made = CTGANSynthesizer(**options).fit(part, small, seed=0)
    assert (made.sample(2000, seed=0)["sex"] == "F").mean() == pytest.approx(6 / 26, abs=0.12)
