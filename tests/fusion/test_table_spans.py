"""Spans: the way into CTGAN's coordinates and back, and the condition vector of every discrete column."""

from __future__ import annotations

import json

import numpy as np
import pytest

from monai_hybridsynth.fusion.table_spans import Span, TableSpans
from monai_hybridsynth.transforms.column_encoding import FlatColumn


@pytest.fixture
def spans() -> TableSpans:
    return TableSpans(
        [
            Span.discrete(FlatColumn("sex", categories=("F", "M"), shares=(0.3, 0.7))),
            Span.mixture("age", np.array([30.0, 70.0]), np.array([5.0, 8.0]), np.array([0.4, 0.6]), lower=0, upper=100),
            Span.discrete(FlatColumn("view", categories=("AP", "PA", "LL"), shares=(0.2, 0.7, 0.1))),
            Span.number("score", mean=1.0, std=2.0, lower=-6.0, upper=8.0, width=4.0),
        ]
    )


def outputs_of(matrix: np.ndarray, spans: TableSpans) -> np.ndarray:
    """Turn encoded rows into generator outputs whose softmax is certain."""
    outputs = matrix * 60.0
    for name in ("age", "score"):
        outputs[:, spans.starts[name]] = np.arctanh(matrix[:, spans.starts[name]])
    return outputs


def test_encoding_comes_back(spans):
    rng = np.random.default_rng(0)
    columns = {
        "sex": rng.choice(["F", "M"], 50).astype(object),
        "age": rng.uniform(15, 95, 50),
        "view": rng.choice(["AP", "PA", "LL"], 50).astype(object),
        "score": rng.uniform(-5, 7, 50),
    }
    matrix = np.concatenate([span.encode(columns[span.name], rng) for span in spans.spans], axis=1)
    assert matrix.shape == (50, spans.size)
    back = spans.values(spans.choose(outputs_of(matrix, spans), rng))
    for name in ("sex", "view"):
        assert back[name].tolist() == columns[name].tolist()
    for name in ("age", "score"):
        np.testing.assert_allclose(back[name], columns[name], atol=1e-6)


def test_modes_are_drawn_by_their_probability():
    span = Span.mixture("x", np.array([0.0, 1.0]), np.array([1.0, 1.0]), np.array([0.5, 0.5]), lower=-9, upper=9)
    encoded = span.encode(np.full(20_000, 0.8), np.random.default_rng(0))
    expected = np.exp(-0.5 * 0.2**2) / (np.exp(-0.5 * 0.2**2) + np.exp(-0.5 * 0.8**2))
    assert encoded[:, 2].mean() == pytest.approx(expected, abs=0.01)


def test_categories_are_drawn_with_softmax_probabilities(spans):
    logits = np.zeros((40_000, spans.size))
    logits[:, spans.starts["view"] : spans.starts["view"] + 3] = np.log([0.2, 0.7, 0.1])
    drawn = spans.values(spans.choose(logits, np.random.default_rng(0)))["view"]
    assert {name: (drawn == name).mean() for name in ("AP", "PA", "LL")} == pytest.approx(
        {"AP": 0.2, "PA": 0.7, "LL": 0.1}, abs=0.01
    )


def test_every_category_has_its_own_place_in_the_condition(spans):
    """Upstream puts every column but the first at the place of the first."""
    places = [spans.condition_index("sex", np.array([v]))[0] for v in ("F", "M")]
    places += [spans.condition_index("view", np.array([v]))[0] for v in ("AP", "PA", "LL")]
    assert places == [0, 1, 2, 3, 4]
    vectors = spans.condition_vectors(np.array([4, -1]))
    assert vectors.tolist() == [[0, 0, 0, 0, 1], [0, 0, 0, 0, 0]]


def test_free_conditions_follow_the_shares(spans):
    index = spans.free_conditions(50_000, np.random.default_rng(0))
    share = np.bincount(index, minlength=5) / len(index)
    assert share.tolist() == pytest.approx([0.15, 0.35, 0.1, 0.35, 0.05], abs=0.01)


def test_json_rebuilds_the_spans(spans):
    again = TableSpans.from_list(json.loads(json.dumps(spans.to_list(), allow_nan=False)))
    assert again.spans == spans.spans
    assert TableSpans.from_list(TableSpans([Span("x", means=(0.0,), stds=(1.0,))]).to_list()).spans[0].upper == np.inf
