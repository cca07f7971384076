"""The study end to end: resumable cells, controls, leaks refused before training, a report without patients."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from monai.bundle import ConfigWorkflow

from monai_hybridsynth.data import CohortError, ImageFileError
from monai_hybridsynth.studies.supplementation.study_report import gain_lines


def stored(study, cell):
    """Return a cell's file without its clock, and its predictions."""
    content = json.loads((study.out / "cells" / f"{cell.name}.json").read_text())
    content["training"].pop("seconds")
    with np.load(study.private / "predictions" / f"{cell.name}.npz") as arrays:
        return content, {name: arrays[name] for name in arrays.files}


def test_a_killed_cell_begins_again_to_the_same_bits(make_study, monkeypatch):
    study = make_study()
    cell = next(cell for cell in study.cells if cell.percent == 300)
    study.run_cell(cell.number)
    content, arrays = stored(study, cell)
    again = make_study(name="again")
    steps = iter(range(7))

    def killed(*arguments):
        next(steps)
        return step(*arguments)

    step = torch.optim.AdamW.step
    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", killed)
        with pytest.raises(StopIteration):
            again.run_cell(cell.number)
    assert not again.result(cell)
    torch.manual_seed(99)
    again.run_cell(cell.number)
    found, predicted = stored(again, cell)
    assert found == content
    assert all(np.array_equal(predicted[name], arrays[name]) for name in arrays)


def test_finished_cells_are_not_run_again_unless_something_changed(
    make_study, make_cohorts, folders, draw_from, tmp_path
):
    study = make_study()
    place = study.run_cell(1)
    first = place.stat().st_mtime_ns
    assert study.listing().splitlines()[1] == "1\tfinished\tmixed-real100-add100-seed0"
    assert make_study().run_cell(1).stat().st_mtime_ns == first
    longer = make_study(max_steps=10)
    assert longer.listing().splitlines()[1].split("\t")[1] == "left", "other settings"
    folder = draw_from("train", tmp_path / "redrawn", replicas=3, seed=8)
    redrawn = make_study(make_cohorts(synthetic={"own": {"folder": folder}}))
    assert redrawn.listing().count("finished") == 0, "other images"


def test_every_phase_sees_the_records_of_its_arm(make_study):
    arms = [
        {"name": "mixed", "synthetic": "own", "percents": [200]},
        {"name": "alone", "synthetic": "own", "real": False, "percents": [200]},
        {"name": "first", "synthetic": "own", "order": "pretrain", "percents": [200]},
        {"name": "other", "synthetic": "other", "percents": [200]},
        {"name": "fresh", "synthetic": "fresh", "percents": [200]},
    ]
    study = make_study(arms=arms, real_percents=(50,), seeds=(0,))
    sizes = {cell.arm: [len(phase) for phase in study._material(cell)[0]] for cell in study.cells}
    n = len(study.cohorts.real_rows(50, seed=0))
    assert sizes == {
        "real": [n],
        "mixed": [3 * n],
        "alone": [2 * n],
        "first": [2 * n, n],
        "other": [n + len(study.cohorts.added_rows("other", 50, 200, seed=0))],
        "fresh": [3 * n],
    }
    counts = study._material(study.cells[2])[1]
    assert counts == {"real": 0, "real_patients": 0, "added": 2 * n}


def test_further_patients_help_and_records_with_shuffled_labels_do_not(make_study, make_cohorts, folders):
    synthetic = {name: {"folder": folders[name], "patients": True} for name in ("fresh", "shuffled")}
    arms = [
        {"name": "fresh", "synthetic": "fresh", "percents": [1000]},
        {"name": "shuffled", "synthetic": "shuffled", "percents": [1000]},
        {"name": "shuffled only", "synthetic": "shuffled", "real": False, "percents": [1000]},
    ]
    cohorts = make_cohorts(synthetic=synthetic)
    study = make_study(cohorts, arms=arms, real_percents=(100,), seeds=(0,), max_steps=100)
    study.run()
    results = json.loads((study.out / "results.json").read_text())
    gains = {gain["arm"]: gain for gain in results["gains"] if gain["finding"] == "patch"}
    scores = {score["arm"]: score for score in results["scores"] if score["finding"] == "patch"}
    assert gains["fresh"]["low"] > 0
    assert gains["shuffled"]["low"] < 0.02, "no proof of a gain from labels that say nothing"
    assert scores["shuffled only"]["value"] < 0.65 < 0.8 < scores["fresh"]["value"]


def test_a_patient_on_two_sides_is_refused_before_anything_is_trained(make_cohorts, folders, tmp_path):
    for kind, match in (("tests", "t7"), ("synthetic", "h3")):
        source = "holdout" if kind == "tests" else "fresh"
        folder = shutil.copytree(folders[source], tmp_path / kind)
        table = pd.read_csv(folder / "records.csv")
        table.loc[5, "patient_id"] = match
        table.to_csv(folder / "records.csv", index=False)
        value = {"leaky": {"folder": folder, "patients": True}} if kind == "synthetic" else {"leaky": str(folder)}
        extra = {"tests": {"internal": str(folders["holdout"])}} if kind == "synthetic" else {}
        with pytest.raises(CohortError, match="no patient may be on two sides") as caught:
            make_cohorts(**{**extra, kind: value})
        problem = caught.value.problems[0]
        assert (problem.column, problem.value) == ("patient_id", match)


