"""Controls of the membership audit: what must be found is found, and strangers are not accused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from monai_hybridsynth.evaluation.membership import membership_findings, suspected_patients
from monai_hybridsynth.features import load_generator_encoder
from monai_hybridsynth.transforms import RecordEncoder

VIEWS = ("image", "table", "record")
BUNDLE = Path(__file__).parents[2] / "bundles" / "cxr_alpha_gan"


@pytest.fixture(scope="module")
def sides(phantoms):
    """Members and others of one population, split by patient at random, and fresh patients."""
    real, fresh = phantoms.draw("real", 204, seed=1), phantoms.draw("fresh", 240, seed=2)
    patients = np.random.default_rng(0).permutation(np.unique(real.groups))
    inside = np.isin(real.groups, patients[: round(0.6 * len(patients))])
    train, holdout = real.subset(np.flatnonzero(inside)), real.subset(np.flatnonzero(~inside))
    return replace(train, name="train", role="train"), replace(holdout, name="holdout", role="holdout"), fresh


def lines(found, name="membership_auroc", *, stratum="all"):
    """Return by view and attack."""
    return {
        (record.dimensions["view"], record.dimensions["attack"]): record
        for record in found.metrics
        if record.name == name and record.dimensions["stratum"] == stratum
    }


def raised(record) -> bool:
    return record.low > 0.5


@pytest.fixture(scope="module")
def encoded():
    """Return what adds the codes of the shipped encoder to a cohort."""
    encoder = load_generator_encoder(BUNDLE, in_channels=1).network

    def encode(side):
        return replace(side, codes=torch.cat([encoder(part) for part in side.images().split(64)]).double().numpy())

    return encode


def armed(found):
    return {key: record for key, record in lines(found).items() if "encoder" in key[1]}


@pytest.mark.slow
def test_copies_under_new_names_are_found_on_every_view(sides, phantoms):
    train, holdout, _ = sides
    picked = np.random.default_rng(0).integers(0, len(train), 5 * len(train))
    found = membership_findings(train, holdout, phantoms.join(train, picked, train, picked), seed=0)
    for view in VIEWS:
        area = lines(found)[view, "strongest"]
        assert area.value > 0.95
        assert raised(area)
        assert (area.floor, area.ceiling, area.better) == (0.5, 1.0, "lower")
        share = lines(found, "membership_tpr_at_fpr10")[view, "strongest"]
        assert share.value > 0.9
        assert share.low > 0.1 == share.floor


@pytest.mark.slow
def test_strangers_raise_no_alarm(sides, phantoms):
    train, holdout, fresh = sides
    every = np.arange(len(fresh))
    found = membership_findings(train, holdout, phantoms.join(fresh, every, fresh, every), seed=0)
    for view in VIEWS:
        for name, chance in (("membership_auroc", 0.5), ("membership_tpr_at_fpr10", 0.1)):
            record = lines(found, name)[view, "strongest"]
            assert record.low <= chance <= record.high
            assert not raised(lines(found)[view, "blind"])
    assert (
        membership_findings(train, holdout, phantoms.join(fresh, every, fresh, every), seed=0).metrics == found.metrics
    )
    curves = json.loads(json.dumps(found.drawings))["membership_roc"]
    assert set(curves) == set(VIEWS)
    for view, curve in curves.items():
        assert curve["auroc"] == lines(found)[view, "strongest"].value
        assert len(curve["fpr"]) == len(curve["tpr"]) <= 101
        assert np.trapezoid(curve["tpr"], curve["fpr"]) == pytest.approx(curve["auroc"], abs=0.02)
        assert all(np.diff(curve["tpr"]) >= 0)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["rows", "images"])
def test_copied_rows_and_copied_images_are_told_apart(sides, phantoms, what):
    train, holdout, fresh = sides
    rng = np.random.default_rng(0)
    # Everybody: of a member who was not copied no attack can say so.
    copied, own = rng.permutation(np.arange(360) % len(train)), rng.integers(0, len(fresh), 360)
    made = phantoms.join(train, copied, fresh, own) if what == "rows" else phantoms.join(fresh, own, train, copied)
    found = lines(membership_findings(train, holdout, made, seed=0))
    guilty, innocent = ("table", "image") if what == "rows" else ("image", "table")
    assert found[guilty, "strongest"].value > 0.95
    assert found[innocent, "strongest"].low <= 0.5 <= found[innocent, "strongest"].high
    assert raised(found["record", "strongest"])


@pytest.mark.slow
def test_the_residual_of_another_patient_is_a_leak(sides, phantoms):
    """The image of the row's mean plus what was peculiar to some training patient: no nearest image shows it."""
    train, holdout, fresh = sides
    names = train.cohort.schema.feature_names
    encoder = RecordEncoder(train.cohort.schema).fit(train.table[names], patients=train.groups)
    flat = train.pixels.reshape(len(train), -1).astype(float)
    rows = encoder.transform(train.table[names])
    mean = Ridge(alpha=10).fit(rows, flat)
    rng = np.random.default_rng(0)
    other, own = rng.integers(0, len(train), 480), rng.integers(0, len(fresh), 480)
    images = mean.predict(encoder.transform(fresh.table[names].iloc[own])) + (flat - mean.predict(rows))[other]
    pixels = np.clip(images.round(), 0, 255).astype(np.uint8).reshape(-1, *train.pixels.shape[1:])
    made = phantoms.of(
        "made", "synthetic", fresh.table.iloc[own].drop(columns="patient_id"), pixels, train.cohort.schema
    )
    found = lines(membership_findings(train, holdout, made, seed=0))
    assert found["record", "residual"].value > 0.9
    assert found["record", "residual"].value > found["image", "ratio"].value
    assert raised(found["record", "strongest"])
    assert found["table", "strongest"].low <= 0.5


