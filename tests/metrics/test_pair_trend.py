from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from monai_hybridsynth.metrics import contingency_similarity, correlation_similarity


@pytest.fixture
def numbers():
    rng = np.random.default_rng(0)
    first, second = (rng.normal(size=(rows, 3)) @ rng.normal(size=(3, 3)) for rows in (60, 90))
    first[::7, 0] = np.nan
    second[::5, 2] = np.nan
    return first, second


def test_correlations_agree_with_pandas_on_the_rows_that_have_both(numbers):
    expected = 1 - np.abs(pd.DataFrame(numbers[0]).corr() - pd.DataFrame(numbers[1]).corr()).to_numpy() / 2
    assert correlation_similarity(*numbers) == pytest.approx(expected)


def test_counts_as_weights_are_rows_repeated(numbers):
    counts = np.random.default_rng(1).integers(0, 3, 60)
    weighted = correlation_similarity(*numbers, counts.astype(float), None)
    assert weighted == pytest.approx(correlation_similarity(np.repeat(numbers[0], counts, axis=0), numbers[1]))


def test_a_constant_column_has_no_correlation():
    values = np.column_stack([np.arange(5.0), np.ones(5)])
    similarity = correlation_similarity(values, values)
    assert similarity[0, 0] == pytest.approx(1)
    assert np.isnan(similarity[0, 1])


def indicators(columns: list[list[str]], levels: list[list[str]]) -> tuple[np.ndarray, list[slice]]:
    parts = [
        np.array([[v == level for level in names] for v in column])
        for column, names in zip(columns, levels, strict=True)
    ]
    ends = np.cumsum([part.shape[1] for part in parts])
    return np.hstack(parts).astype(float), [
        slice(int(e - p.shape[1]), int(e)) for e, p in zip(ends, parts, strict=True)
    ]


def test_contingency_agrees_with_a_cross_table():
    levels = [["m", "f"], ["PA", "AP", "LL"]]
    sides = [[["m", "m", "f", "?"], ["PA", "AP", "AP", "LL"]], [["f", "f", "m"], ["LL", "AP", "PA"]]]
    (first, blocks), (second, _) = (indicators(side, levels) for side in sides)
    tables = [
        pd.crosstab(pd.Series(s[0]), pd.Series(s[1]), normalize=False).reindex(levels[0]).fillna(0) for s in sides
    ]
    shares = [(t / t.to_numpy().sum()).reindex(columns=levels[1], fill_value=0).to_numpy() for t in tables]
    expected = 1 - 0.5 * np.abs(shares[0] - shares[1]).sum()
    found = contingency_similarity(first, second, blocks)
    assert found.shape == (2, 2)
    assert found[0, 1] == pytest.approx(expected)
    assert found[1, 0] == pytest.approx(expected)


def test_broken_relation_with_equal_marginals_is_seen():
    levels = [["a", "b"], ["x", "y"]]
    tied, blocks = indicators([["a", "b"] * 10, ["x", "y"] * 10], levels)
    free, _ = indicators([["a", "b"] * 10, ["x", "x", "y", "y"] * 5], levels)
    assert contingency_similarity(tied, free, blocks)[0, 1] == pytest.approx(0.5)
    assert contingency_similarity(tied, free, blocks)[0, 0] == pytest.approx(1.0)


def test_other_columns_are_refused():
    with pytest.raises(ValueError, match="same columns"):
        correlation_similarity(np.zeros((3, 2)), np.zeros((3, 3)))
    with pytest.raises(ValueError, match="same levels"):
        contingency_similarity(np.zeros((3, 2)), np.zeros((3, 3)), [slice(0, 2)])
