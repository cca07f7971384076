from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser

import pandas as pd
import pytest

from monai_hybridsynth.data.patient_split import note_split
from monai_hybridsynth.evaluation import evaluate_cohorts, metrics_schema, read_metrics
from monai_hybridsynth.evaluation.verdict import find_record

jsonschema = pytest.importorskip("jsonschema", reason="the JSON Schema is checked where jsonschema is installed")


@pytest.fixture(scope="module")
def result(folders, tmp_path_factory):
    out = tmp_path_factory.mktemp("result")
    # As `prepare` leaves two sides; taken away again, since other tests read these folders too.
    split = folders["train"].parent / "schema.json"
    split.write_bytes((folders["train"] / "schema.json").read_bytes())
    note_split(split.parent, stratified_by=["sex"])
    document = evaluate_cohorts(
        folders["train"],
        folders["holdout"],
        [folders["honest"], folders["unmatched"]],
        out,
        spatial_size=16,
        num_replicates=20,
    )
    split.unlink()
    return out, document


def test_the_file_fits_the_schema_and_holds_every_family(result):
    out, document = result
    jsonschema.validate(document, metrics_schema())
    assert json.loads((out / "metrics.json").read_text()) == document
    names = {entry["name"] for entry in document["metrics"]}
    assert names >= {
        "agreement_forward",
        "agreement_reverse",
        "auroc",
        "auprc",
        "r2",
        "utility_ratio",
        "column_shape",
        "pair_trend",
        "missingness",
        "constraint_violations",
        "kernel_distance",
        "exact_rows_share",
        "dcr_median",
        "nndr_median",
    }
    assert set(document["cohorts"]) == {"train", "holdout", "honest", "unmatched"}
    assert document["cohorts"]["train"]["patients"] == 60
    assert set(document["seconds"]) >= {"read", "embed", "correspondence", "utility", "fidelity", "privacy", "report"}


def test_honest_and_unmatched_cohorts_are_told_apart(result):
    metrics = read_metrics(result[0] / "metrics.json").metrics
    for name in ("agreement_forward", "agreement_reverse"):
        honest = find_record(metrics, "honest", name, predictor="linear")
        unmatched = find_record(metrics, "unmatched", name, predictor="linear")
        assert honest.low > 0.3
        assert unmatched.low < 0.1
    shapes = [find_record(metrics, cohort, "column_shape") for cohort in ("honest", "unmatched")]
    assert all("dealt by the targets like the held-out patients" in shape.estimator for shape in shapes)
    shapes = [shape.value for shape in shapes]
    assert min(shapes) > 0.85


class Page(HTMLParser):
    """Collects what a page loads, its ids and its links within."""

    def __init__(self) -> None:
        super().__init__()
        self.loads, self.ids, self.links, self.plots, self.alts = [], [], [], [], []

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if tag in ("img", "script", "link", "iframe"):
            self.loads += [found[key] for key in ("src", "href") if key in found]
        if tag == "img":
            self.alts.append(found.get("alt", ""))
        if tag == "a":
            self.links.append(found["href"])
        if "id" in found:
            self.ids.append(found["id"])
        if found.get("class") == "plot":
            self.plots.append(found["id"])


def test_the_report_is_complete_and_loads_nothing_from_elsewhere(result):
    folder = result[0] / "report"
    text = (folder / "index.html").read_text(encoding="utf-8")
    page = Page()
    page.feed(text)
    assert len(page.ids) == len(set(page.ids))
    for address in page.loads:
        assert address == "data:," or (folder / address).is_file(), address
    for link in page.links:
        # Within the page, a file beside it, or a citation that is followed only when somebody clicks.
        within = link[1:] in page.ids if link.startswith("#") else (folder / link).is_file()
        assert within or link.startswith("https://arxiv.org/abs/"), link
    assert all(page.alts)
    figures = json.loads(re.search(r'id="figures">(.*?)</script>', text, re.DOTALL).group(1))
    assert {name for name, figure in figures.items() if figure} == set(page.plots)
    assert "prefers-color-scheme: dark" in text
    assert "This page stays in the house: it shows real images" in text


def test_names_and_manifests_cannot_inject_markup(result):
    text = (result[0] / "report" / "index.html").read_text(encoding="utf-8")
    assert "<b>test</b>" not in text
    assert "&lt;b&gt;test&lt;/b&gt;" in text


def test_a_patient_on_both_sides_is_refused(folders, tmp_path):
    shared = tmp_path / "holdout"
    shutil.copytree(folders["holdout"], shared)
    table = pd.read_csv(shared / "records.csv")
    table.loc[0, "patient_id"] = "train0"
    table.to_csv(shared / "records.csv", index=False)
    with pytest.raises(ValueError, match=r"1 patients are in train .* split by patient"):
        evaluate_cohorts(folders["train"], shared, folders["honest"], tmp_path / "out", spatial_size=16)


def test_no_synthetic_cohort_is_refused(folders, tmp_path):
    with pytest.raises(ValueError, match="at least one synthetic cohort"):
        evaluate_cohorts(folders["train"], folders["holdout"], [], tmp_path)


def test_a_tiny_cohort_without_targets_is_evaluated_with_reasons(folders, tmp_path):
    parts = {}
    for name, rows in (("train", 12), ("holdout", 4)):
        parts[name] = tmp_path / name
        shutil.copytree(folders[name], parts[name])
        pd.read_csv(parts[name] / "records.csv").head(rows).to_csv(parts[name] / "records.csv", index=False)
    schema = json.loads((parts["train"] / "schema.json").read_text())
    for field in schema["fields"]:
        field["role"] = "feature" if field["role"] == "target" else field["role"]
    (parts["train"] / "schema.json").write_text(json.dumps(schema))
    document = evaluate_cohorts(
        parts["train"], parts["holdout"], folders["honest"], tmp_path / "out", spatial_size=16, num_replicates=10
    )
    jsonschema.validate(document, metrics_schema())
    ratio = next(entry for entry in document["metrics"] if entry["name"] == "utility_ratio")
    assert ratio["value"] is None
    assert "--target" in ratio["note"]
    assert (tmp_path / "out" / "report" / "index.html").is_file()
