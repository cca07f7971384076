"""Cuts of normal variables: what is decoded from inside a value's region is the value again, and shares are met."""

from __future__ import annotations

import numpy as np
import pytest

from monai_hybridsynth.fusion.gaussian_copula import truncated_normal
from monai_hybridsynth.fusion.number_margin import NumberMargin
from monai_hybridsynth.fusion.underlying_columns import (
    Region,
    UnderlyingChoice,
    UnderlyingLabels,
    UnderlyingNumber,
    UnderlyingSteps,
    normal_score,
)

CHOICE = UnderlyingChoice("view", False, [-0.2, 0.3], categories=("PA", "AP", "LL"), shares=(0.5, 0.3, 0.2))
STEPS = UnderlyingSteps("grade", True, [1.0], categories=("low", "mid", "high"), cuts=(-0.5, 0.5))
NUMBER = UnderlyingNumber(
    "crp",
    True,
    [0.8],
    below=0.1,
    above=0.2,
    state=("above", "below", "missing", "value"),
    margin=NumberMargin([0.0, 0.5, 1.0], [0.0, 20.0, 100.0], 0.01),
)
LABELS = UnderlyingLabels(
    "findings",
    True,
    [1.5, 0.0, 0.4, 0.8],
    labels=("None", "Mass", "Effusion"),
    shares=(0.45, 0.3, 0.2),
    exclusive=("None",),
    always_one=True,
)


def flat_rows(column) -> dict[str, np.ndarray]:
    """Return every value the column can have."""
    values = {
        "view": {"view": ["PA", "AP", "LL"]},
        "grade": {"grade": ["low", "mid", "high", "<missing>"]},
        "crp": {"crp": [20.0, 0.0, 100.0, 50.0], "crp:state": ["value", "below", "above", "missing"]},
        "findings": {
            "findings=None": ["yes", "no", "no", "no", "no"],
            "findings=Mass": ["no", "yes", "no", "yes", "no"],
            "findings=Effusion": ["no", "no", "yes", "yes", "no"],
            "findings:state": ["value", "value", "value", "value", "missing"],
        },
    }[column.name]
    return {
        name: np.array(found, dtype=object if isinstance(found[0], str) else float) for name, found in values.items()
    }


@pytest.mark.parametrize("column", [CHOICE, STEPS, NUMBER, LABELS], ids=lambda column: column.kind)
@pytest.mark.parametrize("fitting", [True, False])
def test_a_value_comes_back_from_its_region(column, fitting):
    flat, rng = flat_rows(column), np.random.default_rng(0)
    rows = len(next(iter(flat.values())))
    region = column.region(flat, fitting=fitting)
    assert region.lower.shape == (rows, column.size)
    assert len(column.is_number) == column.size
    for _ in range(20):
        z = truncated_normal(np.zeros(region.lower.shape), 1.0, region.lower, region.upper, rng)
        back = column.decode(z)
        for name, values in flat.items():
            if name == "crp":
                assert back[name][0] == pytest.approx(20.0)
            elif name == "findings:state" or not name.startswith("findings"):
                assert back[name].tolist() == values.tolist()
            else:
                assert back[name][:4].tolist() == values[:4].tolist()


def test_regions_of_a_choice_part_the_whole_space():
    z = np.random.default_rng(0).standard_normal((500, 2))
    region = CHOICE.region(flat_rows(CHOICE))
    inside = ((z[:, None] > region.lower) & (z[:, None] < region.upper)).all(axis=2)
    assert (inside.sum(axis=1) == 1).all()
    assert np.array(CHOICE.categories)[inside.argmax(axis=1)].tolist() == CHOICE.decode(z)["view"].tolist()


def test_calibration_meets_the_shares_under_any_correlation():
    rng = np.random.default_rng(0)
    for column in (CHOICE, LABELS):
        covariance = 0.6 + 0.4 * np.eye(column.size)
        z = rng.multivariate_normal(np.zeros(column.size), covariance, 20000)
        column.calibrate(z)
        flat = column.decode(rng.multivariate_normal(np.zeros(column.size), covariance, 20000))
        if column is CHOICE:
            found = [np.mean(flat["view"] == category) for category in column.categories]
        else:
            found = [np.mean(flat[f"findings={label}"] == "yes") for label in column.labels]
            known = flat["findings:state"] == "value"
            some = np.any([flat[f"findings={label}"] == "yes" for label in column.labels], axis=0)
            assert (some == known).all(), "rows always have a label"
            other = (flat["findings=Mass"] == "yes") | (flat["findings=Effusion"] == "yes")
            assert not (other & (flat["findings=None"] == "yes")).any(), "an exclusive label stands alone"
        assert found == pytest.approx(column.shares, abs=0.015)


def test_a_detection_limit_cuts_off_an_end():
    z = np.random.default_rng(0).standard_normal((20000, 2))
    state = NUMBER.decode(z)["crp:state"]
    seen = state != "missing"
    assert np.mean(state[seen] == "below") == pytest.approx(0.1, abs=0.01)
    assert np.mean(state[seen] == "above") == pytest.approx(0.2, abs=0.01)
    assert np.mean(~seen) == pytest.approx(1 - 0.788, abs=0.01)
    region = NUMBER.region(flat_rows(NUMBER))
    assert region.upper[1, 1] == pytest.approx(normal_score(0.1))
    assert region.lower[2, 1] == pytest.approx(normal_score(0.8))
    assert np.isinf(region.lower[3, 1])
    assert np.isinf(region.upper[3, 1])


def test_nothing_asked_is_no_restriction():
    free = Region.free(3, 2)
    assert np.isneginf(free.lower).all()
    assert np.isposinf(free.upper).all()


def test_labels_show_alike_and_against_those_that_stand_alone():
    assert np.array_equal(LABELS.shared, [[1, 0], [0, -1], [0, 1], [0, 1]])
    assert np.array_equal(NUMBER.shared, np.eye(2))
    assert np.array_equal(UnderlyingLabels("none", True, [0.0]).shared, np.eye(1))
