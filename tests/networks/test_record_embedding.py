"""The embedding of a clinical row: null where there is none, its encoding inside the weights, others refused."""

from __future__ import annotations

import copy

import pytest
import torch

from monai_hybridsynth.networks import RecordEmbedding


class Encoding:
    """Stands in for a fitted encoder of two columns and three features."""

    vector_names = ("age", "sex=F", "sex=M")

    def __init__(self, upper=90, names=("age", "sex")):
        self.content = {"columns": [{"name": names[0], "upper": upper}, {"name": names[1]}]}

    def to_dict(self):
        return self.content


def embedding(**changes):
    torch.manual_seed(0)
    return RecordEmbedding(8, encoder=Encoding(**changes), num_tokens=2)


def test_a_row_of_nan_gets_the_null_embedding_and_the_others_their_own():
    network = embedding()
    rows = torch.tensor([[0.5, 1.0, 0.0], [float("nan")] * 3, [-0.5, 0.0, 1.0]])
    out = network(rows)
    assert out.shape == (3, 2, 8)
    assert torch.equal(out[1].flatten(), network.null)
    by_hand = network.layers[2](torch.nn.functional.silu(rows[0] @ network.layers[0].weight.T + network.layers[0].bias))
    torch.testing.assert_close(out[0].flatten(), by_hand)
    assert torch.equal(network(network.unconditional(rows))[0], out[1])


def test_gradients_reach_every_parameter_and_stay_finite_beside_a_dropped_row():
    network = embedding()
    network(torch.tensor([[0.5, 1.0, 0.0], [float("nan")] * 3])).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_a_row_that_is_nan_in_part_is_not_taken_for_none():
    assert embedding()(torch.tensor([[float("nan"), 1.0, 0.0]])).isnan().any()


def test_the_encoding_comes_back_from_a_file_that_runs_no_code(tmp_path):
    network = embedding()
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    state = torch.load(tmp_path / "weights.pt", weights_only=True)
    other = embedding()
    torch.nn.init.zeros_(other.null)
    other.load_state_dict(state)
    assert other.encoding == Encoding().to_dict()
    assert other.column_names == ["age", "sex"]
    assert torch.equal(other.null, network.null)
    assert copy.deepcopy(network).half().encoding == network.encoding, "the bytes survive a change of precision"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"upper": 80}, r"other ranges or categories: \['age'\]"),
        ({"names": ("age", "gender")}, r"only in the weights: \['sex'\]; columns only in this network: \['gender'\]"),
        ({"names": ("sex", "age")}, "age"),
    ],
)
def test_weights_of_another_encoding_are_refused_by_name(changes, named):
    with pytest.raises(ValueError, match=named):
        embedding(**changes).load_state_dict(embedding().state_dict())


def test_rows_of_another_length_are_refused_by_name():
    with pytest.raises(ValueError, match=r"\(2, 4\), expected \(B, 3\).*'age', 'sex'"):
        embedding()(torch.zeros(2, 4))


def test_without_an_encoder_every_image_is_unconditional():
    network = RecordEmbedding(8)
    out = network(network.unconditional(torch.zeros(2, 1, 4, 4)))
    assert torch.equal(out, network.null.expand(2, 1, 8))
