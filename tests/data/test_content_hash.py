"""Equal content gives equal digests, and every kind of change gives another one."""

from __future__ import annotations

import hashlib
import subprocess

import pytest
import torch

from monai_hybridsynth.data.content_hash import digest_file, digest_folder, digest_network, digest_settings


def test_a_file_is_digested_as_by_the_system_tool(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(bytes(range(256)) * 5000)
    expected = subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True).stdout.split()[0]
    assert digest_file(path) == expected


def test_a_folder_changes_with_names_and_bytes_and_not_with_its_place(tmp_path):
    digests = []
    for place, name, text in (("one", "x", "1"), ("two", "x", "1"), ("three", "y", "1"), ("four", "x", "2")):
        (tmp_path / place / "sub").mkdir(parents=True)
        (tmp_path / place / "sub" / name).write_text(text)
        digests.append(digest_folder(tmp_path / place))
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        digest_folder(tmp_path / "five")


def test_a_network_changes_with_one_weight_one_buffer_and_its_structure():
    def build(slope=0.2):
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3), torch.nn.LeakyReLU(slope))

    digest = digest_network(build())
    assert digest == digest_network(build())
    assert digest != digest_network(build(slope=0.3))
    changed = build()
    changed[1].running_mean[1] += 1e-6
    assert digest != digest_network(changed)
    assert digest != digest_network(build().double())
    assert digest_network(build().to(torch.bfloat16))


def test_settings_are_digested_whatever_the_order_of_keys():
    assert digest_settings({"a": 1, "b": [2]}) == digest_settings({"b": [2], "a": 1})
    assert digest_settings({"a": 1}) == hashlib.sha256(b'{"a": 1}').hexdigest()
    with pytest.raises(TypeError):
        digest_settings({"a": torch.zeros(1)})
