"""The audit on clean releases and on a planted leak of every kind."""

from __future__ import annotations

import base64
import gzip
import io
import json
import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from safetensors.numpy import save_file
from scipy.ndimage import gaussian_filter

from monai_hybridsynth.__main__ import main
from monai_hybridsynth.data import RecordField, RecordSchema
from monai_hybridsynth.fusion import CTGANSynthesizer, FactorisedCTGANSynthesizer, IndependentSynthesizer
from monai_hybridsynth.workflows.release_audit import audit_release

NUM_ROWS = 60
SCHEMA = RecordSchema(
    [
        RecordField("image", role="image"),
        RecordField("patient_id", role="group"),
        RecordField("accession", role="identifier"),
        RecordField("remark", kind="free_text", role="excluded"),
        RecordField("age", "integer", kind="integer"),
        RecordField("sex", kind="binary"),
        RecordField("finding", kind="categorical"),
        *[RecordField(name, "number", kind="continuous") for name in ("crp", "ldh", "troponin", "lactate", "ferritin")],
    ]
)


def draw_image(rng: np.random.Generator, *, side: int = 64) -> np.ndarray:
    """Return a smooth picture of its own."""
    image = gaussian_filter(rng.normal(size=(side, side)), 4)
    return ((image - image.min()) / np.ptp(image) * 255).astype(np.uint8)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("private") / "harbour_clinic"
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(1)
    rows = []
    for number in range(NUM_ROWS):
        name = f"images/hc{40000 + 37 * number}_x.png"
        Image.fromarray(draw_image(rng)).save(folder / name)
        rows.append(
            {
                "image": name,
                "patient_id": f"HC-{70000 + 13 * number}",
                "accession": f"ACC{900000 + 7 * number}",
                "remark": f"transferred from ward {number} with grandmother",
                "age": int(rng.integers(20, 90)),
                "sex": "F" if number % 2 else "M",
                "finding": "sarcoidosis" if number == 3 else ("normal" if number % 3 else "effusion"),
                **{name: f"{rng.gamma(3, 40):.4f}" for name in ("crp", "ldh", "troponin", "lactate", "ferritin")},
            }
        )
    pd.DataFrame(rows).to_csv(folder / "records.csv", index=False)
    SCHEMA.save(folder / "schema.json")
    return folder


@pytest.fixture(scope="module")
def table(cohort) -> pd.DataFrame:
    return pd.read_csv(cohort / "records.csv", dtype=str)


@pytest.fixture(scope="module")
def clean(tmp_path_factory) -> Path:
    """A release with nothing of the cohort: artifact, synthetic records, weights, a page."""
    release = tmp_path_factory.mktemp("release")
    rng = np.random.default_rng(99)
    (release / "synthetic/images").mkdir(parents=True)
    for number in range(20):
        Image.fromarray(draw_image(rng)).save(release / f"synthetic/images/{number:06d}.png")
    rows = pd.DataFrame(
        {
            "image": [f"images/{number:06d}.png" for number in range(20)],
            "age": rng.integers(20, 90, 20),
            "sex": rng.choice(["F", "M"], 20),
            "finding": rng.choice(["normal", "effusion"], 20),
        }
    )
    rows.to_csv(release / "synthetic/records.csv", index=False)
    (release / "synthetic/manifest.json").write_text(json.dumps({"synthetic": True, "seed": 0}))
    torch.save(torch.nn.Linear(64, 20).state_dict(), release / "model.pt")
    save_file({"weight": rng.normal(size=(64, 64)).astype(np.float32)}, release / "model.safetensors")
    (release / "report.html").write_text("<p>20 records, 60 patients, effusion .71</p>")
    return release


@pytest.fixture
def release(clean, tmp_path) -> Path:
    return Path(shutil.copytree(clean, tmp_path / "release"))


def texts(path: Path, cohort: Path | None) -> str:
    return "\n".join(str(finding) for finding in audit_release(path, against=cohort) if finding.counts)


def test_a_clean_release_is_clean(clean, cohort):
    assert texts(clean, cohort) == ""
    assert texts(clean, None) == ""


