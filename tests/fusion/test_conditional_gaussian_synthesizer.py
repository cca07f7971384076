"""The conditional Gaussian on records: margins, relations, fixed columns, artifact, and every odd table."""

from __future__ import annotations

import json
import random
import struct
from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file, save_file
from threadpoolctl import threadpool_info, threadpool_limits

from monai_hybridsynth.data import RecordField, RecordSchema
from monai_hybridsynth.fusion import ConditionalGaussianSynthesizer, RecordSynthesizer, load_synthesizer
from monai_hybridsynth.fusion import conditional_gaussian_synthesizer as module
from monai_hybridsynth.fusion.underlying_columns import UnderlyingColumn, UnderlyingLabels

AGE, CRP, LATENT = 98765.4321, 31337.8125, 777.1234


@pytest.fixture(scope="module")
def gaussian(table, schema) -> ConditionalGaussianSynthesizer:
    synthesizer = ConditionalGaussianSynthesizer(link_gain=1.0, image_spread=1.0)  # latents that are not decoded
    return synthesizer.fit(table, schema, seed=0)


@pytest.fixture(scope="module")
def records(gaussian) -> pd.DataFrame:
    return gaussian.sample(4000, seed=1)


def test_follows_the_protocol(gaussian, records, table, schema):
    assert isinstance(gaussian, RecordSynthesizer)
    assert records.dtypes.to_dict() == table.drop(columns="patient_id").dtypes.to_dict()
    assert list(records.columns) == list(table.drop(columns="patient_id").columns)
    pd.testing.assert_frame_equal(schema.parse(records[schema.feature_names]), records[schema.feature_names])


def test_margins_are_those_of_the_table(records, table):
    for column in ("sex", "view", "findings", "images_before"):
        shares = [part[column].value_counts(normalize=True, dropna=False) for part in (table, records)]
        assert shares[0].sub(shares[1], fill_value=0).abs().max() < 0.03, column
    for column in ("age", "crp"):
        finite = [np.sort(part[column][np.isfinite(part[column])].to_numpy(dtype=float)) for part in (table, records)]
        steps = [np.searchsorted(values, finite[0], side="right") / len(values) for values in finite]
        assert np.abs(steps[0] - steps[1]).max() < 0.06, column
    assert records["crp"].isna().mean() == pytest.approx(table["crp"].isna().mean(), abs=0.03)
    assert np.isposinf(records["crp"]).mean() == pytest.approx(np.isposinf(table["crp"]).mean(), abs=0.03)
    assert not np.isneginf(records["crp"]).any()


def test_labels_of_a_column_share_what_shows_of_them(table, schema, monkeypatch):
    """Both findings show alike in one latent: learned together, their slopes are more alike, "No Finding" opposite."""
    some = table["findings"] != "No Finding"
    shown = table.assign(latent_003=table["latent_003"] + np.where(some, 0.6, 0.0).astype(np.float32))

    def alike() -> float:
        fitted = ConditionalGaussianSynthesizer().fit(shown, schema, seed=0)
        size = sum(column.size for column in fitted.columns_)
        labels = fitted.copula_.covariance[size:, size - 3 : size]
        assert [column.name for column in fitted.columns_][-1] == "findings"
        order = fitted.columns_[-1].labels
        signs = np.array([-1.0 if label == "No Finding" else 1.0 for label in order])
        unit = labels * signs / np.linalg.norm(labels, axis=0)
        return float((unit.T @ unit)[np.triu_indices(3, 1)].min())

    together = alike()
    monkeypatch.setattr(UnderlyingLabels, "shared", UnderlyingColumn.shared)
    assert together > alike() + 0.1


def test_row_and_latents_belong_together(records, table):
    for part in (table, records):
        gap = part.groupby("sex")["latent_000"].mean().diff().iloc[-1]
        assert gap == pytest.approx(4.0, abs=0.6)
    known, drawn = (np.corrcoef(part["age"], part["latent_002"])[0, 1] for part in (table, records))
    assert known == pytest.approx(0.89, abs=0.05)
    assert drawn == pytest.approx(known, abs=0.05)
    by_view = [part.groupby("view", dropna=False)["latent_001"].mean() for part in (table, records)]
    assert (by_view[0] - by_view[1]).abs().max() < 0.9