@pytest.mark.slow
def test_a_planted_record_ranks_first_as_it_is_repeated(sides, phantoms):
    """An overfitted model: a narrow kernel on each training record, drawn as often as the record is repeated."""
    train, holdout, _ = sides
    patients, counts = np.unique(train.groups, return_counts=True)
    planted = np.flatnonzero(train.groups == patients[counts == 1][3])[0]
    places = []
    for times in (1, 5, 25):
        rng = np.random.default_rng(times)
        weights = np.ones(len(train))
        weights[planted] = times
        picked = rng.choice(len(train), 600, p=weights / weights.sum())
        made = phantoms.join(train, picked, train, picked)
        noise = rng.normal(0, 3, made.pixels.shape)
        made = replace(made, pixels=np.clip(made.pixels + noise, 0, 255).astype(np.uint8))
        ranking = suspected_patients(train, holdout, made, view="record", attack="neighbourhood")
        places.append(ranking.index.get_loc(("train", train.groups[planted])))
    assert places[2] == 0
    assert places[0] >= places[1] >= places[2]
    assert places[0] > 5


@pytest.mark.slow
def test_with_the_encoder_resampled_patients_are_found_by_moments_and_strangers_are_not(sides, phantoms, encoded):
    train, holdout, fresh = map(encoded, sides)
    picked, every = np.random.default_rng(0).integers(0, len(train), 5 * len(train)), np.arange(len(fresh))
    resampled = encoded(phantoms.join(train, picked, train, picked))
    unrelated = encoded(phantoms.join(fresh, every, fresh, every))
    attacks = {("image", "encoder moments"), ("record", "encoder moments"), ("record", "encoder and row moments")}
    caught, innocent = (armed(membership_findings(train, holdout, made, seed=0)) for made in (resampled, unrelated))
    assert set(caught) == set(innocent) == attacks
    for key in attacks:
        assert caught[key].value > 0.8
        assert raised(caught[key])
        assert (caught[key].floor, caught[key].ceiling, caught[key].better) == (0.5, 1.0, "lower")
        assert "and the generator's encoder names the right one" in caught[key].reading
        assert innocent[key].low <= 0.5 <= innocent[key].high
    plain = membership_findings(*sides[:2], phantoms.join(sides[2], every, sides[2], every), seed=0)
    assert not armed(plain)
    assert not any("encoder" in record.reading + record.estimator for record in plain.metrics)