def save_pickle(release, cohort, table):
    (release / "model.pkl").write_bytes(pickle.dumps({"rows": [1, 2]}))


def save_disguised_pickle(release, cohort, table):
    (release / "weights.bin").write_bytes(pickle.dumps(table))


def save_object_tensors(release, cohort, table):
    torch.save({"weight": torch.zeros(2), "frame": table}, release / "model.pt")


def save_pickle_in_zip(release, cohort, table):
    with zipfile.ZipFile(release / "bundle.zip", "w") as archive:
        archive.writestr("inner/state.pkl", pickle.dumps(1))


def save_object_array(release, cohort, table):
    np.save(release / "rows.npy", np.array([{"a": 1}, None], dtype=object), allow_pickle=True)


def save_name_in_log(release, cohort, table):
    (release / "train.log").write_text("epoch 1 loss 0.3\nskipped hc40037_x.png: too small\n")


def save_identifier_in_json(release, cohort, table):
    (release / "manifest.json").write_text(json.dumps({"sources": [{"id": table["patient_id"][5]}]}))


def save_identifier_in_gzip(release, cohort, table):
    (release / "log.gz").write_bytes(gzip.compress(f"row {table['accession'][9]} encoded".encode()))


def save_name_as_file_name(release, cohort, table):
    shutil.copy(release / "synthetic/images/000000.png", release / "synthetic/images/hc40074_x_synth.png")


def save_name_in_png_header(release, cohort, table):
    info = PngInfo()
    info.add_text("Comment", f"from {table['patient_id'][7]}", zip=True)
    Image.open(release / "synthetic/images/000001.png").save(release / "synthetic/images/000001.png", pnginfo=info)


def save_name_in_event_file(release, cohort, table):
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(release / "events") as writer:
        writer.add_scalar(f"loss/{table['patient_id'][2]}", 0.1, 0)


def save_image_in_event_file(release, cohort, table):
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(release / "events") as writer:
        writer.add_image("grid", np.asarray(Image.open(cohort / table["image"][4]))[None], 0)


