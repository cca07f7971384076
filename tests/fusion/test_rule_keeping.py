"""Every synthesizer keeps the rules between columns: no record breaks one, and records that kept them stay as drawn."""

from __future__ import annotations

import json
import re
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from monai_hybridsynth.data import RecordField, RecordSchema
from monai_hybridsynth.data.record_schema import ColumnRules
from monai_hybridsynth.fusion import (
    ConditionalGaussianSynthesizer,
    CTGANSynthesizer,
    FactorisedCTGANSynthesizer,
    IndependentSynthesizer,
    JointFlowSynthesizer,
    factorised_ctgan_synthesizer,
    load_synthesizer,
)
from monai_hybridsynth.fusion.rule_keeping import draw_records
from monai_hybridsynth.fusion.table_layout import TableLayout

RULES = [
    {"if": {"column": "icu", "equals": "yes"}, "then": {"column": "icu_day", "is": "present"}},
    {"if": {"column": "icu", "equals": "no"}, "then": {"column": "icu_day", "is": "missing"}},
    {"ascending": ["icu_day", "death_day"]},
    {"if": {"column": "findings", "contains": "Cardiomegaly"}, "then": {"column": "ratio", "minimum": 0.55}},
    {"if": {"column": "stage", "in": ["severe"]}, "then": {"column": "icu", "equals": "yes"}},
]
CTGAN = {"steps": 15, "batch_size": 50, "pac": 1, "max_clusters": 3}
MAKERS = {
    "independent": IndependentSynthesizer,
    "gaussian": ConditionalGaussianSynthesizer,
    "flow": lambda: JointFlowSynthesizer(width=32, max_steps=20, check_every=10, num_steps=3, progress=False),
    "ctgan": lambda: CTGANSynthesizer("tuned", latent_components=2, **CTGAN, progress=False),
    "factorised": lambda: FactorisedCTGANSynthesizer(table=CTGAN, progress=False),
}


def make_schema(rules=RULES) -> RecordSchema:
    fields = [
        RecordField("icu", kind="binary", enum=("no", "yes")),
        RecordField("icu_day", "integer", kind="integer", unit="d"),
        RecordField("death_day", "number", kind="continuous", unit="d", censored=True),
        RecordField("ratio", "number", kind="continuous"),
        RecordField("stage", kind="ordinal", enum=("mild", "moderate", "severe")),
        RecordField("findings", kind="multilabel", separator="|", enum=("Cardiomegaly", "Effusion", "No Finding")),
    ]
    return RecordSchema(fields, rules=rules)


def make_table(num_rows: int = 250) -> pd.DataFrame:
    """Draw rows that keep the rules; latent 0 follows the ratio."""
    rng = np.random.default_rng(0)
    stage = rng.choice(["mild", "moderate", "severe"], num_rows, p=[0.5, 0.3, 0.2])
    icu = (stage == "severe") | (rng.random(num_rows) < 0.3)
    day = rng.integers(0, 10, num_rows).astype(float)
    death = np.where(rng.random(num_rows) < 0.5, np.nan, day + rng.integers(0, 6, num_rows))
    death[~np.isnan(death) & (rng.random(num_rows) < 0.3)] = np.inf
    ratio = np.round(rng.normal(0.5, 0.06, num_rows), 3)
    large, wet = (ratio >= 0.55).tolist(), (rng.random(num_rows) < 0.3).tolist()
    labels = zip(large, wet, strict=True)
    table = pd.DataFrame(
        {
            "icu": np.where(icu, "yes", "no").astype(object),
            "icu_day": pd.array(np.where(icu, day, np.nan), dtype="Int64"),
            "death_day": death,
            "ratio": ratio,
            "stage": stage.astype(object),
            "findings": ["|".join(["Cardiomegaly"] * a + ["Effusion"] * b) or "No Finding" for a, b in labels],
            "latent_000": ((ratio - 0.5) / 0.06 + 0.3 * rng.normal(size=num_rows)).astype(np.float32),
            "latent_001": rng.normal(size=num_rows).astype(np.float32),
        }
    )
    assert not make_schema().rules.broken(table).any()
    return table


def breaks(record: dict) -> bool:
    """Read the five rules by hand, without the package."""
    day, death = record["icu_day"], record["death_day"]
    has_day = not pd.isna(day)
    return (
        has_day != (record["icu"] == "yes")
        or (has_day and np.isfinite(death) and death < day)
        or ("Cardiomegaly" in record["findings"].split("|") and record["ratio"] < 0.55)
        or (record["stage"] == "severe" and record["icu"] == "no")
    )


@pytest.fixture(scope="module", params=MAKERS)
def fitted(request):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(factorised_ctgan_synthesizer, "LINK_RECORDS", 100)  # what its link learns is not looked at here
        return MAKERS[request.param]().fit(make_table(), make_schema(), seed=0)


