"""Cohorts in blocks: order, notes, a kill at any block, pairing broken on request. Its parts: `CohortSynthesis`."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from monai_hybridsynth.data import RecordField, RecordSchema, digest_folder, digest_settings, read_cohort
from monai_hybridsynth.workflows.blockwise_synthesis import BlockwiseSynthesis, package_versions

SCHEMA = RecordSchema([RecordField("image", role="image"), RecordField("age", "number", kind="continuous")])


class Counting(BlockwiseSynthesis):
    """Numbers its records: age i beside an image of grey i."""

    stops_at = -1

    def manifest(self):
        return {"seed": self.seed, "request_sha256": digest_settings([self.seed, len(self.dataset), self.unpaired])}

    def draw_block(self, number):
        if number == self.stops_at:
            raise KeyboardInterrupt
        first = number * self.block_size
        values = np.arange(first, first + self.block_size)
        images = np.broadcast_to(values.astype(np.uint8)[:, None, None, None], (len(values), 1, 4, 4))
        return pd.DataFrame({"age": values.astype(float)}), images, number

    def closing(self, notes):
        return {"blocks": notes}


def greys(folder):
    from PIL import Image

    return [int(np.asarray(Image.open(path)).mean()) for path in read_cohort(folder).image_paths]


def test_blocks_become_one_cohort(tmp_path):
    out = Counting(range(10), SCHEMA, tmp_path / "out", seed=0, block_size=4).run()
    assert read_cohort(out).table["age"].tolist() == list(range(10)) == greys(out)
    assert json.loads((out / "manifest.json").read_text())["blocks"] == [0, 1, 2]


def test_a_kill_changes_nothing(tmp_path):
    whole = Counting(range(10), SCHEMA, tmp_path / "whole", seed=0, block_size=4).run()
    killed = Counting(range(10), SCHEMA, tmp_path / "killed", seed=0, block_size=4)
    killed.stops_at = 2
    with pytest.raises(KeyboardInterrupt):
        killed.run()
    assert not (tmp_path / "killed").exists()
    rest = Counting(range(10), SCHEMA, tmp_path / "killed", seed=0, block_size=4)
    rest.stops_at = 0  # it is there already
    assert digest_folder(rest.run()) == digest_folder(whole)


def test_unpaired_gives_every_row_another_image(tmp_path):
    out = Counting(range(10), SCHEMA, tmp_path / "out", seed=0, block_size=4, unpaired=True).run()
    assert sorted(greys(out)) == list(range(10))
    assert all(grey != age for grey, age in zip(greys(out), read_cohort(out).table["age"], strict=True))


def test_another_folder_is_not_replaced(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "letter.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="no synthetic cohort"):
        Counting(range(3), SCHEMA, tmp_path / "out", seed=0).run()
    with pytest.raises(ValueError, match="block_size is 0"):
        Counting(range(3), SCHEMA, tmp_path / "out", seed=0, block_size=0)


def test_versions_of_what_is_not_there():
    assert package_versions("torch", "no-such-package-anywhere")["no-such-package-anywhere"] is None