def test_a_fixed_column_moves_the_latents_as_in_the_table(gaussian, table):
    for conditions, latent, expected in (
        ({"sex": "M"}, "latent_000", 2.0),
        ({"view": "LL"}, "latent_001", -2.0),
        ({"age": 65.0}, "latent_002", 2.0),
    ):
        drawn = gaussian.sample(600, conditions=conditions, seed=2)
        ((name, value),) = conditions.items()
        assert (drawn[name] == value).all()
        assert drawn[latent].mean() == pytest.approx(expected, abs=0.5)


def test_the_row_follows_a_fixed_image(gaussian):
    drawn = gaussian.sample(400, conditions={"latent_000": 2.0, "latent_002": -2.0}, seed=2)
    assert (drawn["latent_000"] == np.float32(2.0)).all()
    assert (drawn["sex"] == "M").mean() > 0.9
    # The table has latent_002 = (age - 50) / 7.5 + noise of variance 1, so age regresses to 50 - 2 * 7.5 * 4 / 5.
    assert drawn["age"].mean() == pytest.approx(38, abs=3)


def test_predicts_a_column_from_the_image_as_well_as_a_predictor_trained_for_it(table, schema):
    """Fix the latents, draw its column many times: the mean ranks unseen patients as logistic regression does."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score

    rng, names = np.random.default_rng(3), [f"latent_{number:03d}" for number in range(6)]
    whole = pd.concat([table] * 3, ignore_index=True).assign(patient_id=np.arange(900))
    for name in names:  # rows are no copies, and the link is weaker than in the table, so that ranks can differ
        whole[name] += rng.normal(scale=3.0, size=900).astype(np.float32)
    train, test = whole.iloc[:600].reset_index(drop=True), whole.iloc[600:].reset_index(drop=True)
    made = ConditionalGaussianSynthesizer().fit(train, schema, seed=0)
    asked = test[names].iloc[np.repeat(np.arange(300), 60)].reset_index(drop=True)
    drawn = made.sample(len(asked), conditions=asked, seed=1)
    for column, value in (("sex", "M"), ("view", "PA")):
        chance = (drawn[column] == value).to_numpy().reshape(300, 60).mean(axis=1)
        direct = LogisticRegression().fit(train[names], train[column] == value).predict_proba(test[names])[:, 1]
        truth = test[column] == value
        assert roc_auc_score(truth, chance) > roc_auc_score(truth, direct) - 0.02
        assert chance.mean() == pytest.approx(truth.mean(), abs=0.06)


def test_a_gain_moves_drawn_images_further_and_leaves_given_ones_alone(gaussian, table, schema):
    weak = np.random.default_rng(0).normal(size=len(table))
    blurred = table.assign(latent_002=(table["latent_002"] + 3 * table["latent_002"].std() * weak).astype(np.float32))
    models = [ConditionalGaussianSynthesizer(link_gain=gain).fit(blurred, schema, seed=0) for gain in (1.0, 1.5)]
    drawn = [model.sample(4000, seed=1) for model in models]
    links = [np.cov(part["age"].astype(float), part["latent_002"])[0, 1] for part in drawn]
    assert links[1] == pytest.approx(1.5 * links[0], rel=0.15)
    image = {name: 0.5 for name in table.columns if name.startswith("latent")}
    rows = [model.sample(200, conditions=image, seed=1) for model in models]
    pd.testing.assert_frame_equal(rows[0], rows[1])


def test_a_spread_moves_drawn_images_away_from_their_mean_and_leaves_given_ones_alone(table, schema, tmp_path):
    names = [name for name in table.columns if name.startswith("latent")]
    models = [ConditionalGaussianSynthesizer(image_spread=spread).fit(table, schema, seed=0) for spread in (1.0, 1.5)]
    plain, wide = (model.sample(500, seed=1) for model in models)
    pd.testing.assert_frame_equal(plain.drop(columns=names), wide.drop(columns=names))
    mean = models[0].whitening_.mean_
    np.testing.assert_allclose(wide[names] - mean, 1.5 * (plain[names] - mean), atol=1e-5)
    pd.testing.assert_frame_equal(load_synthesizer(models[1].save(tmp_path / "artifact")).sample(500, seed=1), wide)
    one = {names[0]: 0.5}
    pd.testing.assert_frame_equal(*(model.sample(50, conditions=one, seed=1) for model in models))


def test_a_second_fit_forgets_how_the_first_drew_images(table, schema):
    turned = table.assign(latent_000=-table["latent_000"])
    twice = ConditionalGaussianSynthesizer().fit(table, schema, seed=0)
    twice.sample(10, seed=1)
    once = ConditionalGaussianSynthesizer().fit(turned, schema, seed=0)
    pd.testing.assert_frame_equal(twice.fit(turned, schema, seed=0).sample(50, seed=1), once.sample(50, seed=1))


def test_missing_and_rare_values_can_be_fixed(gaussian):
    drawn = gaussian.sample(20, conditions={"crp": np.inf, "view": None, "findings": "Effusion|Mass"}, seed=2)
    assert np.isposinf(drawn["crp"]).all()
    assert drawn["view"].isna().all()
    assert (drawn["findings"] == "Effusion|Mass").all()
    assert gaussian.sample(20, conditions={"crp": np.nan}, seed=2)["crp"].isna().all()


def test_a_table_fixes_every_record_on_its_own(gaussian, table):
    wanted = table[["findings", "view", "crp", "age"]].iloc[:150].reset_index(drop=True)
    with pytest.warns(UserWarning, match="outside the learned range"):
        drawn = gaussian.sample(150, conditions=wanted, seed=2)
    pd.testing.assert_frame_equal(drawn[list(wanted.columns)].sort_index(axis=1), wanted.sort_index(axis=1))
    assert np.corrcoef(drawn["age"], drawn["latent_002"])[0, 1] > 0.7


def test_a_value_missing_because_of_its_image_stays_so():
    """Not at random: whoever has a large latent has no laboratory value."""
    rng = np.random.default_rng(0)
    latent = rng.normal(size=400)
    table = pd.DataFrame({"ldh": np.where(latent > 0.5, np.nan, rng.normal(250, 40, 400)), "latent_000": latent})
    schema = RecordSchema([RecordField("ldh", "number", kind="continuous")])
    made = ConditionalGaussianSynthesizer().fit(table, schema, seed=0)
    drawn = made.sample(3000, seed=1)
    for part in (table, drawn):
        gap = part["latent_000"][part["ldh"].isna()].mean() - part["latent_000"][part["ldh"].notna()].mean()
        assert gap > 1.3


def test_one_seed_gives_one_cohort_and_leaves_the_global_states_alone(gaussian, table, schema):
    def states():
        return random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002

    before = states()
    made = [ConditionalGaussianSynthesizer().fit(table, schema, seed=0).sample(30, seed=5) for _ in range(2)]
    drawn = [gaussian.sample(30, conditions={"sex": "F"}, seed=seed) for seed in (1, 1, 2)]
    assert states() == before
    pd.testing.assert_frame_equal(*made)
    pd.testing.assert_frame_equal(*drawn[:2])
    assert not drawn[0].equals(drawn[2])


def test_an_artifact_older_than_the_spread_of_images_samples_as_it_did(gaussian, tmp_path):
    file = gaussian.save(tmp_path / "artifact") / "synthesizer.json"
    written = json.loads(file.read_text())
    assert written["arguments"].pop("image_spread") == 1.0
    file.write_text(json.dumps(written))
    pd.testing.assert_frame_equal(load_synthesizer(file.parent).sample(40, seed=3), gaussian.sample(40, seed=3))


def test_a_loaded_artifact_samples_the_same(gaussian, tmp_path):
    folder = gaussian.save(tmp_path / "artifact")
    assert sorted(path.name for path in folder.iterdir()) == ["synthesizer.json", "weights.safetensors"]
    for conditions in (None, {"view": "LL", "age": 40.0, "latent_003": 0.5}):
        pd.testing.assert_frame_equal(
            load_synthesizer(folder).sample(40, conditions=conditions, seed=3),
            gaussian.sample(40, conditions=conditions, seed=3),
        )
    again = load_synthesizer(folder).save(tmp_path / "again")
    for name in ("synthesizer.json", "weights.safetensors"):
        assert (again / name).read_bytes() == (folder / name).read_bytes()


def test_the_artifact_knows_no_single_patient(table, schema, tmp_path):
    """A patient with values of its own is left in and out: nothing of it is in the files, and little moves."""
    canary = table.iloc[[0, 1, 2]].assign(patient_id="canary-patient", age=AGE, crp=CRP)
    canary = canary.assign(view="CANARYVIEW", findings="Canarylabel|Mass", latent_003=np.float32(LATENT))
    folders = {
        name: ConditionalGaussianSynthesizer().fit(rows, schema, seed=0).save(tmp_path / name)
        for name, rows in (("without", table), ("with", pd.concat([table, canary], ignore_index=True)))
    }
    for path in folders["with"].iterdir():
        data = path.read_bytes()
        assert not any(text in data for text in (b"CANARY", b"anarylabel", b"canary", b"patient-0"))
        for value in (AGE, CRP, LATENT):
            assert struct.pack("<d", value) not in data
            assert f"{value:.12g}".encode() not in data
    arrays = {name: load_file(folder / "weights.safetensors") for name, folder in folders.items()}
    size = len(arrays["with"]["mean"]) - 6
    # Components may turn where variances are equal; what they say of the latents may not.
    links = [part["whitening.mixing"] @ part["covariance"][size:, :size] for part in arrays.values()]
    assert np.abs(links[0] - links[1]).max() < 0.15
    assert np.abs(arrays["with"]["covariance"] - arrays["without"]["covariance"])[:size, :size].max() < 0.15
    assert np.abs(arrays["with"]["whitening.mean"] - arrays["without"]["whitening.mean"]).max() < 0.1
    for array in arrays["with"].values():
        assert not {len(table), len(table) + 3, 151} & set(array.shape)
    texts = [json.loads((folder / "synthesizer.json").read_text())["columns"] for folder in folders.values()]
    for one, other in zip(*texts, strict=True):
        assert one.get("categories") == other.get("categories")
        assert one.get("labels") == other.get("labels")


@pytest.mark.parametrize("kinds", ["numbers", "categories", "latents", "one row each", "constant", "two rows"])
def test_accepts_odd_tables(kinds, table, schema):
    choices = {"numbers": ["age", "crp"], "categories": ["sex", "findings"], "latents": [], "two rows": ["age", "sex"]}
    names = choices.get(kinds, ["sex"])
    latents = ["latent_000", "latent_001"] if kinds in ("latents", "numbers", "constant", "two rows") else []
    small = RecordSchema([RecordField("patient_id", role="group"), *[schema[name] for name in names]])
    part = table[["patient_id", *names, *latents]].iloc[: 4 if kinds == "two rows" else 40].reset_index(drop=True)
    part = part.assign(sex="F") if kinds == "constant" else part
    part = part.drop(columns="patient_id") if kinds == "one row each" else part
    with pytest.warns(UserWarning, match="returned as missing") if kinds == "two rows" else nullcontext():
        made = ConditionalGaussianSynthesizer().fit(part, small, seed=0)
    drawn = made.sample(7, seed=0)
    assert list(drawn.columns) == [*names, *latents]
    assert np.isfinite(drawn[latents].to_numpy()).all()


def test_weights_count_patients_not_images(schema):
    rows = [("same", "F")] * 200 + [(f"p{i}", "M") for i in range(20)] + [(f"q{i}", "F") for i in range(5)]
    part = pd.DataFrame(rows, columns=["patient_id", "sex"]).astype(object)
    part["age"] = np.random.default_rng(0).normal(50, 10, len(part)).round()
    small = RecordSchema([schema["patient_id"], schema["sex"], schema["age"]])
    made = ConditionalGaussianSynthesizer().fit(part, small, seed=0)
    assert (made.sample(2000, seed=0)["sex"] == "F").mean() == pytest.approx(6 / 26, abs=0.05)


def test_wrong_calls_are_refused(schema, tmp_path):
    with pytest.raises(ValueError, match="link_gain is 0"):
        ConditionalGaussianSynthesizer(link_gain=0)
    with pytest.raises(ValueError, match="image_spread is 10"):
        ConditionalGaussianSynthesizer(image_spread=10)
    for call in (lambda s: s.sample(1, seed=0), lambda s: s.save(tmp_path)):
        with pytest.raises(RuntimeError, match="call fit"):
            call(ConditionalGaussianSynthesizer())
    with pytest.raises(ValueError, match="latent_components is 0"):
        ConditionalGaussianSynthesizer(latent_components=0)
    small = RecordSchema([schema["sex"]])
    with pytest.raises(ValueError, match="no column of the table varies"):
        ConditionalGaussianSynthesizer().fit(pd.DataFrame({"sex": ["F"] * 20}, dtype=object), small, seed=0)


def test_small_matrices_are_left_to_one_thread(gaussian, table, schema, monkeypatch):
    seen = []

    def watched(inner):
        def call(*arguments, **named):
            seen.append({part["num_threads"] for part in threadpool_info() if part["user_api"] == "blas"})
            return inner(*arguments, **named)

        return call

    for name in ("fit_copula", "draw_records"):
        monkeypatch.setattr(module, name, watched(getattr(module, name)))
    with threadpool_limits(limits=2, user_api="blas"):
        ConditionalGaussianSynthesizer().fit(table.head(100), schema, seed=0)
        gaussian.sample(3, seed=0)
        assert {part["num_threads"] for part in threadpool_info() if part["user_api"] == "blas"} == {2}
    assert seen == [{1}, {1}]


def test_public_axes_take_the_place_of_the_patients_own(table, schema, tmp_path):
    names = [name for name in table if name.startswith("latent_")]
    table, public = table.iloc[::2].reset_index(drop=True), table.iloc[1::2]
    turn = np.linalg.eigh(public[names].cov())[1]
    path = tmp_path / "encoder_public.safetensors"
    public_file = {name: np.ascontiguousarray(turn.T, dtype=np.float32) for name in ("axes", "directions")}
    save_file(public_file | {"changes": np.ones(len(turn), dtype=np.float32)}, path)
    made = ConditionalGaussianSynthesizer(public_encoder=path, image_spread=1.0).fit(table, schema, seed=0)
    assert made.link_gain == 1.2
    folder = made.save(tmp_path / "artifact")
    assert path.name not in (folder / "synthesizer.json").read_text()
    mixing = load_file(folder / "weights.safetensors")["whitening.mixing"]
    along = np.abs((mixing / np.linalg.norm(mixing, axis=0)).T @ turn)
    assert along.max(axis=1) == pytest.approx(1, abs=1e-3), "every column of the mixing is one of the axes"
    drawn = made.sample(4000, seed=1)
    spreads, gaps = [], []
    for part in (table, drawn):
        spreads.append((part[names].to_numpy() @ turn).std(axis=0))
        gaps.append(part.groupby("sex")["latent_000"].mean().diff().iloc[-1])
    assert spreads[1] == pytest.approx(spreads[0], rel=0.25)
    assert gaps[1] == pytest.approx(1.2 * gaps[0], rel=0.25)
    pd.testing.assert_frame_equal(ConditionalGaussianSynthesizer.load(folder).sample(4000, seed=1), drawn)
    with pytest.raises(ValueError, match="axes: .* is no file"):
        ConditionalGaussianSynthesizer(public_encoder=tmp_path / "absent").fit(table, schema, seed=0)
    save_file({"directions": turn.astype(np.float32)}, tmp_path / "old.safetensors")
    with pytest.raises(ValueError, match="written anew by write_public_encoder.. if it is older"):
        ConditionalGaussianSynthesizer(public_encoder=tmp_path / "old.safetensors").fit(table, schema, seed=0)
