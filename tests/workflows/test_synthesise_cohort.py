"""Synthetic cohort folders: paired, repeatable, resumable, and written in constant memory."""

from __future__ import annotations

import importlib
import json
import signal
import subprocess
import sys
import tracemalloc

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from monai_hybridsynth.data import (
    CohortWriter,
    RecordField,
    RecordSchema,
    digest_folder,
    read_cohort,
    write_phantom_cohort,
)
from monai_hybridsynth.fusion import IndependentSynthesizer
from monai_hybridsynth.workflows import CopyFilter, encode_cohort, synthesise_cohort

# The function of the same name stands in the module's place in its layer.
MODULE = importlib.import_module("monai_hybridsynth.workflows.synthesise_cohort")
SCHEMA = RecordSchema(
    [
        RecordField("image", role="image"),
        RecordField("patient_id", role="group"),
        RecordField("number", "integer", kind="integer", minimum=0, maximum=2**31),
        RecordField("note", role="excluded"),
    ]
)


class NumberedRecords:
    """A stand-in whose latent repeats the row's number; it counts its blocks and may fail at one."""

    def __init__(self, fail_at: int | None = None, together: bool = False):
        self.calls, self.fail_at, self.together = 0, fail_at, together

    def sample(self, num_records, *, conditions=None, seed):
        if self.calls == self.fail_at:
            raise KeyboardInterrupt
        self.calls += 1
        number = np.random.default_rng(seed + 1000 * num_records * self.together).integers(0, 200, num_records)
        if isinstance(conditions, dict):
            number[:] = conditions["number"]
        elif conditions is not None:
            number = conditions["number"].to_numpy(dtype=int)
        latent = (number / 100 - 1).astype(np.float32)
        return pd.DataFrame({"number": pd.array(number, dtype="Int64"), "latent_000": latent})


class GreyImages(torch.nn.Module):
    """The latent as a uniform grey of 8 x 8 pixels."""

    def __init__(self):
        super().__init__()
        self.one = torch.nn.Parameter(torch.ones(1))

    def forward(self, z):
        return (z * self.one)[:, :, None, None].expand(-1, 1, 8, 8)


@pytest.fixture
def synthesise(tmp_path, monkeypatch):
    """Return `synthesise_cohort` on the stand-ins, and the folder it writes into."""
    artifact = tmp_path / "artifact"
    artifact.mkdir()
    (artifact / "synthesizer.json").write_text("{}")

    def run(out="synthetic", *, synthesizer=None, generator=None, num_records=10, block_size=4, seed=3, **arguments):
        monkeypatch.setattr(MODULE, "load_synthesizer", lambda folder: synthesizer or NumberedRecords())
        return synthesise_cohort(
            artifact,
            generator or GreyImages(),
            SCHEMA,
            tmp_path / out,
            num_records=num_records,
            block_size=block_size,
            seed=seed,
            **arguments,
        )

    return run


def numbers_and_greys(folder) -> tuple[np.ndarray, np.ndarray]:
    """Return each row's number, and the number that its image shows."""
    cohort = read_cohort(folder)
    greys = np.array([np.asarray(Image.open(path)).mean() for path in cohort.image_paths])
    return cohort.table["number"].to_numpy(dtype=int), np.rint(greys / 127.5 * 100).astype(int)


def test_every_row_has_its_own_image(synthesise):
    numbers, shown = numbers_and_greys(synthesise())
    assert len(numbers) == 10
    assert len(set(numbers)) > 5
    np.testing.assert_allclose(numbers, shown, atol=1)


def test_the_folder_is_a_cohort_that_says_it_is_synthetic(synthesise):
    folder = synthesise(provenance={"bundle": {"name": "test", "version": "1"}})
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["synthetic"] is True
    assert manifest["num_records"] == 10
    assert manifest["seed"] == 3
    assert manifest["bundle"] == {"name": "test", "version": "1"}
    assert manifest["generator"]["name"] == "GreyImages"
    assert manifest["packages"]["torch"] == torch.__version__
    assert {"column": "note", "role": "excluded"} in manifest["exclusions"]
    assert read_cohort(folder).schema.group_name is None
    assert {path.name for path in folder.parent.iterdir()} == {"artifact", "synthetic"}, "nothing partial stays"


