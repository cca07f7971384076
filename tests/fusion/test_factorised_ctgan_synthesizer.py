"""CTGAN for the row and a Gaussian for the image given it: relations, fixed columns, artifact, every kind of column."""

from __future__ import annotations

from copy import copy
from typing import Any

import numpy as np
import pandas as pd
import pytest

from monai_hybridsynth.data import RecordSchema, draw_rows, infer_schema
from monai_hybridsynth.data.chest_phantom import phantom_schema
from monai_hybridsynth.fusion import (
    FactorisedCTGANSynthesizer,
    RecordSynthesizer,
    factorised_ctgan_synthesizer,
    load_synthesizer,
)

SHORT: dict[str, Any] = {
    "steps": 200,
    "embedding_dim": 16,
    "generator_dim": [64],
    "discriminator_dim": [64],
    "batch_size": 100,
    "generator_lr": 2e-3,
    "discriminator_lr": 2e-3,
    "max_clusters": 3,
}
LATENTS = [f"latent_{number:03d}" for number in range(6)]


@pytest.fixture(scope="module", autouse=True)
def a_short_link():
    """Learn the link from fewer records than usual."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(factorised_ctgan_synthesizer, "LINK_RECORDS", 4000)
        yield


@pytest.fixture(scope="module")
def phantom():
    """Return phantom rows with every kind of column, their schema, and records drawn after a fit on them.

    The body mass index is missing where it is high; latent 0 shows what it was, latent 1 how much oxygen is given.
    """
    rows = draw_rows(600, seed=1, variant="wide").assign(
        findings=draw_rows(600, seed=1, variant="findings")["findings"]
    )
    names = ["bmi", "crp", "oxygen_support", "findings"]
    fields = {field.name: field for variant in ("findings", "wide") for field in phantom_schema(variant).fields}
    schema = RecordSchema([fields["patient_id"], *[fields[name] for name in names]])
    table = schema.parse(rows[["patient_id", *names]])
    rng = np.random.default_rng(0)
    index = rows["bmi"].fillna(rows["bmi"].median()).to_numpy()
    table["bmi"] = table["bmi"].mask((index > 28) & (rng.random(600) < 0.8))
    levels = table["oxygen_support"].map(schema["oxygen_support"].enum.index, na_action="ignore").astype(float)
    for number, shown in enumerate((index, levels.fillna(levels.mean()).to_numpy())):
        shown = 3 * (shown - shown.mean()) / shown.std() + rng.normal(size=600)
        table[f"latent_{number:03d}"] = shown.astype(np.float32)
    table["latent_002"] = rng.normal(size=600).astype(np.float32)
    made = FactorisedCTGANSynthesizer(table=SHORT | {"steps": 400}, progress=False).fit(table, schema, seed=0)
    return table, schema, made.sample(3000, seed=1)


def test_gaps_limits_orders_and_labels_come_through(phantom):
    table, schema, drawn = phantom
    pd.testing.assert_frame_equal(schema.parse(drawn[schema.feature_names]), drawn[schema.feature_names])
    gaps = [[part["bmi"].isna().mean(), np.isneginf(part["crp"]).mean()] for part in (table, drawn)]
    assert min(gaps[0]) > 0.03
    assert gaps[1] == pytest.approx(gaps[0], abs=0.07)
    assert not np.isposinf(drawn["crp"]).any()
    labels = [part["findings"].str.get_dummies("|").mean() for part in (table, drawn)]
    assert labels[0].sub(labels[1], fill_value=0).abs().mean() < 0.03
    assert not drawn["findings"].str.contains("No Finding|", regex=False).any()
    levels = [part["oxygen_support"].value_counts(normalize=True, dropna=False) for part in (table, drawn)]
    assert levels[0].sub(levels[1], fill_value=0).abs().max() < 0.08


def test_the_image_knows_why_a_value_is_missing_and_where_a_level_stands(phantom):
    table, schema, drawn = phantom
    shift = [part.groupby(part["bmi"].isna())["latent_000"].mean().diff().iloc[-1] for part in (table, drawn)]
    assert shift[0] > 2
    assert shift[1] == pytest.approx(shift[0], rel=0.35)
    order = list(schema["oxygen_support"].enum)
    by_level = [part.groupby("oxygen_support")["latent_001"].mean().reindex(order).dropna() for part in (table, drawn)]
    assert by_level[0].is_monotonic_increasing
    assert by_level[1].is_monotonic_increasing
    assert np.corrcoef(drawn["bmi"].dropna(), drawn.loc[drawn["bmi"].notna(), "latent_000"])[0, 1] > 0.6


@pytest.fixture(scope="module")
def factorised(table, schema) -> FactorisedCTGANSynthesizer:
    return FactorisedCTGANSynthesizer(table=SHORT, progress=False).fit(table, schema, seed=0)


def test_it_is_a_synthesizer_with_the_tables_columns(factorised, table):
    assert isinstance(factorised, RecordSynthesizer)
    drawn, expected = factorised.sample(500, seed=1), table.drop(columns="patient_id")
    assert list(drawn.columns) == list(expected.columns)
    assert drawn.dtypes.to_dict() == expected.dtypes.to_dict()


def test_rows_are_those_of_ctgan_and_images_follow_them(factorised):
    drawn = factorised.sample(2000, seed=1)
    assert drawn.groupby("sex")["latent_000"].mean().diff().iloc[-1] == pytest.approx(1.2 * 1.1 * 4.0, abs=0.6)
    assert np.corrcoef(drawn["age"], drawn["latent_002"])[0, 1] > 0.7
    rows = factorised.table_.sample(2000, seed=int(np.random.SeedSequence(1).generate_state(2)[0]))
    pd.testing.assert_frame_equal(drawn.drop(columns=LATENTS), rows)


def test_images_follow_fixed_columns(factorised):
    men = factorised.sample(400, conditions={"sex": "M", "crp": np.nan}, seed=1)
    assert (men["sex"] == "M").all()
    assert men["crp"].isna().all()
    assert men["latent_000"].mean() > 1.2  # 2 in the data
    asked = pd.DataFrame({"view": ["LL", None] * 50, "age": np.linspace(30, 70, 100)})
    drawn = factorised.sample(100, conditions=asked, seed=1)
    assert drawn["view"].fillna("none").tolist() == asked["view"].fillna("none").tolist()
    assert drawn["age"].to_numpy() == pytest.approx(asked["age"])
    assert np.corrcoef(asked["age"], drawn["latent_002"])[0, 1] > 0.6


def test_rows_follow_a_fixed_image(factorised):
    images = pd.DataFrame(np.zeros((400, 2), dtype=np.float32), columns=["latent_000", "latent_002"])
    images["latent_000"] = np.repeat(np.float32([2.0, -2.0]), 200)
    images["latent_002"] = np.tile(np.float32([2.0, -2.0]), 200)
    drawn = factorised.sample(400, conditions=images, seed=1)
    pd.testing.assert_frame_equal(drawn[["latent_000", "latent_002"]], images)
    assert (drawn["sex"][:200] == "M").mean() > 0.9
    assert (drawn["sex"][200:] == "F").mean() > 0.9
    assert drawn["age"][::2].mean() - drawn["age"][1::2].mean() > 15  # 30 in the data, less the noise of the latent


def test_rows_are_judged_by_latents_as_learned(factorised):
    exaggerated = copy(factorised)
    exaggerated.image_ = copy(factorised.image_)
    exaggerated.image_.link_gain, exaggerated.image_.image_spread = 2.0, 2.0
    found = exaggerated._fit_link(seed=0)
    np.testing.assert_array_equal(found.slopes, factorised.link_.slopes)
    np.testing.assert_array_equal(found.residual, factorised.link_.residual)


def test_what_an_image_says_nothing_of_keeps_its_share(factorised):
    """The candidates' weights are a likelihood: under an image that fits all rows, rows are CTGAN's own."""
    free = factorised.sample(2000, seed=1)
    drawn = factorised.sample(1000, conditions={"latent_004": 0.0}, seed=2)
    for column in ("sex", "view", "findings"):
        shares = [part[column].value_counts(normalize=True, dropna=False) for part in (free, drawn)]
        assert shares[0].sub(shares[1], fill_value=0).abs().max() < 0.07, column


def test_a_row_and_an_image_can_be_fixed_together(factorised):
    asked = {"sex": "F", "latent_000": 2.5}
    drawn = factorised.sample(50, conditions=asked, seed=3)
    assert (drawn["sex"] == "F").all()
    assert (drawn["latent_000"] == np.float32(2.5)).all()


def test_one_seed_one_cohort_and_the_artifact_says_the_same(factorised, tmp_path):
    folder = factorised.save(tmp_path / "artifact")
    found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.*"))
    names = ["synthesizer.json", "weights.safetensors"]
    assert found == sorted([*names, *[f"{part}/{name}" for part in ("image", "table") for name in names]])
    loaded = load_synthesizer(folder)
    assert isinstance(loaded, FactorisedCTGANSynthesizer)
    for conditions in (None, {"view": "LL", "latent_003": 0.5}):
        first = factorised.sample(40, conditions=conditions, seed=3)
        pd.testing.assert_frame_equal(first, loaded.sample(40, conditions=conditions, seed=3))
        assert not first.equals(factorised.sample(40, conditions=conditions, seed=4))
    again = loaded.save(tmp_path / "again")
    assert all((again / name).read_bytes() == (folder / name).read_bytes() for name in found)


def test_a_table_without_latents_or_without_columns(table, schema):
    short = FactorisedCTGANSynthesizer(table=SHORT | {"steps": 5}, progress=False)
    clinical = table.drop(columns=LATENTS)
    drawn = short.fit(clinical, schema, seed=0).sample(20, conditions={"sex": "F"}, seed=0)
    assert list(drawn.columns) == [name for name in clinical.columns if name != "patient_id"]
    small = infer_schema(table[["sex"]].assign(sex="F"))
    with pytest.raises(ValueError, match="no column of the table varies"):
        short.fit(table[["patient_id", "sex", *LATENTS]].assign(sex="F"), small, seed=0)


def test_wrong_calls_are_refused(factorised, tmp_path):
    for call in (lambda s: s.sample(1, seed=0), lambda s: s.save(tmp_path)):
        with pytest.raises(RuntimeError, match="call fit"):
            call(FactorisedCTGANSynthesizer())
    with pytest.raises(ValueError, match="'divers'"):
        factorised.sample(2, conditions={"sex": "divers"}, seed=0)
    with pytest.raises(ValueError, match="num_records is 0"):
        factorised.sample(0, seed=0)


@pytest.mark.parametrize("part", ["table", "image"])
def test_the_public_encoder_is_given_once(part):
    with pytest.raises(ValueError, match=f"{part} has a public_encoder; give it to FactorisedCTGANSynthesizer itself"):
        FactorisedCTGANSynthesizer(**{part: {"public_encoder": "encoder_public.safetensors"}})
