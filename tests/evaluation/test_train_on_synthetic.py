from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from monai_hybridsynth.data import RecordField, RecordSchema
from monai_hybridsynth.evaluation.train_on_synthetic import encoded_rows, utility_findings
from monai_hybridsynth.evaluation.verdict import find_record


@pytest.fixture(scope="module")
def sides(judged):
    return judged("train", 300, 1), judged("holdout", 160, 2)


@pytest.fixture(scope="module")
def records(sides, judged):
    return utility_findings(*sides, judged("synthetic", 600, 3, name="c"), seed=0, num_replicates=30).metrics


def test_arms_inputs_and_volume_are_there(records):
    found = {
        (r.name, r.column, r.dimensions["arm"], r.dimensions["input"], r.dimensions["predictor"])
        for r in records
        if "arm" in r.dimensions
    }
    for arm in ("real", "synthetic", "both", "finetuned"):
        assert ("auroc", "sex", arm, "image", "linear") in found
        assert ("auprc", "sex", arm, "image", "kernel") in found
        assert ("r2", "age", arm, "both", "linear") in found
        assert ("auroc", "sex", arm, "table", "linear") in found
    main = [r for r in records if "arm" in r.dimensions and r.value is not None and r.dimensions["volume"] != 1.0]
    volumes = {r.dimensions["arm"]: r.dimensions["volume"] for r in main}
    assert volumes == {"real": 0.0, "synthetic": 2.0, "both": 2.0, "finetuned": 2.0}


def test_strangers_are_worth_as_much_as_the_training_patients(records):
    for column in ("sex", "age"):
        ratio = find_record(records, "c", "utility_ratio", column=column, input="image", predictor="linear")
        assert ratio.value == pytest.approx(1, abs=0.25)
        assert ratio.low < 1.05
    real = find_record(records, "c", "auroc", column="sex", arm="real", input="image", predictor="linear")
    # The best possible score of sex from the first feature: P(1.5 x + noise orders two draws right), by simulation.
    rng = np.random.default_rng(0)
    x = rng.normal(size=20000)
    y = 1.5 * x + rng.normal(size=20000) > 0
    best = (x[y][:5000, None] > x[~y][None, :5000]).mean()
    assert real.value == pytest.approx(best, abs=0.06)
    assert real.ceiling == real.value
    assert real.floor == 0.5


def test_the_table_without_a_link_does_not_predict(records):
    table = find_record(records, "c", "r2", column="age", arm="real", input="table", predictor="linear")
    assert table.value < 0.2


def test_a_broken_pairing_is_worth_nothing(sides, judged):
    broken = judged("synthetic", 300, 3, shuffled=True, name="c")
    records = utility_findings(*sides, broken, seed=0, num_replicates=30).metrics
    ratio = find_record(records, "c", "utility_ratio", column="sex", input="image", predictor="linear")
    assert ratio.low < 0.3


def test_no_target_is_said(sides, judged, schema):
    plain = RecordSchema(
        [RecordField(**{**vars(f), "role": "feature"}) if f.role == "target" else f for f in schema], schema.image
    )
    train = replace(sides[0], cohort=replace(sides[0].cohort, schema=plain))
    (record,) = utility_findings(train, sides[1], judged("synthetic", 50, 3), seed=0, num_replicates=5).metrics
    assert record.value is None
    assert "--target" in record.note


def test_too_few_patients_are_said(judged):
    records = utility_findings(
        judged("train", 300, 1), judged("holdout", 3, 2), judged("synthetic", 50, 3), seed=0, num_replicates=5
    ).metrics
    assert records
    assert all(record.value is None and "too few" in record.note for record in records)


def test_the_predicted_column_and_its_source_are_hidden(sides):
    schema = sides[0].cohort.schema.with_fields(
        RecordField("old", kind="binary", enum=("no", "yes"), derive={"from": "age", "rule": "equals", "value": "1"})
    )
    table = sides[0].table.assign(old="no")
    table.loc[:100, "old"] = "yes"
    side = replace(sides[0], cohort=replace(sides[0].cohort, schema=schema, table=table))
    everything = encoded_rows(schema, (side,))[0].shape[1]
    without_old = encoded_rows(schema, (side,), without="old")[0].shape[1]
    without_age = encoded_rows(schema, (side,), without="age")[0].shape[1]
    assert without_old == without_age
    assert without_old <= everything - 2


def test_volumes_are_drawn_from_the_cohort_or_said_to_be_missing(records):
    ratios = [
        r for r in records if r.name == "utility_ratio" and r.column == "sex" and r.dimensions["input"] == "image"
    ]
    assert {r.dimensions["volume"] for r in ratios if r.dimensions["predictor"] == "linear"} == {1.0, 2.0}
    assert ratios[0].dimensions["volume"] == 2.0
    (missing,) = [r for r in records if r.dimensions.get("volume") == 5.0]
    assert missing.value is None
    assert "only 600 records" in missing.note


def test_adding_strangers_is_never_called_better_while_zero_is_inside(records):
    gains = [r for r in records if r.name.endswith("_gain")]
    assert {r.dimensions["arm"] for r in gains} == {"both", "finetuned"}
    for gain in gains:
        assert ("raises" in gain.reading and "neither" not in gain.reading) == (gain.low > 0)


def test_calibration_is_given_with_its_curves(sides, judged):
    found = utility_findings(*sides, judged("synthetic", 300, 3, name="c"), seed=0, num_replicates=4)
    assert {r.dimensions["arm"] for r in found.metrics if r.name == "calibration_error"} == {
        "real", "synthetic", "both", "finetuned",
    }  # fmt: skip
    curve = found.drawings["calibration"]["sex = m"]["real"]
    assert len(curve["predicted"]) == len(curve["observed"]) > 1
    assert curve["predicted"] == sorted(curve["predicted"])