def test_one_seed_gives_one_cohort_and_a_longer_one_begins_with_it(synthesise):
    first, again, longer = synthesise("a"), synthesise("b"), synthesise("c", num_records=15)
    assert digest_folder(first) == digest_folder(again)
    np.testing.assert_array_equal(numbers_and_greys(longer)[0][:10], numbers_and_greys(first)[0])
    assert not np.array_equal(numbers_and_greys(synthesise("d", seed=4))[0], numbers_and_greys(first)[0])


@pytest.mark.parametrize("fail_at", [0, 1, 2])
def test_an_interrupted_run_goes_on_and_ends_the_same(synthesise, fail_at):
    whole = synthesise("whole")
    with pytest.raises(KeyboardInterrupt):
        synthesise("resumed", synthesizer=NumberedRecords(fail_at))
    assert not (whole.parent / "resumed").exists()
    rest = NumberedRecords()
    resumed = synthesise("resumed", synthesizer=rest)
    assert rest.calls == 3 - fail_at
    assert digest_folder(resumed) == digest_folder(whole)


def test_a_kill_while_the_folder_is_put_in_place_is_mended(synthesise, monkeypatch):
    whole = synthesise("whole")
    with monkeypatch.context() as patch:
        patch.setattr(CohortWriter, "close", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            synthesise("resumed")
    rest = NumberedRecords()
    assert digest_folder(synthesise("resumed", synthesizer=rest)) == digest_folder(whole)
    assert rest.calls == 0


def _interrupt(*args):
    raise KeyboardInterrupt


def test_blocks_of_another_request_are_not_used(synthesise):
    with pytest.raises(KeyboardInterrupt):
        synthesise("out", synthesizer=NumberedRecords(2), seed=99)
    assert digest_folder(synthesise("out")) == digest_folder(synthesise("other"))


def test_what_is_there_is_not_made_again_but_replaced_by_another_request(synthesise):
    first = digest_folder(synthesise())
    idle = NumberedRecords()
    assert digest_folder(synthesise(synthesizer=idle)) == first
    assert idle.calls == 0
    assert digest_folder(synthesise(seed=4)) != first
    assert digest_folder(synthesise()) == first


def test_a_folder_that_is_no_synthetic_cohort_is_left_alone(synthesise, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "records.csv").write_text("image\n")
    with pytest.raises(FileExistsError, match="will not be replaced"):
        synthesise("mine")
    assert (tmp_path / "mine" / "records.csv").read_text() == "image\n"


@pytest.mark.parametrize("num_records", [2, 3, 10, 41])
def test_unpaired_keeps_rows_and_images_and_breaks_every_pair(synthesise, num_records):
    paired = synthesise("paired", num_records=num_records)
    broken = synthesise("unpaired", num_records=num_records, unpaired=True)
    rows, images = _bytes_of(paired)
    other_rows, other_images = _bytes_of(broken)
    assert rows == other_rows
    assert sorted(images) == sorted(other_images)
    assert json.loads((broken / "manifest.json").read_text())["paired"] is False
    if num_records > 10:
        numbers, shown = numbers_and_greys(broken)
        assert (np.abs(numbers - shown) > 1).mean() > 0.8
    with pytest.raises(ValueError, match="at least two"):
        synthesise("one", num_records=1, unpaired=True)


def _bytes_of(folder):
    rows = (folder / "records.csv").read_text()
    return rows, [path.read_bytes() for path in sorted((folder / "images").iterdir())]


def test_columns_can_be_fixed_for_all_or_row_by_row(synthesise):
    numbers, shown = numbers_and_greys(synthesise("all", conditions={"number": 42}))
    assert set(numbers) == {42}
    np.testing.assert_allclose(shown, 42, atol=1)
    wanted = list(range(50, 59))
    rows = synthesise("rows", num_records=None, conditions=pd.DataFrame({"number": wanted}))
    assert numbers_and_greys(rows)[0].tolist() == wanted
    assert json.loads((rows / "manifest.json").read_text())["fixed_columns"] == ["number"]


def test_memory_does_not_grow_with_the_number_of_records(synthesise):
    synthesise("warm", num_records=20, block_size=10)
    peaks = []
    for num_records in (100, 1000):
        tracemalloc.start()
        synthesise(str(num_records), num_records=num_records, block_size=50, unpaired=True)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # All images of the longer run are 64 kB; the permutation of the benchmark is 8 bytes a record.
    assert peaks[1] - peaks[0] < 1000 * 64 / 2


def test_generators_and_tables_that_do_not_fit_are_refused(synthesise, tmp_path, monkeypatch):
    class Bare(NumberedRecords):
        def sample(self, num_records, *, conditions=None, seed):
            return super().sample(num_records, seed=seed)[["number"]]

    with pytest.raises(ValueError, match="no latent columns"):
        synthesise(synthesizer=Bare())
    monkeypatch.setattr(GreyImages, "forward", lambda self, z: z * self.one)
    with pytest.raises(ValueError, match=r"must return images \(B, C, S, S\)"):
        synthesise()
    with pytest.raises(ValueError, match="block_size is 0"):
        synthesise(block_size=0)


def test_with_a_real_synthesizer_and_generator(cohort_folder, encoder, generator, tmp_path):
    cohort = read_cohort(cohort_folder)
    table = encode_cohort(cohort, encoder, spatial_size=16)
    IndependentSynthesizer(minimum_patients=2).fit(table, cohort.schema, seed=0).save(tmp_path / "artifact")
    folders = []
    for name in ("one", "two"):
        folders.append(
            synthesise_cohort(
                tmp_path / "artifact", generator, cohort.schema, tmp_path / name, num_records=7, seed=1, block_size=5
            )
        )
    assert digest_folder(folders[0]) == digest_folder(folders[1])
    synthetic = read_cohort(folders[0])
    assert list(synthetic.table.columns) == ["image", "age", "bright"]
    assert np.asarray(Image.open(synthetic.image_paths[0])).shape == (16, 16)


class PlantedImages(torch.nn.Module):
    """The image whose number is the latent: 40 copies of training phantoms, then 160 of other phantoms."""

    def __init__(self, pictures):
        super().__init__()
        self.register_buffer("pictures", torch.from_numpy(pictures).float() / 127.5 - 1)

    def forward(self, z):
        return self.pictures[((z[:, 0] + 1) * 100).round().long()]


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """Return the folder of 40 training phantoms, and 200 pictures of which the first 40 are theirs."""
    root = tmp_path_factory.mktemp("planted")
    folders = [write_phantom_cohort(root / str(seed), 40 * seed**2, seed=seed, spatial_size=32) for seed in (1, 2)]
    paths = [path for folder in folders for path in read_cohort(folder).image_paths]
    return folders[0], np.stack([np.asarray(Image.open(path)) for path in paths])[:, None]


@pytest.fixture
def filtered(synthesise, planted):
    """Return `synthesise` with planted copies and a copy filter."""

    def run(out, **arguments):
        settings = {"num_records": 60, "block_size": 32, "copy_filter": CopyFilter(planted[0], spatial_size=32)}
        return synthesise(out, generator=PlantedImages(planted[1]), **settings | arguments)

    return run


def test_planted_copies_are_rejected_and_counted(filtered, planted):
    open_to_copies, guarded = filtered("open", copy_filter=None), filtered("guarded")
    found = [read_cohort(folder).table["number"].to_numpy(dtype=int) for folder in (open_to_copies, guarded)]
    copied = found[0] < 40
    assert 5 < copied.sum() < 25
    assert (found[1] >= 40).all()
    manifests = [json.loads((folder / "manifest.json").read_text()) for folder in (open_to_copies, guarded)]
    assert manifests[0]["copy_filter"] is None
    # As many as were copies, those drawn in vain again, and a few strangers.
    assert copied.sum() <= manifests[1]["copy_filter"]["rejected"] <= 1.5 * copied.sum() + 10
    assert manifests[1]["copy_filter"]["sensitivity"]["none"] == 1.0
    kept = found[0] == found[1]
    assert kept[~copied].mean() > 0.85, "records that copy nobody stay"
    for row in np.flatnonzero(~kept)[:3]:
        shown = np.asarray(Image.open(read_cohort(guarded).image_paths[row]))
        np.testing.assert_array_equal(shown, planted[1][found[1][row], 0])


def test_rejection_does_not_depend_on_the_number_of_records_and_can_be_resumed(filtered):
    whole, shorter = filtered("whole"), filtered("shorter", num_records=40)
    assert read_cohort(shorter).table["number"].tolist() == read_cohort(whole).table["number"].tolist()[:40]
    assert 0 < _rejected(shorter) < _rejected(whole)
    with pytest.raises(KeyboardInterrupt):
        filtered("resumed", synthesizer=NumberedRecords(3))
    assert digest_folder(filtered("resumed")) == digest_folder(whole)


def test_rejection_does_not_depend_on_it_where_records_are_drawn_together(filtered):
    whole = {"synthesizer": NumberedRecords(together=True), "block_size": 96}
    few, many = (read_cohort(filtered(f"{n}", num_records=n, **whole)).table["number"].tolist() for n in (10, 96))
    assert few == many[:10]


def test_blocks_drawn_without_a_filter_are_not_used_with_one(filtered):
    with pytest.raises(KeyboardInterrupt):
        filtered("resumed", synthesizer=NumberedRecords(1), copy_filter=None)
    assert (read_cohort(filtered("resumed")).table["number"] >= 40).all()


def _rejected(folder):
    return json.loads((folder / "manifest.json").read_text())["copy_filter"]["rejected"]


def test_conditions_stay_with_their_records(filtered):
    class FixedNumbers(NumberedRecords):
        """Draws another latent whatever number is fixed."""

        def sample(self, num_records, *, conditions=None, seed):
            free = super().sample(num_records, seed=seed)
            return free.assign(number=conditions["number"].astype("Int64"))

    wanted = pd.DataFrame({"number": list(range(100, 160))})
    folder = filtered("rows", synthesizer=FixedNumbers(), num_records=None, conditions=wanted)
    assert read_cohort(folder).table["number"].tolist() == wanted["number"].tolist()
    assert _rejected(folder) > 5


def test_records_whose_fixed_values_make_them_copies_are_an_error(filtered, planted):
    impatient = CopyFilter(planted[0], spatial_size=32, max_rounds=2)
    with pytest.raises(RuntimeError, match="32 of 32 records copy training patients after 2 further draws; fix fewer"):
        filtered("copies", conditions={"number": 3}, copy_filter=impatient)


def test_a_filter_and_an_epsilon_do_not_go_together(filtered, tmp_path):
    (tmp_path / "artifact" / "synthesizer.json").write_text(json.dumps({"privacy": {"epsilon": 3}}))
    with pytest.raises(ValueError, match="leave copy_filter out"):
        filtered("private")
    out = filtered("open", copy_filter=None)
    assert json.loads((out / "manifest.json").read_text())["differential_privacy"] == {"epsilon": 3}


KILLED = """
import os, signal, sys
import numpy as np, torch
from monai_hybridsynth.data import RecordSchema
from monai_hybridsynth.networks import AlphaGanGenerator
from monai_hybridsynth.workflows import synthesise_cohort

artifact, out, kill_at = sys.argv[1:]
torch.manual_seed(2)
generator = AlphaGanGenerator(2, 1, 16, latent_dim=6, channels=4)
calls, save = [], np.save

def save_half_and_die(stream, array, **options):
    calls.append(1)
    save(stream, array[: len(array) // 2] if len(calls) == int(kill_at) else array, **options)
    if len(calls) == int(kill_at):
        stream.flush()
        os.kill(os.getpid(), signal.SIGKILL)

np.save = save_half_and_die
schema = RecordSchema.load(artifact + "/schema.json")
synthesise_cohort(artifact, generator, schema, out, num_records=23, seed=1, block_size=5)
"""


@pytest.mark.slow
def test_sigkill_inside_a_block_and_the_same_call_again_end_with_the_same_bytes(
    cohort_folder, encoder, generator, tmp_path
):
    cohort = read_cohort(cohort_folder)
    table = encode_cohort(cohort, encoder, spatial_size=16)
    IndependentSynthesizer(minimum_patients=2).fit(table, cohort.schema, seed=0).save(tmp_path / "artifact")
    cohort.schema.save(tmp_path / "artifact" / "schema.json")
    for kill_at in (3, 2):
        command = [sys.executable, "-c", KILLED, str(tmp_path / "artifact"), str(tmp_path / "resumed"), str(kill_at)]
        done = subprocess.run(command, capture_output=True, timeout=300)
        assert done.returncode == -signal.SIGKILL, done.stderr
    assert len(list((tmp_path / ".resumed.partial").glob("*.npy"))) == 3, "two blocks, then one more"
    folders = [
        synthesise_cohort(
            tmp_path / "artifact", generator, cohort.schema, tmp_path / out, num_records=23, seed=1, block_size=5
        )
        for out in ("whole", "resumed")
    ]
    assert digest_folder(folders[0]) == digest_folder(folders[1])
