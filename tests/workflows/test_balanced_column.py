"""As many records of each category, the rest drawn given it; the same whatever the number of records."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch

from monai_hybridsynth.data import RecordField, RecordSchema, read_cohort
from monai_hybridsynth.fusion import ConditionalGaussianSynthesizer
from monai_hybridsynth.workflows import RecordRequests, synthesise_cohort
from monai_hybridsynth.workflows.balanced_column import BalancedColumn
from monai_hybridsynth.workflows.published_schema import published_schema

SCHEMA = RecordSchema(
    [
        RecordField("image", role="image"),
        RecordField("patient_id", role="group"),
        RecordField("age", "number", kind="continuous"),
        RecordField("outcome", kind="binary", enum=("no", "yes")),
        RecordField("stage", kind="ordinal", enum=("I", "II", "III")),
        RecordField("findings", kind="multilabel", separator="|", enum=("Effusion", "Mass", "No Finding")),
        RecordField("site", kind="categorical", enum=("A",)),
        RecordField("ward", kind="categorical"),
        RecordField("note", role="excluded"),
    ]
)
CLINICAL = ["age", "outcome", "stage", "findings"]


class Brightness(torch.nn.Module):
    """The first latent as a uniform grey."""

    def __init__(self):
        super().__init__()
        self.one = torch.nn.Parameter(torch.ones(1))

    def forward(self, z):
        return (torch.tanh(z[:, :1] / 4) * self.one)[:, :, None, None].expand(-1, 1, 8, 8)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    """Fit on rows in which 6 % die and 8 % have a mass; the dead are older, a mass darkens latent 0."""
    rng = np.random.default_rng(0)
    dead, mass = rng.random(600) < 0.06, rng.random(600) < 0.08
    effusion = rng.random(600) < 0.3
    findings = [
        "|".join(label for label, here in (("Effusion", e), ("Mass", m)) if here) or "No Finding"
        for e, m in zip(effusion, mass, strict=True)
    ]
    table = pd.DataFrame({"patient_id": [f"p{n}" for n in range(600)], "age": rng.normal(50, 10, 600) + 20 * dead})
    table["outcome"] = np.where(dead, "yes", "no").astype(object)
    table["stage"] = rng.choice(["I", "II", "III"], 600, p=[0.6, 0.3, 0.1]).astype(object)
    table["findings"] = pd.Series(findings, dtype=object)
    for number in range(4):
        table[f"latent_{number:03d}"] = (rng.normal(size=600) - 3 * mass * (number == 0)).astype(np.float32)
    modelled = RecordSchema([field for field in SCHEMA.fields if field.name not in ("site", "ward")])
    folder = tmp_path_factory.mktemp("balanced") / "artifact"
    ConditionalGaussianSynthesizer().fit(table, modelled, seed=0).save(folder)
    published_schema(modelled, table).save(folder / "schema.json")
    return folder, table


def synthesised(artifact, out, num_records=300, **arguments):
    """Return the cohort and its manifest."""
    schema = RecordSchema.load(artifact[0] / "schema.json")
    synthesise_cohort(
        artifact[0], Brightness(), schema, out, num_records=num_records, seed=1, block_size=64, **arguments
    )
    return read_cohort(out).table, json.loads((out / "manifest.json").read_text())


@pytest.mark.parametrize(("column", "categories"), [("outcome", 2), ("stage", 3)])
def test_every_category_is_as_frequent(artifact, tmp_path, column, categories):
    rows, manifest = synthesised(artifact, tmp_path / "a", balance=column)
    assert rows[column].value_counts().tolist() == [300 // categories] * categories
    assert manifest["balanced"]["column"] == column
    assert manifest["balanced"]["shares"] == pytest.approx(
        rows[column].value_counts(normalize=True).to_dict(), abs=1e-4
    )
    assert synthesised(artifact, tmp_path / "b")[1]["balanced"] is None


def test_the_other_columns_are_drawn_given_it(artifact, tmp_path):
    rows, _ = synthesised(artifact, tmp_path / "a", balance="outcome")
    ages = rows.groupby("outcome")["age"].mean()
    real = artifact[1].groupby("outcome")["age"].mean()
    assert ages["yes"] - ages["no"] == pytest.approx(real["yes"] - real["no"], abs=6)
    assert rows["findings"].str.contains("Mass").mean() < 0.2


def test_a_label_is_there_in_every_second_record_with_its_image(artifact, tmp_path):
    rows, manifest = synthesised(artifact, tmp_path / "a", balance="findings=Mass", num_records=301)
    has = rows["findings"].str.split("|").map(lambda labels: "Mass" in labels).to_numpy()
    assert has.tolist() == [n % 2 == 0 for n in range(301)]
    assert manifest["balanced"] == {"column": "findings=Mass", "shares": {"with": 0.5017, "without": 0.4983}}
    assert rows["findings"][has].str.contains("Effusion").mean() == pytest.approx(0.3, abs=0.15)
    from PIL import Image

    greys = np.array([np.asarray(Image.open(path)).mean() for path in read_cohort(tmp_path / "a").image_paths])
    assert greys[has].mean() < greys[~has].mean() - 20


@pytest.mark.parametrize("balance", ["stage", "findings=Mass"])
def test_a_longer_cohort_begins_with_the_shorter(artifact, tmp_path, balance):
    short, _ = synthesised(artifact, tmp_path / "a", num_records=100, balance=balance)
    longer, _ = synthesised(artifact, tmp_path / "b", num_records=150, balance=balance)
    pd.testing.assert_frame_equal(short, longer.iloc[:100])


def test_it_goes_with_columns_fixed_for_all(artifact, tmp_path):
    for balance in ("stage", "findings=Mass"):
        rows, manifest = synthesised(artifact, tmp_path / balance, balance=balance, conditions={"outcome": "yes"})
        assert set(rows["outcome"]) == {"yes"}
        assert manifest["fixed_columns"] == ["outcome"]
        assert rows["age"].mean() > 60
    requests = RecordRequests(5, SCHEMA, conditions={"age": 60}, balance="outcome")
    assert [requests[n] for n in (0, 1)] == [{"age": 60.0, "outcome": "no"}, {"age": 60.0, "outcome": "yes"}]
    assert requests.block(1, 2).to_dict("list") == {"age": [60.0, 60.0], "outcome": ["yes", "no"]}


@pytest.mark.parametrize(
    ("balance", "message"),
    [
        ("height", r"'height', which is no modelled column; balance one of \['outcome', 'stage', 'findings=Effusion'"),
        ("note", "no modelled column"),
        ("age", "but 'age' holds numbers"),
        ("findings", "'findings' holds several labels at once"),
        ("findings=Nodule", "'findings' holds labels: Effusion, Mass, No Finding"),
        ("outcome=yes", "'outcome' holds no labels but categories: no, yes"),
        ("site", r"fewer than two categories that enough patients have: \['A'\]"),
        ("ward", r"fewer than two categories that enough patients have: \[\]"),
    ],
)
def test_what_cannot_be_balanced_is_refused(balance, message):
    with pytest.raises(ValueError, match=message):
        BalancedColumn(balance, SCHEMA)


def test_contradictions_are_refused():
    with pytest.raises(ValueError, match="conditions fix that column"):
        RecordRequests(4, SCHEMA, conditions={"findings": "Mass"}, balance="findings=Mass")
    with pytest.raises(ValueError, match="beside a table of conditions"):
        RecordRequests(None, SCHEMA, conditions=pd.DataFrame({"age": [1.0]}), balance="outcome")


def test_a_label_that_the_model_never_draws_is_told():
    class Never:
        def sample(self, num_records, *, conditions=None, seed):
            return pd.DataFrame({"findings": ["Effusion", None] * (num_records // 2)})

    requests = RecordRequests(4, SCHEMA, balance="findings=Mass")
    with pytest.raises(ValueError, match="draws too few are with it; fit on a cohort"):
        requests.draw(Never(), 4, conditions=requests.block(0, 4), seed=0)
