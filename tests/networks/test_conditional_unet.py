"""The conditional U-Net: shapes, the condition's two ways in, the unconditional branch, one training step."""

from __future__ import annotations

import pytest
import torch
from monai.inferers import DiffusionInferer
from monai.networks.nets import DiffusionModelUNet
from monai.networks.schedulers import DDIMScheduler

from monai_hybridsynth.networks import ConditionalUNet


class Encoding:
    """Stands in for a fitted encoder of one column and two features."""

    vector_names = ("view=AP", "view=PA")

    def to_dict(self):
        return {"columns": [{"name": "view"}]}


def network(spatial_dims=2, *, cross_attention=False, filled=True):
    """Return a tiny network whose zero-initialised layers are filled, so that a condition can act."""
    torch.manual_seed(0)
    unet = DiffusionModelUNet(
        spatial_dims,
        1,
        1,
        num_res_blocks=1,
        channels=(8, 8),
        attention_levels=(False, True),
        norm_num_groups=4,
        num_head_channels=4,
        with_conditioning=cross_attention,
        cross_attention_dim=6 if cross_attention else None,
    )
    whole = ConditionalUNet(unet, encoder=Encoding(), num_tokens=3)
    if filled:
        for parameter in whole.parameters():
            if not parameter.abs().sum():
                torch.nn.init.normal_(parameter, std=0.1)
    return whole


@pytest.mark.parametrize("cross_attention", [False, True])
@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_shape_condition_and_gradients(spatial_dims, cross_attention):
    whole = network(spatial_dims, cross_attention=cross_attention)
    x = torch.randn(3, 1, *[8] * spatial_dims)
    steps = torch.tensor([0, 500, 999])
    context = torch.tensor([[1.0, 0.0], [0.0, 1.0], [float("nan")] * 2])
    out = whole(x, steps, context)
    assert out.shape == x.shape
    out.square().sum().backward()
    for name, parameter in whole.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0 or name.endswith("to_k.bias"), name


@pytest.mark.parametrize("cross_attention", [False, True])
def test_none_and_nan_are_the_unconditional_branch_and_conditions_act(cross_attention):
    whole = network(cross_attention=cross_attention).eval()
    x, steps = torch.randn(2, 1, 8, 8), torch.tensor([10, 600])
    with torch.no_grad():
        nothing = whole(x, steps)
        mixed = whole(x, steps, torch.tensor([[float("nan")] * 2, [1.0, 0.0]]))
        other = whole(x, steps, torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    torch.testing.assert_close(mixed[0], nothing[0])
    assert (mixed[1] - nothing[1]).abs().max() > 1e-4
    assert (other[1] - mixed[1]).abs().max() > 1e-4


def test_the_embedding_is_added_to_the_time_embedding():
    """A second way: MONAI's own class embedding, holding the rows that our embedding gives."""
    whole = network().eval()
    x, steps, context = torch.randn(2, 1, 8, 8), torch.tensor([10, 600]), torch.eye(2)
    with torch.no_grad():
        expected = whole(x, steps, context)
        whole.unet.class_embedding = torch.nn.Embedding.from_pretrained(whole.embedding(context)[:, 0])
        torch.testing.assert_close(whole.unet(x, steps, class_labels=torch.tensor([0, 1])), expected)


def test_monais_training_inferer_takes_it():
    whole = network(filled=False)
    x, noise, steps = torch.zeros(2, 1, 8, 8), torch.randn(2, 1, 8, 8), torch.tensor([3, 9])
    inferer = DiffusionInferer(DDIMScheduler(10))
    assert inferer(x, whole, noise=noise, timesteps=steps, condition=torch.eye(2)).shape == x.shape


def test_state_dict_round_trip():
    whole, other = network(), network(filled=False)
    other.load_state_dict(whole.state_dict())
    x, steps = torch.randn(1, 1, 8, 8), torch.tensor([4])
    torch.testing.assert_close(other.eval()(x, steps, torch.eye(2)[:1]), whole.eval()(x, steps, torch.eye(2)[:1]))
    assert other.record_encoding == Encoding().to_dict()
    assert other.in_channels == 1
