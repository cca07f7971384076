"""Two processes on one machine: each does its share, both see everything, and the result is that of one process."""

from __future__ import annotations

import socket
import subprocess
import sys

import numpy as np
import pytest

from monai_hybridsynth.data import read_cohort
from monai_hybridsynth.workflows import encode_cohort
from monai_hybridsynth.workflows.process_rank import barrier, gather_objects, process_rank, world_size

PROGRAM = """
import sys
import numpy as np, torch
from monai_hybridsynth.data import read_cohort
from monai_hybridsynth.networks import AlphaGanEncoder
from monai_hybridsynth.workflows import encode_cohort
from monai_hybridsynth.workflows.process_rank import barrier, gather_objects, process_rank, world_size

cohort, cache, out, rank, port = sys.argv[1:]
torch.distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=int(rank), world_size=2)
assert gather_objects(process_rank()) == [0, 1] and world_size() == 2
torch.manual_seed(1)
encoder = AlphaGanEncoder(2, 1, 16, latent_dim=6, channels=4)
seen = []
encoder.register_forward_hook(lambda module, args, output: seen.append(len(args[0])))
table = encode_cohort(read_cohort(cohort), encoder, spatial_size=16, batch_size=4, cache_dir=cache)
assert seen == [[4, 3], [4]][process_rank()], seen
np.save(f"{out}/{rank}.npy", table.filter(like="latent_").to_numpy())
barrier()
torch.distributed.destroy_process_group()
"""


def test_one_process_is_rank_zero_of_one():
    assert (process_rank(), world_size(), gather_objects("a")) == (0, 1, ["a"])
    barrier()


@pytest.mark.slow
def test_two_processes_share_the_work_and_agree_to_the_bit(cohort_folder, encoder, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    command = [sys.executable, "-c", PROGRAM, str(cohort_folder), str(tmp_path / "cache"), str(tmp_path)]
    processes = [subprocess.Popen([*command, str(rank), port]) for rank in range(2)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    alone = encode_cohort(read_cohort(cohort_folder), encoder, spatial_size=16, batch_size=4)
    for rank in range(2):
        np.testing.assert_array_equal(np.load(tmp_path / f"{rank}.npy"), alone.filter(like="latent_").to_numpy())
