"""Conditioned draws: against a known Gaussian, against selection among free draws, and mixed patterns."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from monai_hybridsynth.data import RecordField, RecordSchema
from monai_hybridsynth.fusion.conditional_draws import ConditionalDraws
from monai_hybridsynth.fusion.conditioning import FixedColumns
from monai_hybridsynth.fusion.gaussian_copula import GaussianCopula
from monai_hybridsynth.fusion.latent_whitening import LatentWhitening
from monai_hybridsynth.fusion.table_layout import TableLayout
from monai_hybridsynth.fusion.underlying_table import underlying_columns

ROWS = 4000
# Variables: age, sex, three for the four values of stage, then two scores.
CORRELATION = np.array(
    [
        [1.0, 0.3, 0.2, 0.0, 0.1, 0.5, 0.0],
        [0.3, 1.0, 0.4, 0.1, 0.0, 0.0, -0.6],
        [0.2, 0.4, 1.0, 0.2, 0.0, 0.3, 0.0],
        [0.0, 0.1, 0.2, 1.0, 0.0, 0.2, 0.3],
        [0.1, 0.0, 0.0, 0.0, 1.0, 0.0, 0.1],
        [0.5, 0.0, 0.3, 0.2, 0.0, 1.0, 0.0],
        [0.0, -0.6, 0.0, 0.3, 0.1, 0.0, 1.0],
    ]
)


@pytest.fixture(scope="module")
def model():
    """Return layout, columns and a whitening of three latents made of two scores and a little noise."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"age": rng.normal(50, 10, 400).round(2), "sex": rng.choice(["F", "M"], 400).astype(object)})
    table["stage"] = rng.choice(["a", "b", "c", "d"], 400, p=[0.4, 0.3, 0.2, 0.1]).astype(object)
    for number in range(3):
        table[f"latent_{number:03d}"] = rng.normal(size=400).astype(np.float32)
    schema = RecordSchema(
        [
            RecordField("age", "number", kind="continuous"),
            RecordField("sex", kind="binary"),
            RecordField("stage", kind="categorical"),
        ]
    )
    layout, flat, _, patients = TableLayout.fit(table, schema, minimum_patients=5)
    values = {name: flat[name].to_numpy() for name in flat}
    columns = underlying_columns(layout.encoder, values, ordinal=set(), weights=np.ones(400), patients=patients)
    mixing = np.array([[2.0, 0.0], [0.0, 1.0], [1.0, -1.0]])
    whitening = LatentWhitening.from_arrays(
        {
            "mean": np.array([1.0, 0.0, 0.0]),
            "mixing": mixing,
            "unmixing": np.zeros((2, 3)),
            "residual": np.full(3, 0.3),
        },
        num_scores=2,
    )
    return layout, columns, whitening


def draw(model, conditions, *, rows: int = ROWS, seed: int = 0) -> np.ndarray:
    layout, columns, whitening = model
    fixed = FixedColumns.read(conditions, layout, rows)
    copula = GaussianCopula(np.zeros(7), CORRELATION)
    draws = ConditionalDraws(copula, columns, whitening, layout.latent_names, fixed)
    return draws.draw(np.arange(rows), np.random.default_rng(seed))


def test_free_draws_have_the_covariance(model):
    drawn = draw(model, None, rows=20000)
    np.testing.assert_allclose(np.cov(drawn.T), CORRELATION, atol=0.04)


def test_a_number_conditions_in_closed_form(model):
    drawn = draw(model, {"age": 62.0})
    z = drawn[0, 0]
    assert (drawn[:, 0] == z).all()
    assert z == pytest.approx(1.2, abs=0.25)
    np.testing.assert_allclose(drawn[:, 1:].mean(0), CORRELATION[0, 1:] * z, atol=0.06)
    left = CORRELATION[1:, 1:] - np.outer(CORRELATION[0, 1:], CORRELATION[0, 1:])
    np.testing.assert_allclose(np.cov(drawn[:, 1:].T), left, atol=0.08)


def test_a_latent_conditions_in_closed_form(model):
    drawn = draw(model, {"latent_000": 3.0})
    slope = 2.0 * CORRELATION[5] / (4.0 + 0.3**2)
    np.testing.assert_allclose(drawn.mean(0), slope * (3.0 - 1.0), atol=0.06)
    assert drawn[:, 5].var() == pytest.approx(1 - 4 / 4.09, abs=0.01)


@pytest.mark.parametrize(
    "conditions", [{"sex": "M"}, {"stage": "c"}, {"sex": "F", "stage": "d"}, {"stage": "b", "latent_001": 1.0}]
)
def test_categories_condition_as_selection_does(model, conditions):
    """Second way: draw freely, keep those that happen to meet the conditions."""
    drawn = draw(model, conditions, seed=1)
    free = draw(model, {name: value for name, value in conditions.items() if name.startswith("latent")}, rows=60000)
    _, columns, _ = model
    met = np.ones(len(free), dtype=bool)
    for column, part in zip(columns, (slice(0, 1), slice(1, 2), slice(2, 5)), strict=True):
        for cohort in (free, drawn):
            values = column.decode(cohort[:, part])[column.name]
            if column.name in conditions and cohort is drawn:
                assert (values == conditions[column.name]).all()
            elif column.name in conditions:
                met &= values == conditions[column.name]
    assert met.sum() > 1000
    np.testing.assert_allclose(drawn.mean(0), free[met].mean(0), atol=0.09)
    np.testing.assert_allclose(drawn.std(0), free[met].std(0), atol=0.06)


def test_every_record_may_ask_for_something_else(model):
    wanted = pd.DataFrame({"sex": ["F", "M"] * 500, "age": np.linspace(35, 65, 1000), "latent_001": [0.5, -0.5] * 500})
    drawn = draw(model, wanted, rows=1000)
    _, columns, _ = model
    assert columns[1].decode(drawn[:, 1:2])["sex"].tolist() == wanted["sex"].tolist()
    assert columns[0].decode(drawn[:, :1])["age"] == pytest.approx(wanted["age"].to_numpy(), abs=0.05)
    assert np.corrcoef(drawn[:, 6], wanted["latent_001"])[0, 1] > 0.8
