from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from monai_hybridsynth.data import RecordSchema
from monai_hybridsynth.evaluation import membership_views as module
from monai_hybridsynth.evaluation.membership_views import (
    encoder_attacks,
    membership_views,
    rare_patients,
    real_patients,
)

# Codes that no training decided: any fixed map from images to fewer numbers is an encoder.
PROJECTION = np.random.default_rng(0).normal(size=(32 * 32, 24)) / 32


def encoded(side):
    return replace(side, codes=(side.pixels.reshape(len(side), -1) / 255.0) @ PROJECTION)


@pytest.fixture(scope="module")
def sides(phantoms):
    first, second, fresh = (phantoms.draw(role, 30, seed=seed) for seed, role in enumerate(("train", "holdout", "c")))
    return first, second, phantoms.join(fresh, np.arange(30), fresh, np.arange(30))


def test_no_attack_knows_who_is_a_member(sides):
    """Exchanging both sides exchanges their scores: nothing was fitted on the members alone."""
    train, holdout, made = map(encoded, sides)
    one = membership_views(real_patients(train, holdout, seed=0), made, seed=0)
    two = membership_views(real_patients(holdout, train, seed=0), made, seed=0)
    for view, other in zip(one, two, strict=True):
        assert view.scores.keys() == other.scores.keys()
        for name, scores in view.scores.items():
            swapped = np.concatenate([other.scores[name][len(holdout) :], other.scores[name][: len(holdout)]])
            assert scores == pytest.approx(swapped, abs=2e-5), (view.name, name)


def test_the_features_that_judge_elsewhere_are_not_looked_at(sides):
    train, holdout, made = sides
    real = real_patients(train, holdout, seed=0)
    marked = real_patients(replace(train, features=train.features + 99), holdout, seed=0)
    for view, other in zip(membership_views(real, made, seed=0), membership_views(marked, made, seed=0), strict=True):
        assert all((scores == other.scores[name]).all() for name, scores in view.scores.items())


def test_each_view_has_its_attacks(sides):
    train, holdout, made = sides
    views = {view.name: view for view in membership_views(real_patients(train, holdout, seed=0), made, seed=0)}
    shared = {"closest", "ratio", "neighbourhood", "density ratio"}
    assert set(views["image"].scores) == shared | {"texture ratio", "pixel correlation"}
    assert set(views["table"].scores) == shared | {"matches"}
    assert set(views["record"].scores) == shared | {"residual"}
    coded = [replace(side, codes=np.random.default_rng(0).normal(size=(30, 4))) for side in (train, holdout, made)]
    armed = membership_views(real_patients(*coded[:2], seed=0), coded[2], seed=0)
    new = [set(view.scores) - set(views[view.name].scores) for view in armed]
    assert new == [{"encoder moments"}, set(), {"encoder moments", "encoder and row moments"}]
    for view in armed:  # the encoder changes no other attack
        assert all((view.scores[name] == scores).all() for name, scores in views[view.name].scores.items())
    for view in (*views.values(), *armed):
        assert all(np.isfinite(scores).all() and scores.shape == (60,) for scores in view.scores.values())
        assert view.atypical.shape == (60,)
    one = membership_views(real_patients(*coded[:2], seed=0), coded[2].subset(np.arange(1)), seed=0)
    assert "encoder moments" not in one[0].scores  # one record has no covariance


def test_brightness_and_contrast_hide_nobody(sides, phantoms):
    train, holdout, _ = sides
    washed = (60 + 0.4 * train.pixels).round().astype(np.uint8)
    made = phantoms.join(train, np.arange(30), replace(train, pixels=washed), np.arange(30))
    image = membership_views(real_patients(train, holdout, seed=0), made, seed=0)[0]
    for attack in ("ratio", "pixel correlation"):
        assert image.scores[attack][:30].min() > image.scores[attack][30:].max()


def test_rare_patients_are_those_with_a_seldom_label(judged):
    train, holdout = judged("train", 200, 1), judged("holdout", 100, 2)
    labels = train.table["labels"].copy()
    labels.iloc[[3, 40]] = ["wet|odd", "odd"]
    train = replace(train, cohort=replace(train.cohort, table=train.table.assign(labels=labels)))
    rare, rule = rare_patients(real_patients(train, holdout, seed=0))
    # Two records a patient in train: the other record of a patient with a rare label belongs to it.
    assert np.flatnonzero(rare).tolist() == [2, 3, 40, 41]
    assert "at most 5 of 200 patients" in rule


def test_of_a_large_cohort_whole_patients_are_left_out(judged, monkeypatch):
    monkeypatch.setattr(module, "MAXIMUM_ROWS", 41)
    real = real_patients(judged("train", 100, 1), judged("holdout", 50, 2), seed=0)
    assert int(real.member.sum()) == 40
    assert int((~real.member).sum()) == 41
    assert (np.unique(real.groups[real.member], return_counts=True)[1] == 2).all()


def test_attacks_of_the_encoder_alone_are_those_of_the_record_view(sides):
    train, holdout, made = map(encoded, sides)
    real = real_patients(train, holdout, seed=0)
    record = next(view for view in membership_views(real, made, seed=0) if view.name == "record")
    found = encoder_attacks(real, made)
    assert list(found) == ["encoder moments", "encoder and row moments"]
    assert all(np.array_equal(scores, record.scores[name]) for name, scores in found.items())
    assert encoder_attacks(real_patients(*sides[:2], seed=0), sides[2]) == {}


def test_codes_and_rows_are_not_attacked_where_no_column_can_be(sides):
    bare = RecordSchema([entry for entry in sides[0].cohort.schema.fields if entry.role in ("image", "group")])
    train, holdout, made = (encoded(replace(side, cohort=replace(side.cohort, schema=bare))) for side in sides)
    assert list(encoder_attacks(real_patients(train, holdout, seed=0), made)) == ["encoder moments"]
