from __future__ import annotations

import subprocess
import sys
import types

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from monai_hybridsynth.metrics import nearest_neighbour_ratio, nearest_record_distance, nearest_records


@pytest.fixture
def records():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(37, 5, generator=generator), torch.randn(53, 5, generator=generator)


@pytest.mark.parametrize("block", [1, 8, 1000])
def test_agrees_with_scikit_learn_whatever_the_block(records, block):
    candidates, training = records
    distances, indices = nearest_records(candidates, training, num_neighbours=3, block=block)
    expected = NearestNeighbors(n_neighbors=3).fit(training.numpy()).kneighbors(candidates.numpy())
    assert distances.numpy() == pytest.approx(expected[0], abs=1e-6)
    assert (indices.numpy() == expected[1]).all()


def test_a_copy_far_from_the_origin_has_distance_zero():
    training = torch.tensor([[1000.0, 2000.0], [1000.5, 2000.0]])
    assert nearest_record_distance(training[:1].clone(), training).tolist() == [0.0]


def test_known_distance_and_ratio():
    training = torch.tensor([[0.0, 0.0], [4.0, 3.0]])
    assert nearest_record_distance(torch.tensor([[0.0, 3.0]]), training).tolist() == [3.0]
    assert nearest_neighbour_ratio(torch.tensor([[0.0, 3.0]]), training).tolist() == pytest.approx([0.75])
    assert nearest_neighbour_ratio(torch.tensor([[0.0, 0.0]]), training).tolist() == [0.0]


def test_a_training_row_that_occurs_twice_is_no_single_patient():
    training = torch.tensor([[1.0], [1.0], [5.0]])
    assert nearest_neighbour_ratio(torch.tensor([[1.0]]), training).tolist() == [1.0]


def test_likely_mistakes_are_refused(records):
    with pytest.raises(ValueError, match="same fitted RecordEncoder"):
        nearest_record_distance(records[0], records[1][:, :3])
    with pytest.raises(ValueError, match="training has 1 rows"):
        nearest_neighbour_ratio(records[0], records[1][:1])


def crowded(rows: int, *, seed: int, columns: int = 16, spread: float = 1.0, offset: float = 0.0) -> torch.Tensor:
    return (
        torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * spread + offset
    )


@pytest.mark.parametrize(("spread", "offset"), [(1.0, 0.0), (1e-3, 1000.0), (1e-4, 3000.0)])
def test_the_fast_search_is_the_exhaustive_one_even_where_rounding_hides_neighbours(spread, offset):
    """A narrow cloud far from the origin: without centring, single precision could not tell one from another."""
    training = crowded(900, seed=0, spread=spread, offset=offset)
    candidates = torch.cat([crowded(200, seed=1, spread=spread, offset=offset), training[300:320]])
    found = nearest_records(candidates, training, num_neighbours=4, block=64)
    exact = torch.cdist(candidates.double(), training.double(), compute_mode="donot_use_mm_for_euclid_dist")
    expected = exact.topk(4, largest=False)
    torch.testing.assert_close(found[0], expected.values, rtol=1e-9, atol=0)
    assert (found[1] == expected.indices).float().mean() > 0.999
    assert (found[0][200:, 0] == 0).all()


def test_one_far_outlier_does_not_blur_the_rest():
    training = crowded(800, seed=2)
    training[0] = 1e5
    candidates = crowded(100, seed=3)
    exact = torch.cdist(candidates.double(), training.double(), compute_mode="donot_use_mm_for_euclid_dist")
    found = nearest_records(candidates, training, num_neighbours=2)
    torch.testing.assert_close(found[0], exact.topk(2, largest=False).values, rtol=1e-9, atol=0)


def test_rows_that_repeat_are_found_as_often_as_asked():
    """Tables of few levels: hundreds of training rows at one distance."""
    levels = torch.randint(0, 2, (1000, 5), generator=torch.Generator().manual_seed(4)).double()
    found = nearest_records(levels[:50], levels, num_neighbours=3)
    assert (found[0] == 0).all()
    assert all(len(set(row)) == 3 for row in found[1].tolist())
    distances = nearest_records(levels[:50] + 0.25, levels, num_neighbours=3)[0]
    exact = torch.cdist(levels[:50] + 0.25, levels).topk(3, largest=False).values
    torch.testing.assert_close(distances, exact)


class FlatIndex:
    """What faiss does, in numpy."""

    def __init__(self, width: int) -> None:
        self.rows = np.zeros((0, width), dtype=np.float32)

    def add(self, rows: np.ndarray) -> None:
        self.rows = rows

    def search(self, queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        squares = ((queries[:, None] - self.rows[None]) ** 2).sum(-1)
        order = np.argsort(squares, axis=1)[:, :count]
        return np.take_along_axis(squares, order, 1), order


def test_faiss_gives_the_same_neighbours(monkeypatch):
    faiss = types.ModuleType("faiss")
    faiss.IndexFlatL2 = FlatIndex
    faiss.__spec__ = types.SimpleNamespace()
    monkeypatch.setitem(sys.modules, "faiss", faiss)
    candidates, training = crowded(40, seed=5), crowded(300, seed=6)
    ours = nearest_records(candidates, training, num_neighbours=3, backend="torch")
    theirs = nearest_records(candidates, training, num_neighbours=3, backend="faiss")
    assert (ours[1] == theirs[1]).all()
    torch.testing.assert_close(ours[0], theirs[0])


def test_the_extra_of_faiss_is_named(monkeypatch, records):
    monkeypatch.setitem(sys.modules, "faiss", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"monai-hybridsynth\[search\]"):
        nearest_records(*records, backend="faiss")
    with pytest.raises(ValueError, match="must be one of"):
        nearest_records(*records, backend="annoy")


MEASURED = """
import resource, torch
torch.set_num_threads(1)
from monai_hybridsynth.metrics.nearest_record_distance import nearest_records
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
made = [torch.randn(10_000, 16, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)]
nearest_records(made[0][:600], made[1][:2500], block=512)
before = peak()
nearest_records(*made, num_neighbours=2, block=512)
print(peak() - before)
"""


def test_memory_does_not_grow_with_the_number_of_pairs():
    """All pairs of 10,000 rows would take 400 MB in single precision."""
    done = subprocess.run([sys.executable, "-c", MEASURED], capture_output=True, check=True, text=True)
    assert float(done.stdout) < 60