def layouts_of(synthesizer) -> list[TableLayout]:
    """Return every layout whose rules are kept, the one of the rows first."""
    if isinstance(synthesizer, FactorisedCTGANSynthesizer):
        return [synthesizer.table_.layout_, synthesizer.image_.layout_]
    return [synthesizer.vectors_.layout if isinstance(synthesizer, JointFlowSynthesizer) else synthesizer.layout_]


def test_no_record_breaks_a_rule(fitted, tmp_path):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="all 512 candidates")
        records = fitted.sample(2000, seed=1)
        rows = records.to_dict("records")
        assert not any(breaks(row) for row in rows)
        assert {"yes", "no"} == set(records["icu"])
        # The same seed gives the same records, also from a file.
        loaded = load_synthesizer(fitted.save(tmp_path / "artifact"))
        pd.testing.assert_frame_equal(loaded.sample(2000, seed=1), records)
    assert records.dtypes.to_dict() == make_table().dtypes.to_dict()
    assert records.index.equals(pd.RangeIndex(2000))


def test_records_that_keep_the_rules_stay_as_the_model_drew_them(fitted, monkeypatch):
    """Drawn without rules, whole records agree to the bit wherever they break none: so image and row still belong."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="all 512 candidates")
        kept = fitted.sample(300, seed=2)
    for layout in layouts_of(fitted):
        monkeypatch.setattr(layout, "rules", ColumnRules())
    free = fitted.sample(300, seed=2)
    fine = np.array([not breaks(row) for row in free.to_dict("records")])
    assert 0 < fine.sum() < 300, "some draws break a rule, else this shows nothing"
    # Of the factorised one the row: its image is drawn afterwards, given the row that was accepted.
    names = layouts_of(fitted)[0].order
    pd.testing.assert_frame_equal(kept.loc[fine, names], free.loc[fine, names])


def test_what_the_rules_ask_about_stays_as_drawn(fitted, monkeypatch):
    """Plain rejection would make rare what often breaks a rule; so a record is replaced by one that agrees."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kept = fitted.sample(400, seed=4)
        for layout in layouts_of(fitted):
            monkeypatch.setattr(layout, "rules", ColumnRules())
        free = fitted.sample(400, seed=4)
    broken = np.array([breaks(row) for row in free.to_dict("records")])
    possible = ~((free["stage"] == "severe") & (free["icu"] == "no")).to_numpy()
    same = (kept["icu"] == free["icu"]) & (kept["death_day"].isna() == free["death_day"].isna())
    assert (broken & possible).sum() > 20
    # Of two models that hardly learned, one candidate in hundreds agrees; then any that keeps the rules is taken.
    assert same[broken & possible].mean() > (0.7 if "CTGAN" in type(fitted).__name__ else 0.95)


def test_fixed_columns_stay_while_the_others_keep_the_rules(fitted):
    wanted = pd.DataFrame({"icu": ["yes", "no"] * 20})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        records = fitted.sample(40, conditions=wanted, seed=3)
    pd.testing.assert_frame_equal(records[["icu"]], wanted)
    assert not any(breaks(row) for row in records.to_dict("records"))


def test_conditions_that_break_a_rule_are_refused():
    synthesizer = IndependentSynthesizer().fit(make_table(), make_schema(), seed=0)
    wanted = pd.DataFrame({"icu": ["yes", "no"], "stage": ["severe", "severe"]})
    with pytest.raises(ValueError, match="of record 1 break rule 5 .*, because 'stage' is 'severe', 'icu' is 'no'"):
        synthesizer.sample(2, conditions=wanted, seed=0)


@pytest.mark.parametrize("order", [("icu_day", "ratio", "death_day"), ("icu_day", "death_day", "ratio")])
def test_an_order_is_broken_by_two_of_its_columns_whatever_the_third_is(order):
    fields = [replace(entry, unit="d") if entry.name == "ratio" else entry for entry in make_schema(())]
    schema = RecordSchema(fields, rules=[{"ascending": order}])
    synthesizer = IndependentSynthesizer().fit(make_table(), schema, seed=0)
    rule = f"rule 1 ({' <= '.join(map(repr, order))}), because 'icu_day' is 9, 'death_day' is 4; change"
    with pytest.raises(ValueError, match=re.escape(f"conditions of record 0 break {rule}")):
        synthesizer.sample(3, conditions={"icu_day": 9, "death_day": 4.0}, seed=0)


@pytest.mark.parametrize(
    ("seed", "error", "message"),
    [
        (None, TypeError, "seed is None; give a whole number of at least 0"),
        (1.0, TypeError, "seed is 1.0; give a whole number"),
        (-1, ValueError, "seed is -1; it must be at least 0"),
    ],
)
def test_a_seed_is_a_whole_number(fitted, seed, error, message):
    with pytest.raises(error, match=message):
        fitted.sample(3, seed=seed)


def test_a_numpy_seed_is_a_seed(fitted):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="all 512 candidates")
        pd.testing.assert_frame_equal(fitted.sample(3, seed=np.int64(5)), fitted.sample(3, seed=5))


