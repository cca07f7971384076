"""A private fit: what it needs, what it states, how little one patient moves it, and an attack on epsilon itself."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import beta

from monai_hybridsynth.data import RecordField, RecordSchema
from monai_hybridsynth.fusion import PrivateGaussianSynthesizer, RecordSynthesizer, load_synthesizer

PUBLIC = {"public_schema": True, "encoder_is_public": True}


@pytest.fixture(scope="module")
def made(table, public_schema) -> PrivateGaussianSynthesizer:
    return PrivateGaussianSynthesizer(epsilon=20, delta=1e-4, **PUBLIC).fit(table, public_schema, seed=0)


def test_it_is_a_synthesizer_with_the_tables_columns(made, table):
    assert isinstance(made, RecordSynthesizer)
    drawn = made.sample(300, seed=1)
    expected = table.drop(columns="patient_id")
    assert {n: str(t) for n, t in drawn.dtypes.items()} == {n: str(t) for n, t in expected.dtypes.items()}
    assert (made.sample(20, conditions={"sex": "F"}, seed=1)["sex"] == "F").all()


def test_a_large_budget_keeps_image_and_row_together(table, public_schema):
    made = PrivateGaussianSynthesizer(epsilon=200, **PUBLIC).fit(table, public_schema)
    drawn = made.sample(3000, seed=1).dropna(subset="age")
    men = drawn["sex"] == "M"
    assert drawn.loc[men, "latent_000"].mean() - drawn.loc[~men, "latent_000"].mean() > 2.0  # 4 in the data
    assert np.corrcoef(drawn["age"], drawn["latent_002"])[0, 1] > 0.6


def test_rules_between_columns_are_kept(table, public_schema):
    rule = {"if": {"column": "sex", "equals": "F"}, "then": {"column": "age", "maximum": 55}}
    assert (table.loc[table["sex"] == "F", "age"] > 55).any()  # so that it takes the rule
    schema = RecordSchema(public_schema.fields, rules=[rule])
    drawn = PrivateGaussianSynthesizer(epsilon=20, **PUBLIC).fit(table, schema).sample(500, seed=1)
    assert not (drawn.loc[drawn["sex"] == "F", "age"] > 55).any()
    assert (drawn.loc[drawn["sex"] == "M", "age"] > 55).any()


def test_a_small_budget_leaves_nothing(table, public_schema):
    def links(epsilon, noise_seed):
        made = PrivateGaussianSynthesizer(epsilon=epsilon, noise_seed=noise_seed, **PUBLIC).fit(table, public_schema)
        size = sum(column.size for column in made.columns_)
        return (made.copula_.covariance[:size, size:] ** 2).sum() / size

    assert np.mean([links(0.01, seed) for seed in range(9)]) < 0.15
    assert links(200, 0) > 0.2


def test_the_artifact_states_the_terms_and_samples_the_same(made, tmp_path):
    folder = made.save(tmp_path / "artifact")
    stated = json.loads((folder / "synthesizer.json").read_text())["privacy"]
    assert (stated["epsilon"], stated["delta"]) == (20, 1e-4)
    assert "seed" not in (folder / "synthesizer.json").read_text()
    loaded = load_synthesizer(folder)
    assert loaded.privacy_ == made.privacy_
    pd.testing.assert_frame_equal(loaded.sample(40, seed=3), made.sample(40, seed=3))


def test_fits_differ_unless_the_noise_is_fixed(table, public_schema):
    def drawn(**options):
        made = PrivateGaussianSynthesizer(epsilon=5, **PUBLIC, **options).fit(table, public_schema, seed=0)
        return made.sample(30, seed=0), made.privacy_["epsilon"]

    assert not drawn()[0].equals(drawn()[0])
    fixed = [drawn(noise_seed=1) for _ in range(2)]
    pd.testing.assert_frame_equal(fixed[0][0], fixed[1][0])
    assert fixed[0][1] is None


def test_what_is_not_public_is_refused(table, schema, public_schema):
    with pytest.raises(ValueError, match="public_schema is False"):
        PrivateGaussianSynthesizer(epsilon=1).fit(table, public_schema)
    with pytest.raises(ValueError, match="encoder_is_public is False"):
        PrivateGaussianSynthesizer(epsilon=1, public_schema=True).fit(table, public_schema)
    with pytest.raises(ValueError, match="no minimum and maximum"):
        PrivateGaussianSynthesizer(epsilon=1, **PUBLIC).fit(table, schema)


def test_one_patient_moves_the_artifact_no_more_than_its_share(table, public_schema):
    """With the noise fixed, a canary with extreme values moves shares by what one of 150 patients can."""
    canary = table.iloc[[0, 1, 2]].assign(patient_id="canary", age=1e9, crp=np.inf, view=None, findings="Mass")
    canary["latent_003"] = np.float32(777.1)
    contents = []
    for rows in (table, pd.concat([table, canary], ignore_index=True)):
        made = PrivateGaussianSynthesizer(epsilon=5, noise_seed=0, **PUBLIC).fit(rows, public_schema)
        contents.append(made)
    for one, two in zip(*[made.layout_.encoder.flat_columns for made in contents], strict=True):
        assert (one.name, one.categories, one.lower, one.upper) == (two.name, two.categories, two.lower, two.upper)
        assert two.shares == pytest.approx(one.shares, abs=0.03)
    moved = np.abs(contents[1].copula_.covariance - contents[0].copula_.covariance)
    assert moved.max() < 0.25
    assert np.abs(contents[1].whitening_.mean_ - contents[0].whitening_.mean_).max() < 0.3


@pytest.mark.parametrize(("epsilon", "works"), [(1.0, False), (8.0, True)])
def test_an_attack_does_not_refute_epsilon(epsilon, works):
    """Fits with and without one patient, told apart by the statistic that this patient moves most."""
    delta, runs = 1e-2, 200
    schema = RecordSchema(
        [RecordField("patient_id", role="group"), RecordField("ill", kind="binary", enum=("no", "yes"), required=True)]
    )
    without = pd.DataFrame({"patient_id": np.arange(20), "ill": ["no"] * 20})
    with_one = pd.concat([without, pd.DataFrame({"patient_id": [99], "ill": ["yes"]})], ignore_index=True)

    def share(rows, noise_seed):
        made = PrivateGaussianSynthesizer(epsilon=epsilon, delta=delta, public_schema=True, noise_seed=noise_seed)
        column = made.fit(rows, schema).layout_.encoder.column("ill").flats[0]
        return dict(zip(column.categories, column.shares, strict=True)).get("yes", 0.0)

    # No noise is drawn twice, so that the two series are independent.
    seeds = (range(runs), range(runs, 2 * runs))
    outputs = [
        np.array([share(rows, seed) for seed in part]) for rows, part in zip((without, with_one), seeds, strict=True)
    ]
    cut = np.median(np.concatenate(outputs))
    hits, alarms = ((part > cut).sum() for part in reversed(outputs))
    # 97.5 % limits: a true positive rate of at least `low`, a false positive rate of at most `high`.
    low, high = beta.ppf(0.025, hits, runs - hits + 1), beta.ppf(0.975, alarms + 1, runs - alarms)
    assert np.log(max(low - delta, 1e-9) / high) <= epsilon
    # At the small epsilon the attack may well guess; at the large one it has to work.
    assert not works or hits > 2 * alarms, "the patient moves the share"