def test_bad_settings_are_refused_before_anything_is_trained(make_study, make_cohorts, folders, tmp_path):
    with pytest.raises(ValueError, match="needs 5 replicas of each row"):
        make_study(arms=[{"name": "mixed", "synthetic": "own", "percents": [500]}])
    with pytest.raises(ValueError, match="has 480 records and"):
        make_study(arms=[{"name": "fresh", "synthetic": "fresh", "percents": [2000]}])
    with pytest.raises(ValueError, match="give a folder elsewhere"):
        make_study(private=tmp_path / "study" / "predictions")
    with pytest.raises(ValueError, match="does not take images"):
        make_study_with(make_study, torch.nn.Linear(3, 2))
    with pytest.raises(ValueError, match="one logit per finding"):
        make_study_with(make_study, torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(256, 5)))
    with pytest.raises(ValueError, match="no finding of"):
        make_cohorts(minimum_patients=40)
    with pytest.raises(ValueError, match="columns \\['lungs'\\] are not modelled"):
        make_cohorts(columns=["lungs"])
    with pytest.raises(ValueError, match="a test scores \\['cough'\\]"):
        make_cohorts(tests={"internal": {"folder": folders["holdout"], "findings": ["cough"]}})
    with pytest.raises(ValueError, match="tests names no cohort"):
        make_cohorts(tests={})
    with pytest.raises(ValueError, match="cell 99 is not there"):
        make_study().run_cell(99)
    with pytest.raises(ValueError, match="no cell of"):
        make_study().report()


def test_an_image_that_cannot_be_read_stops_a_cell_before_its_training(make_study, make_cohorts, folders, tmp_path):
    folder = shutil.copytree(folders["holdout"], tmp_path / "broken")
    (folder / "images" / "7.png").write_bytes(b"no picture")
    study = make_study(make_cohorts(tests={"internal": str(folder)}))
    study.training.fit = None  # would fail otherwise
    with pytest.raises(ImageFileError, match="images/7.png"):
        study.run_cell(0)


def make_study_with(make_study, network):
    """Set a study up with another network."""
    study = make_study()
    return type(study)(
        study.cohorts,
        lambda: network,
        training=study.training,
        out=study.out,
        private=study.private,
        arms=[],
        spatial_size=16,
    )


def test_results_and_report_are_complete_and_name_no_patient(make_study, make_cohorts, folders):
    tests = {"internal": str(folders["holdout"]), "part": {"folder": folders["holdout"], "findings": ["patch"]}}
    with pytest.raises(CohortError, match="two sides"):
        make_cohorts(tests=tests)
    arms = [{"name": "mixed", "synthetic": "own", "percents": [100, 300]}]
    costs = {"own": {"training_flops": 1e12, "training_hours": 1.0, "sampling_flops": 1e11, "sampling_hours": 0.1}}
    study = make_study(arms=arms, seeds=(0,), generator_costs=costs)
    study.run_cell(0)
    study.report()
    assert "1 of 6 cells" in re.sub(r"\s+", " ", (study.out / "report" / "index.html").read_text())
    study.run()
    results = json.loads((study.out / "results.json").read_text())
    assert results["study"]["cells"] == {"finished": 6, "all": 6}
    lines = gain_lines(results)
    assert [(line["real_percent"], line["arm"], line["percent"]) for line in lines] == [
        (size, arm, percent) for size in (100, 50) for arm, percent in (("real", 0), ("mixed", 100), ("mixed", 300))
    ]
    assert results["cooccurrence"]["gaps"]["own"] == pytest.approx(0, abs=0.2)
    assert len(results["cost"]) == 4
    assert results["cost"][0]["sampling_flops"] < 1e11, "only what the arm uses is charged"
    for path in study.out.rglob("*"):
        if path.suffix in (".json", ".md", ".html"):
            text = path.read_text()
            assert not re.search(r"\b(?:[tof]\d+|h\d\d+)\b|images/\d+|records\.csv", text), path
            assert str(folders["train"].parent) not in text, path
    page = (study.out / "report" / "index.html").read_text()
    ids = set(re.findall(r'class="plot" id="([^"]+)"', page))
    drawn = json.loads(re.search(r'id="figures">(.*?)</script>', page, re.DOTALL).group(1))
    assert ids == set(drawn)
    assert {"curve-internal-100", "gains-internal", "cooccurrence-0"} <= ids
    assert not list(study.out.rglob("*.npz")), "predictions stay outside"


def test_the_config_of_the_bundle_runs_a_cell(folders, tmp_path, repository):
    bundle = repository / "bundles" / "cxr_conditional_ddpm"
    overrides = {
        "dataset_dir": str(folders["train"]),
        "test_dirs": {"internal": str(folders["holdout"])},
        "synthetic_dirs": {"own": {"folder": str(folders["own"])}},
        "output_dir": str(tmp_path / "out"),
        "minimum_patients": 5,
        "validation_share": 0.25,
        "spatial_size": 16,
        "percents": [100],
        "real_percents": [100],
        "seeds": [0],
        "max_steps": 2,
        "device": "cpu",
        "network#init_features": 4,
        "network#growth_rate": 2,
        "network#block_config": [1, 1],
        "number": 3,
    }
    run = ConfigWorkflow(
        config_file=str(bundle / "configs" / "supplementation.json"),
        meta_file=str(bundle / "configs" / "metadata.json"),
        logging_file=False,
        run_id="cell",
        workflow_type="infer",
        **overrides,
    )
    run.initialize()
    run.run()
    made = [path.name for path in (tmp_path / "out" / "cells").iterdir()]
    assert made == ["synthetic__then_real-real100-add100-seed0.json"]
    assert (tmp_path / "out_private" / "predictions").is_dir()