@pytest.mark.slow
def test_moments_that_only_the_encoder_sees_decide_what_is_strongest(sides, phantoms, encoded):
    """Images of strangers, their codes drawn by the mean and covariance of the members' codes: no image is near one."""
    train, holdout, fresh = map(encoded, sides)
    rng = np.random.default_rng(0)
    every = rng.integers(0, len(fresh), 600)
    made = phantoms.join(fresh, every, fresh, every)
    drawn = rng.multivariate_normal(train.codes.mean(0), np.cov(train.codes.T), size=600)
    found = membership_findings(train, holdout, replace(made, codes=drawn), seed=0)
    image, record, table = (lines(found)[view, "strongest"] for view in ("image", "record", "table"))
    assert lines(found)["image", "ratio"].low <= 0.5
    for strongest in (image, record):
        assert strongest.value > 0.7
        assert raised(strongest)
        assert "encoder" in strongest.reading
    assert "chosen: encoder moments" in image.estimator
    assert "encoder" not in table.reading
    assert table.low <= 0.5


def test_a_split_that_is_not_random_is_told_from_a_leak(judged):
    train, holdout, made = judged("train", 150, 1), judged("holdout", 120, 2), judged("synthetic", 150, 3, name="made")
    older = holdout.table.assign(age=holdout.table["age"] + 40)
    holdout = replace(holdout, cohort=replace(holdout.cohort, table=older))
    found = lines(membership_findings(train, holdout, made, seed=0))
    assert raised(found["table", "blind"])
    assert "differ even without the synthetic records" in found["table", "strongest"].note
    assert "without seeing" in found["table", "blind"].reading


def test_cohorts_without_pixels_are_judged_by_their_rows(judged):
    found = membership_findings(
        judged("train", 120, 1), judged("holdout", 60, 2), judged("synthetic", 90, 3, name="made"), seed=0
    )
    table = lines(found)["table", "strongest"]
    assert table.low <= 0.5 <= table.high
    assert table.n == 120
    assert set(found.drawings["membership_roc"]) == {"table"}
    for view in ("image", "record"):
        assert lines(found)[view, "strongest"].note == "not estimable because the cohorts hold no pixels"
    outliers = lines(found, stratum="outlier decile")["table", "strongest"]
    assert outliers.value is None or "12" in outliers.reading or outliers.n >= 12


@pytest.mark.parametrize("counts", [(1, 1, 1), (2, 3, 1), (10, 5, 3)])
def test_tiny_cohorts_say_why_there_is_no_value(judged, counts):
    cohorts = [
        judged(role, n, seed)
        for seed, (role, n) in enumerate(zip(("train", "holdout", "synthetic"), counts, strict=True))
    ]
    found = membership_findings(*cohorts, seed=0)
    assert all(record.note.startswith("not estimable because") for record in found.metrics if record.value is None)
    assert lines(found)["table", "strongest"].value is None


def test_an_unknown_attack_is_refused_with_those_that_exist(judged):
    cohorts = judged("train", 20, 1), judged("holdout", 20, 2), judged("synthetic", 20, 3)
    with pytest.raises(ValueError, match="choose among .*matches"):
        suspected_patients(*cohorts, view="table", attack="magic")
    with pytest.raises(ValueError, match="no pixels"):
        suspected_patients(*cohorts, view="image")
    ranking = suspected_patients(*cohorts, view="table")
    assert len(ranking) == 30
    assert ranking.is_monotonic_decreasing
