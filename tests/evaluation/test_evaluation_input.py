"""Bad input on the command line: exit code 2 and a message that names file, column and remedy, or stated reasons."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from monai_hybridsynth.__main__ import main
from monai_hybridsynth.features import PixelPCA


@pytest.fixture
def cohorts(folders, tmp_path) -> dict[str, Path]:
    """Return copies of the three cohorts that a test may spoil."""
    return {name: Path(shutil.copytree(folders[name], tmp_path / name)) for name in ("train", "holdout", "honest")}


def evaluate(cohorts: dict[str, Path], *more: str) -> int:
    out = cohorts["train"].parent / "out"
    roles = ["--train", cohorts["train"], "--holdout", cohorts["holdout"], "--synthetic", cohorts["honest"]]
    return main(["evaluate", *map(str, roles), "--out", str(out), *more])


def told(capsys) -> str:
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return captured.err.strip().splitlines()[-1] if "\n" not in captured.err.strip() else captured.err


def edit(folder: Path, change) -> None:
    table = pd.read_csv(folder / "records.csv", dtype=str, keep_default_na=False)
    change(table).to_csv(folder / "records.csv", index=False)


def refused(cohorts, capsys, *more: str) -> str:
    assert evaluate(cohorts, *more) == 2
    text = told(capsys)
    assert not (cohorts["train"].parent / "out" / "metrics.json").exists()
    return text


@pytest.mark.parametrize("role", ["train", "holdout", "honest"])
def test_a_cohort_without_its_images(cohorts, capsys, role):
    shutil.rmtree(cohorts[role] / "images")
    text = refused(cohorts, capsys)
    assert "does not exist" in text
    assert "add the file" in text


def test_a_table_without_an_image_column(cohorts, capsys):
    edit(cohorts["honest"], lambda table: table.drop(columns="image"))
    text = refused(cohorts, capsys)
    assert "has no column 'image'" in text
    assert "records.csv" in text


def test_other_columns(cohorts, capsys):
    edit(cohorts["honest"], lambda table: table.rename(columns={"age": "years"}))
    text = refused(cohorts, capsys)
    assert "age" in text
    assert "records.csv" in text


def test_an_empty_folder_and_none(cohorts, capsys):
    for name in ("empty", "absent"):
        folder = cohorts["train"].parent / name
        if name == "empty":
            folder.mkdir()
        text = refused({**cohorts, "honest": folder}, capsys)
        assert f"the synthetic cohort {folder} is" in text
        assert "records.csv" in text


def test_one_folder_in_two_roles(cohorts, capsys):
    for other in ({"honest": cohorts["train"]}, {"holdout": cohorts["train"]}, {"honest": cohorts["holdout"]}):
        assert "every cohort looks perfect" in refused({**cohorts, **other}, capsys)


def test_a_holdout_without_patients(cohorts, capsys):
    edit(cohorts["holdout"], lambda table: table.assign(patient_id=""))
    text = refused(cohorts, capsys)
    assert "names no patients in the column 'patient_id'" in text
    assert "prepare" in text


def test_images_with_other_channels(cohorts, capsys):
    schema = cohorts["honest"] / "schema.json"
    content = json.loads(schema.read_text())
    content["image"]["channels"] = 3
    content["image"]["scaling"] = {"kind": "range", "minimum": 0, "maximum": 255, "channels": 3}
    schema.write_text(json.dumps(content))
    text = refused(cohorts, capsys)
    assert "have 3 channels according to its schema.json" in text
    assert str(cohorts["honest"]) in text


def test_an_image_in_colour(cohorts, capsys):
    first = pd.read_csv(cohorts["honest"] / "records.csv")["image"][0]
    pixels = np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(cohorts["honest"] / first)
    text = refused(cohorts, capsys)
    assert str(cohorts["honest"] / first) in text
    assert "in colour" in text


@pytest.mark.parametrize(
    ("judge", "expected"),
    [
        ("nonsense", "names no judge; it takes a folder that PixelPCA.save wrote, 'supervised'"),
        ("xrv:densenet121-res224-all", "torchxrayvision"),
        ("bundles/cxr_alpha_gan", "would judge its own work; give it as --encoder"),
        ("README.md", "neither TorchScript nor a torch.export program"),
    ],
)
def test_features_that_cannot_judge(cohorts, capsys, judge, expected):
    path = Path(__file__).parents[2] / judge
    assert expected in refused(cohorts, capsys, "--features", str(path) if path.exists() else judge)


def test_an_encoder_that_is_none(cohorts, capsys):
    text = refused(cohorts, capsys, "--encoder", str(cohorts["train"]))
    assert "holds no encoder.safetensors or encoder.pt" in text


def test_features_fitted_on_the_synthetic_cohort(cohorts, capsys, tmp_path):
    from monai_hybridsynth.data import read_cohort
    from monai_hybridsynth.transforms import load_images

    cohort = read_cohort(cohorts["honest"])
    images = load_images(cohort.image_paths, cohort.schema.image, spatial_size=64)
    PixelPCA(8).fit(images).save(tmp_path / "own")
    assert "were fitted on the synthetic cohort" in refused(cohorts, capsys, "--features", str(tmp_path / "own"))


def answered(cohorts) -> list[dict]:
    """Return the metrics of an evaluation that must succeed; none may be silently empty."""
    assert evaluate(cohorts) == 0
    metrics = json.loads((cohorts["train"].parent / "out" / "metrics.json").read_text())["metrics"]
    assert metrics
    for entry in metrics:
        assert entry["value"] is not None or entry["note"]
        assert entry["reading"]
    return metrics


@pytest.mark.slow
def test_ten_rows_are_answered_with_reasons(cohorts):
    for name in cohorts:
        edit(cohorts[name], lambda table: table.head(10))
    metrics = answered(cohorts)
    agreements = [entry for entry in metrics if entry["name"].startswith(("agreement", "retrieval"))]
    assert agreements
    assert all(entry["value"] is None for entry in agreements)


@pytest.mark.slow
def test_one_class_in_a_target_is_stated_and_images_of_another_size_are_resized(cohorts):
    for name in cohorts:
        edit(cohorts[name], lambda table: table.assign(sex="f"))
    for path in (cohorts["honest"] / "images").rglob("*.png"):
        Image.open(path).resize((40, 40)).save(path)
    metrics = answered(cohorts)
    predicted = [entry for entry in metrics if entry["column"] == "sex" and entry["family"] == "utility"]
    linked = [entry for entry in metrics if entry["column"] == "sex" and entry["name"].startswith("agreement")]
    assert predicted
    assert linked
    assert all(entry["value"] is None and entry["note"] for entry in predicted + linked)
    found = [entry for entry in metrics if entry["name"] == "agreement_reverse" and entry["column"] is None]
    assert all(entry["value"] > 0.5 for entry in found)


def test_the_command_line_takes_what_it_says(cohorts, capsys):
    with pytest.raises(SystemExit) as error:
        main(["evaluate", "--help"])
    assert error.value.code == 0
    text = capsys.readouterr().out
    assert "--encoder" in text
    assert "supervised" in text
    assert torch.is_grad_enabled()