def save_name_in_dicom(release, cohort, table):
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, "1.2.3"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("x.dcm", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.PatientID, dataset.SOPInstanceUID, dataset.SyntheticData = table["patient_id"][11], "1.2.3", "YES"
    dataset.save_as(release / "x.dcm", enforce_file_format=True)


def save_free_text(release, cohort, table):
    (release / "notes.md").write_text(f"For example: {table['remark'][3].title()}.")


def save_exact_value_in_json(release, cohort, table):
    (release / "ranges.json").write_text(json.dumps({"crp": {"maximum": float(table["crp"][8])}}))


def save_exact_value_in_tensor(release, cohort, table):
    save_file({"means": np.array([0.5, float(table["ldh"][8])], dtype=np.float32)}, release / "modes.safetensors")


def save_rare_category(release, cohort, table):
    rows = pd.read_csv(release / "synthetic/records.csv")
    rows.loc[0, "finding"] = "sarcoidosis"
    rows.to_csv(release / "synthetic/records.csv", index=False)


def save_rows_in_csv(release, cohort, table):
    columns = ["crp", "ldh", "troponin", "lactate", "ferritin", "sex", "age"]
    rows = table[columns].iloc[::-3].astype(dict.fromkeys(columns[:5], float)).round(2)
    rows.assign(crp=table["crp"].astype(float)).to_csv(release / "synthetic/more.csv", index=False)


def save_coarse_rows_in_parquet(release, cohort, table):
    table[["age", "sex", "finding"]].to_parquet(release / "synthetic/more.parquet")


def save_patient_column(release, cohort, table):
    pd.DataFrame({"patient_id": ["a", "b"], "sex": ["F", "M"]}).to_csv(release / "other.csv", index=False)


def save_one_hot_column(release, cohort, table):
    save_file({"real": np.eye(2, dtype=np.float32)[(table["sex"] == "F").to_numpy(int)]}, release / "data.safetensors")


def save_row_numbers(release, cohort, table):
    torch.save({"rid": torch.from_numpy(np.flatnonzero(table["finding"] == "effusion"))}, release / "sampler.pt")


def save_images_as_array(release, cohort, table):
    images = np.stack([np.asarray(Image.open(cohort / name)) for name in table["image"][:3]])
    np.savez_compressed(release / "cache.npz", images=(images.reshape(3, -1) / 127.5 - 1).astype(np.float32))


def save_image_copy(release, cohort, table):
    shutil.copy(cohort / table["image"][0], release / "synthetic/images/000020.png")


def save_smaller_jpeg(release, cohort, table):
    small = Image.open(cohort / table["image"][0]).resize((48, 48)).point(lambda value: 20 + 0.8 * value)
    small.save(release / "synthetic/images/000020.jpg", quality=80)


def save_grid(release, cohort, table):
    tiles = [np.asarray(Image.open(release / f"synthetic/images/{number:06d}.png")) for number in range(5)]
    tiles.append(np.asarray(Image.open(cohort / table["image"][6])))
    Image.fromarray(np.vstack([np.hstack(tiles[:3]), np.hstack(tiles[3:])])).save(release / "grid.png")


def save_image_in_page(release, cohort, table):
    data = io.BytesIO()
    Image.open(cohort / table["image"][6]).save(data, "PNG")
    page = f"<img src='data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}'>"
    (release / "report.html").write_text(page)


def save_path(release, cohort, table):
    (release / "config.json").write_text(json.dumps({"dataset_dir": str(cohort.resolve())}))


def save_link(release, cohort, table):
    (release / "synthetic/images/000020.png").symlink_to(cohort / table["image"][0])


PLANTED = {
    save_pickle: "is a pickle",
    save_disguised_pickle: "is a pickle",
    save_object_tensors: "other than tensors",
    save_pickle_in_zip: "state.pkl is a pickle",
    save_object_array: "object array",
    save_name_in_log: "hc40037",
    save_identifier_in_json: "hc-70065",
    save_identifier_in_gzip: "acc900063",
    save_name_as_file_name: "hc40074",
    save_name_in_png_header: "hc-70091",
    save_name_in_event_file: "hc-70026",
    save_image_in_event_file: "images of patients",
    save_name_in_dicom: "hc-70143",
    save_free_text: "free texts",
    save_exact_value_in_json: "exact values",
    save_exact_value_in_tensor: "exact values",
    save_rare_category: "sarcoidosis",
    save_rows_in_csv: "exact values",
    save_coarse_rows_in_parquet: "rows of patients",
    save_patient_column: "patient identifiers",
    save_one_hot_column: "encoded",
    save_row_numbers: "row numbers",
    save_images_as_array: "images of patients",
    save_image_copy: "images of patients",
    save_smaller_jpeg: "images of patients",
    save_grid: "images of patients",
    save_image_in_page: "images of patients",
    save_path: "path of the private cohort",
    save_link: "link into the private cohort",
}
ALONE = (save_pickle, save_disguised_pickle, save_object_tensors, save_pickle_in_zip, save_object_array)


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_planted_leak_is_found(plant, release, cohort, table):
    plant(release, cohort, table)
    assert PLANTED[plant] in texts(release, cohort)
    if plant in ALONE:
        assert PLANTED[plant] in texts(release, None), "found without the cohort, too"


def test_latents_are_found_when_a_latent_table_is_given(release, cohort, table, tmp_path):
    rng = np.random.default_rng(0)
    latents = rng.normal(size=(NUM_ROWS, 24)).astype(np.float32)
    private = table.drop(columns=["image", "remark"])
    private = pd.concat([private, pd.DataFrame(latents, columns=[f"latent_{i:03d}" for i in range(24)])], axis=1)
    private.to_parquet(tmp_path / "latents.parquet")
    save_file({"other": rng.normal(size=(NUM_ROWS, 24)).astype(np.float32)}, release / "other.safetensors")
    assert texts(release, tmp_path / "latents.parquet") == ""
    save_file({"bank": np.ascontiguousarray(3.0 * latents[::-2].T)}, release / "bank.safetensors")
    assert "30 latents of the cohort" in texts(release, tmp_path / "latents.parquet")


@pytest.mark.parametrize("made", [IndependentSynthesizer, CTGANSynthesizer, FactorisedCTGANSynthesizer])
def test_a_fitted_artifact_is_clean(made, cohort, table, tmp_path):
    latents = np.random.default_rng(0).normal(size=(NUM_ROWS, 8)).astype(np.float32)
    rows = SCHEMA.parse(table)[["patient_id", *SCHEMA.feature_names]]
    rows = pd.concat([rows, pd.DataFrame(latents, columns=[f"latent_{i:03d}" for i in range(8)])], axis=1)
    short = {"steps": 2, "batch_size": 20, "max_clusters": 3}
    options = {
        CTGANSynthesizer: short | {"progress": False},
        FactorisedCTGANSynthesizer: {"table": short, "progress": False},
    }
    synthesizer = made(**options.get(made, {})).fit(rows, SCHEMA, seed=0)
    folder = synthesizer.save(tmp_path / "artifact")
    synthesizer.sample(50, seed=0).to_csv(folder / "records.csv", index=False)
    rows.to_parquet(tmp_path / "rows.parquet")
    assert texts(folder, cohort) == ""
    assert texts(folder, tmp_path / "rows.parquet") == ""


def test_the_prepared_cohort_in_a_run_is_named_and_not_searched(release, cohort):
    for side in ("train", "holdout"):
        shutil.copytree(cohort, release / "prepared" / side)
    (release / "prepared/schema.json").write_text("{}")
    findings = audit_release(release, against=cohort)
    assert [(finding.severity, finding.file) for finding in findings] == [("note", "prepared")]
    assert "never release" in findings[0].remedy
    (release / "prepared/train/model.pkl").write_bytes(pickle.dumps(1))
    assert "leak: prepared/train" in texts(release, cohort), "only what prepare writes is set aside"


def test_a_report_with_real_images_is_named_when_its_page_says_so(release, cohort, table, repository):
    report = release / "report"
    (report / "images").mkdir(parents=True)
    shutil.copy(cohort / table["image"][0], report / "images/real_000000.png")
    (report / "plotly.min.js").write_text("")
    (report / "index.html").write_text("<p>All synthetic.</p>")
    assert "leak: report/images/real_000000.png" in texts(release, cohort)
    template = repository / "monai_hybridsynth/evaluation/templates/report.html.j2"
    (report / "index.html").write_text(template.read_text(encoding="utf-8"))
    assert texts(release, cohort) == ""
    assert [finding.file for finding in audit_release(release, against=cohort)] == ["report"]
    card = report / "data_card.md"
    card.write_text("12 patients")
    (report / "thresholds.json").write_text("{}")
    assert texts(release, cohort) == ""
    card.write_text(f"among them {table['patient_id'][0]}")
    assert "leak: report/data_card.md" in texts(release, cohort), "the card may leave the house, so it is searched"
    card.unlink()
    (report / "model.pkl").write_bytes(b"")
    assert "leak: report/images/real_000000.png" in texts(release, cohort)
    assert "images of patients" in texts(report, cohort), "audited itself, it is searched"


def test_a_prepared_folder_audited_itself_is_searched(release, cohort):
    for side in ("train", "holdout"):
        shutil.copytree(cohort, release / "prepared" / side)
    (release / "prepared/schema.json").write_text("{}")
    assert "images of patients" in texts(release / "prepared", release / "prepared")


def test_exit_codes(clean, release, cohort, tmp_path, capsys):
    assert main(["audit", str(clean), "--against", str(cohort)]) == 0
    save_pickle(release, cohort, None)
    assert main(["audit", str(release)]) == 1
    assert "leak: model.pkl" in capsys.readouterr().out
    assert main(["audit", str(tmp_path / "nowhere")]) == 2
    assert main(["audit", str(clean), "--against", str(tmp_path)]) == 2


def test_what_cannot_be_read_is_no_clean_release(release):
    (release / "broken.npz").write_bytes(b"PK\x03\x04 and nothing more")
    assert "unseen: broken.npz" in texts(release, None)
