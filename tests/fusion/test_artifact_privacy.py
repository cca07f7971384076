"""No patient in an artifact: canaries left in and out, and attempts to rebuild the training table."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file

from monai_hybridsynth.fusion import CTGANSynthesizer, FactorisedCTGANSynthesizer

OPTIONS = {"steps": 10, "batch_size": 20, "max_clusters": 4, "progress": False}
TABLE = {name: value for name, value in OPTIONS.items() if name != "progress"}
MADE = {
    "tuned": lambda: CTGANSynthesizer("tuned", latent_components=4, **OPTIONS),
    "paper": lambda: CTGANSynthesizer("paper", pac=2, **OPTIONS),
    "factorised": lambda: FactorisedCTGANSynthesizer(table=TABLE, progress=False),
}
AGE, CRP, LATENT = 98765.4321, 31337.8125, 777.1234


def with_canary(table: pd.DataFrame) -> pd.DataFrame:
    """Add one patient with a category, a label, extreme numbers and extreme latents of its own, on three images."""
    canary = table.iloc[[0, 1, 2]].assign(
        patient_id="canary-patient", age=AGE, crp=CRP, view="CANARYVIEW", findings="Canarylabel|Mass"
    )
    canary["latent_003"] = np.float32(LATENT)
    return pd.concat([table, canary], ignore_index=True)


def encodings(value: float) -> dict[str, bytes]:
    """Return how a number may stand in a file: as float of any width or as digits."""
    digits = f"{value:.12g}".encode()
    packed = {code: struct.pack(f"<{code}", value) for code in ("f", "d")}
    return packed | {"big f": struct.pack(">f", value), "digits": digits, "short": digits.split(b".")[0]}


def parts_of(folder: Path) -> list[Path]:
    """Return the folders of an artifact that hold weights: itself, and its parts."""
    return sorted(path.parent for path in folder.rglob("synthesizer.json"))


def contents_of(folder: Path) -> dict[str, dict]:
    """Return the JSON values of every part."""
    parts = {str(part.relative_to(folder)): part / "synthesizer.json" for part in parts_of(folder)}
    return {name: json.loads(path.read_text()) for name, path in parts.items()}


def arrays_of(folder: Path) -> dict[str, np.ndarray]:
    """Return the arrays of every part."""
    return {
        f"{part.name}:{name}": array
        for part in parts_of(folder)
        for name, array in load_file(part / "weights.safetensors").items()
    }


@pytest.fixture(scope="module", params=MADE)
def artifacts(request, tmp_path_factory, schema, table):
    """Save the fits with and without the canary."""
    folders = {}
    for name, rows in (("without", table), ("with", with_canary(table))):
        made = MADE[request.param]().fit(rows, schema, seed=0)
        folders[name] = made.save(tmp_path_factory.mktemp(request.param) / name)
    return folders


def test_no_byte_of_the_canary_is_in_the_artifact(artifacts):
    for path in artifacts["with"].rglob("*.*"):
        data = path.read_bytes()
        for text in (b"CANARY", b"anarylabel", b"canary", b"patient-0"):
            assert text not in data
        for value in (AGE, CRP, LATENT):
            for how, code in encodings(value).items():
                if path.suffix == ".json" or how in ("d", "digits"):
                    assert code not in data, (path.name, value, how)
    for name, array in arrays_of(artifacts["with"]).items():
        for value in (AGE, CRP, LATENT):
            assert not np.isclose(array, value, rtol=1e-3).any(), name


def test_ranges_and_categories_do_not_know_the_canary(artifacts):
    """One more patient may move an end by one step of the rounding; how extreme the patient is does not count."""
    contents = [contents_of(artifacts[name]) for name in ("with", "without")]
    for part in (name for name, content in contents[0].items() if "layout" in content):
        flats = [
            {flat["name"]: flat for column in content[part]["layout"]["encoder"]["columns"] for flat in column["flats"]}
            for content in contents
        ]
        assert flats[0].keys() == flats[1].keys()
        for name, flat in flats[0].items():
            other = flats[1][name]
            assert flat["categories"] == other["categories"]
            step = 0.11 * (other["upper"] - other["lower"])
            assert [flat["lower"], flat["upper"]] == pytest.approx([other["lower"], other["upper"]], abs=step)
        ages = [(part_flats["age"]["lower"], part_flats["age"]["upper"]) for part_flats in flats]
        assert ages[0] == ages[1]
    means = [mean for content in contents[0].values() for span in content.get("spans", ()) for mean in span["means"]]
    assert max(means) < 100, "no mode sits on the extreme patient"


def rebuild_categories(row_lists: list, num_rows: int) -> np.ndarray:
    """Rebuild a column from lists of row numbers, one list a category; -1 where none is told."""
    column = np.full(num_rows, -1)
    for category, rows in enumerate(row_lists):
        column[np.asarray(rows, dtype=int)] = category
    return column


def test_training_categories_cannot_be_rebuilt_from_our_artifact(artifacts, table):
    """What upstream's file gives away is not there: no array has an entry per row, no list of row numbers."""
    table = with_canary(table)
    arrays = arrays_of(artifacts["with"])
    for name, array in arrays.items():
        assert len(table) not in array.shape, name
        assert len(table["patient_id"].unique()) not in array.shape, name

    def longest_list(value) -> int:
        if isinstance(value, dict):
            return max(map(longest_list, value.values()), default=0)
        return max([len(value), *map(longest_list, value)]) if isinstance(value, list) else 0

    content = contents_of(artifacts["with"])
    assert longest_list(content) < 60, "there are 303 rows of 151 patients"
    assert not {"_rid_by_cat_cols", "rows", "patients", "data"} & set(str(content).replace("'", " ").split())


def test_training_latents_cannot_be_rebuilt_from_our_artifact(artifacts, table):
    """No row or column of any array is a training latent, plain or whitened."""
    latents = table[[f"latent_{number:03d}" for number in range(6)]].to_numpy(dtype=float)
    whitened = (latents - latents.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(latents.T))).T
    for array in arrays_of(artifacts["with"]).values():
        for rows in (array, array.T) if array.ndim == 2 else ():
            if rows.shape[1] != 6:
                continue
            for truth in (latents, whitened):
                cosine = (rows / np.linalg.norm(rows, axis=1, keepdims=True)) @ (
                    truth / np.linalg.norm(truth, axis=1, keepdims=True)
                ).T
                assert (cosine > 0.9999).sum() == 0


def test_upstreams_own_file_gives_the_training_categories_away(table, tmp_path):
    """The reason for an artifact of our own: the file of the ``ctgan`` package rebuilds every category of every row."""
    from ctgan import CTGAN

    rows = table[["sex", "findings"]].iloc[:60]
    model = CTGAN(epochs=1, batch_size=20, pac=2, enable_gpu=False)
    model.fit(rows, ["sex", "findings"])
    model.save(tmp_path / "model.pkl")
    loaded = torch.load(tmp_path / "model.pkl", weights_only=False)
    for number, name in enumerate(rows.columns):
        column = rebuild_categories(loaded._data_sampler._rid_by_cat_cols[number], len(rows))
        encoder = loaded._transformer._column_transform_info_list[number].transform
        assert np.array(encoder.dummies, dtype=object)[column].tolist() == rows[name].tolist()
