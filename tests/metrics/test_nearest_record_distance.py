from __future__ import annotations

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
