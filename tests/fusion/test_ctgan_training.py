"""The hooks into the ctgan package: rows by weight, the right rows, and a generator without its table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from monai_hybridsynth.fusion.ctgan_training import (
    SpanTransformer,
    build_generator,
    fit_modes,
    patient_sampler_class,
    train_generator,
)
from monai_hybridsynth.fusion.table_spans import Span, TableSpans
from monai_hybridsynth.transforms.column_encoding import FlatColumn

OPTIONS = {
    "embedding_dim": 4,
    "generator_dim": (8,),
    "discriminator_dim": (8,),
    "batch_size": 20,
    "epochs": 2,
    "pac": 2,
    "verbose": False,
    "enable_gpu": False,
}


@pytest.fixture
def spans() -> TableSpans:
    return TableSpans(
        [
            Span.discrete(FlatColumn("sex", categories=("F", "M"), shares=(0.5, 0.5))),
            Span.number("score", mean=0.0, std=1.0, lower=-4.0, upper=4.0, width=4.0),
            Span.discrete(FlatColumn("view", categories=("AP", "PA"), shares=(0.5, 0.5))),
        ]
    )


@pytest.fixture
def matrix() -> np.ndarray:
    rng = np.random.default_rng(0)
    sex, view = rng.integers(2, size=40), rng.integers(2, size=40)
    return np.column_stack([np.eye(2)[sex], np.arange(40) / 40, np.eye(2)[view]])


def sampler_of(matrix, spans, weights, *, log_frequency=False):
    from ctgan.data_sampler import DataSampler

    made = DataSampler(matrix, SpanTransformer(spans, matrix).output_info_list, log_frequency)
    made.__class__ = patient_sampler_class()
    return made.weigh(weights, log_frequency)


def test_rows_are_drawn_by_weight_among_those_with_the_category(spans, matrix):
    weights = np.ones(40)
    weights[:10] = 0.1
    made = sampler_of(matrix, spans, weights)
    column, category = np.ones(20_000, dtype=int), np.zeros(20_000, dtype=int)
    drawn = made.sample_data(matrix, 20_000, column, category)
    assert (drawn[:, 3] == 1).all(), "column 1 is the view, category 0 is AP"
    rows = np.round(drawn[:, 2] * 40).astype(int)
    share = np.bincount(rows, minlength=40) / len(rows)
    expected = weights * matrix[:, 3]
    np.testing.assert_allclose(share, expected / expected.sum(), atol=0.01)
    free = np.round(made.sample_data(matrix, 20_000, None, None)[:, 2] * 40).astype(int)
    np.testing.assert_allclose(np.bincount(free, minlength=40) / 20_000, weights / weights.sum(), atol=0.01)


def test_category_shares_count_by_weight(spans, matrix):
    weights = np.where(matrix[:, 0] == 1, 3.0, 1.0)
    made = sampler_of(matrix, spans, weights)
    total = {value: weights[matrix[:, value] == 1].sum() for value in (0, 1)}
    assert made._discrete_column_category_prob[0, 0] == pytest.approx(total[0] / (total[0] + total[1]))


def test_equal_weights_leave_upstreams_shares(spans, matrix):
    from ctgan.data_sampler import DataSampler

    theirs = DataSampler(matrix, SpanTransformer(spans, matrix).output_info_list, True)
    ours = sampler_of(matrix, spans, np.ones(40), log_frequency=True)
    np.testing.assert_allclose(ours._discrete_column_category_prob, theirs._discrete_column_category_prob)


def test_training_returns_the_generator_alone(spans, matrix):
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    made = [train_generator(spans, matrix, np.ones(40), seed=seed, options=OPTIONS) for seed in (0, 0, 1)]
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    states = [module.state_dict() for module in made]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not all(torch.equal(states[0][name], states[2][name]) for name in states[0])
    assert not made[0].training
    empty = build_generator(spans, embedding_dim=4, generator_dim=[8])
    empty.load_state_dict(states[0])
    inputs = torch.randn(5, 4 + spans.num_categories, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(empty(inputs), made[0](inputs))


def test_the_average_follows_the_recursion_over_training_steps(spans, matrix):
    one_step = OPTIONS | {"batch_size": 40}

    def trained(epochs, decay):
        made = train_generator(
            spans, matrix, np.ones(40), seed=0, options=one_step | {"epochs": epochs}, average_decay=decay
        )
        return [value.detach() for value in made.parameters()]

    steps = [trained(epochs, 0.0) for epochs in (1, 2, 3)]  # one seed: a longer training begins with the shorter one
    expected = steps[0]
    for count, weights in enumerate(steps, start=1):
        decay = min(0.25, (1 + count) / (10 + count))
        expected = [decay * old + (1 - decay) * new for old, new in zip(expected, weights, strict=True)]
    for mean, wanted, last in zip(trained(3, 0.25), expected, steps[-1], strict=True):
        torch.testing.assert_close(mean, wanted)
        assert not torch.equal(mean, last)


def test_batch_norm_is_calibrated_on_the_generators_own_samples(spans, matrix):
    made = train_generator(spans, matrix, np.ones(40), seed=0, options=OPTIONS | {"epochs": 30})
    rng = np.random.default_rng(5)
    noise = torch.from_numpy(rng.standard_normal((20_000, 4), dtype=np.float32))
    inputs = torch.cat([noise, spans.condition_vectors(spans.free_conditions(20_000, rng))], dim=1)
    layer = made.seq[0]
    with torch.no_grad():
        seen = layer.fc(inputs)
    torch.testing.assert_close(layer.bn.running_mean, seen.mean(0), atol=0.05, rtol=0.1)
    torch.testing.assert_close(layer.bn.running_var, seen.var(0), atol=0.05, rtol=0.1)


def test_modes_are_those_of_the_mixture():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(-5, 0.5, 200), rng.normal(5, 1.0, 400)])
    means, stds, shares = fit_modes(pd.Series(values, name="x"), max_clusters=2, weight_threshold=0.02)
    order = np.argsort(means)
    assert means[order] == pytest.approx([-5, 5], abs=0.3)
    assert stds[order] == pytest.approx([0.5, 1.0], abs=0.3)
    assert shares[order] == pytest.approx([1 / 3, 2 / 3], abs=0.05)


def test_a_mode_of_few_rows_is_dropped():
    values = np.concatenate([np.random.default_rng(0).normal(0, 1, 300), [80.0, 80.1]])
    means, _, _ = fit_modes(pd.Series(values, name="x"), max_clusters=4, weight_threshold=0.02)
    assert np.abs(means).max() < 5