@pytest.fixture(scope="module")
def layout() -> TableLayout:
    return TableLayout.fit(make_table(), make_schema(), minimum_patients=5)[0]


def drawing(rows: dict, *, good_share: float):
    """Return draws of one row; with the given probability ``stage`` is mild, which keeps every rule."""

    def draw(fixed, num_records, rng):
        records = pd.concat([make_table(1).assign(**rows)] * num_records, ignore_index=True)
        records["latent_001"] = rng.random(num_records)
        records.loc[rng.random(num_records) < good_share, "stage"] = "mild"
        return records

    return draw


BAD = {"stage": "severe", "icu": "no", "icu_day": pd.array([None], dtype="Int64"), "findings": "No Finding"}


def test_the_accepted_follow_the_models_distribution(layout):
    """What is accepted is distributed as good draws are, and no draw is used twice."""
    records = draw_records(drawing(BAD, good_share=0.1), layout, 400, conditions=None, seed=0)
    assert (records["stage"] == "mild").all()
    assert records["latent_001"].mean() == pytest.approx(0.5, abs=4 * np.sqrt(1 / 12 / 400))
    assert records["latent_001"].nunique() == 400


def test_another_draw_agrees_in_the_premise_and_in_the_fixed_columns(layout):
    """A rare label whose number is rarely large enough keeps its share; each record gets a draw with its own column."""

    def draw(fixed, num_records, rng):
        records = pd.concat([make_table(1).assign(**BAD, death_day=np.nan)] * num_records, ignore_index=True)
        records["stage"] = "mild"
        records["findings"] = np.where(rng.random(num_records) < 0.1, "Cardiomegaly", "No Finding")
        records["ratio"] = np.where(rng.random(num_records) < 0.2, 0.6, 0.4)
        records["latent_000"] = 0.0 if fixed is None else fixed.values["latent_001"].to_numpy() * 2
        return records

    wanted = pd.DataFrame({"latent_001": np.arange(500) % 5})
    records = draw_records(draw, layout, 500, conditions=wanted, seed=0)
    free = draw(None, 500, np.random.default_rng(0))["findings"]
    assert free.eq("Cardiomegaly").sum() > 30
    pd.testing.assert_series_equal(records["findings"], free)
    assert records.loc[free.eq("Cardiomegaly"), "ratio"].eq(0.6).all()
    assert np.allclose(records["latent_000"], 2 * wanted["latent_001"])


def test_where_no_candidate_keeps_the_rule_an_error_names_it(layout):
    with pytest.raises(ValueError, match=r"all 512 candidates of 3 of 3 records break a rule, at the last rule 5 \(if"):
        draw_records(drawing(BAD, good_share=0.0), layout, 3, conditions=None, seed=0)


def test_a_value_that_may_be_missing_gives_way_with_a_warning(layout):
    never = drawing(BAD | {"icu": "yes", "icu_day": pd.array([9], dtype="Int64"), "death_day": 3.0}, good_share=0.0)
    with pytest.warns(
        UserWarning, match=r"set to missing instead: 3 of 'death_day' by rule 3 \('icu_day' <= 'death_day'"
    ):
        records = draw_records(never, layout, 3, conditions=None, seed=0)
    assert records["death_day"].isna().all()
    assert (records["icu_day"] == 9).all()
    with pytest.raises(ValueError, match=r"rule 3 \('icu_day' <= 'death_day'\); fix fewer columns"):
        draw_records(never, layout, 3, conditions={"death_day": 3.0}, seed=0)


def test_the_artifact_has_no_rule_about_rare_categories(tmp_path):
    table = make_table()
    table.loc[[0, 1], "stage"] = "critical"
    schema = make_schema().with_fields(replace(make_schema()["stage"], enum=("mild", "moderate", "severe", "critical")))
    rules = [
        {"if": {"column": "stage", "in": ["severe", "critical"]}, "then": {"column": "icu", "equals": "yes"}},
        {"if": {"column": "stage", "equals": "critical"}, "then": {"column": "death_day", "is": "present"}},
    ]
    fitted = IndependentSynthesizer().fit(table, RecordSchema(schema.fields, rules=rules), seed=0)
    text = (fitted.save(tmp_path / "artifact") / "synthesizer.json").read_text()
    assert "critical" not in text
    assert json.loads(text)["layout"]["rules"] == [
        {"if": {"column": "stage", "in": ["severe"]}, "then": {"column": "icu", "equals": "yes"}}
    ]


def test_an_artifact_without_rules_is_as_it_was(tmp_path):
    fitted = IndependentSynthesizer().fit(make_table(), make_schema(rules=()), seed=0)
    assert "rules" not in json.loads((fitted.save(tmp_path / "a") / "synthesizer.json").read_text())["layout"]
    assert len(load_synthesizer(tmp_path / "a").layout_.rules) == 0
