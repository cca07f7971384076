"""The distance of candidates from fixed columns, against the same written as loops."""

from __future__ import annotations

import numpy as np
import pytest

from monai_hybridsynth.fusion.condition_target import ConditionTarget
from monai_hybridsynth.fusion.conditioning import FixedColumns


def target_of(fitted, conditions) -> ConditionTarget:
    fixed = FixedColumns.read(conditions, fitted.layout_, 5)
    return ConditionTarget(fixed, fitted.spans_, fitted.whitening_, fitted.layout_.latent_names)


def candidates_of(fitted, rng, count=5) -> np.ndarray:
    return fitted._draw(fitted.spans_.free_conditions(count, rng), rng)


def test_cost_counts_categories_that_differ(fitted):
    target = target_of(fitted, {"sex": "F", "view": "AP"})
    chosen = candidates_of(fitted, np.random.default_rng(0))
    values = fitted.spans_.values(chosen)
    expected = [(values["sex"][row] != "F") + (values["view"][row] != "AP") for row in range(5)]
    assert target.cost(np.arange(5), chosen).tolist() == expected


def test_cost_of_numbers_grows_with_distance_and_stays_below_a_category(fitted):
    target = target_of(fitted, {"age": 50.0})
    chosen = np.repeat(candidates_of(fitted, np.random.default_rng(0), 1), 4, axis=0)
    place = [span.name for span in fitted.spans_.spans].index("age")
    chosen[:, place] = [50.0, 50.3, 60.0, 90.0]
    cost = target.cost(np.zeros(4, dtype=int), chosen)
    assert cost[0] == cost[1] == 0
    assert 0 < cost[2] < cost[3] < 1


def test_a_missing_number_is_a_state_only(fitted):
    target = target_of(fitted, {"crp": np.nan})
    chosen = candidates_of(fitted, np.random.default_rng(0), 200)
    missing = fitted.spans_.values(chosen)["crp:state"] == "missing"
    assert missing.any()
    assert (target.cost(np.zeros(200, dtype=int), chosen) == 0).tolist() == missing.tolist()


def test_latents_are_compared_as_the_scores_give_them(fitted):
    target = target_of(fitted, {"latent_000": 1.5, "latent_004": -0.5})
    chosen = candidates_of(fitted, np.random.default_rng(0))
    places = [i for i, span in enumerate(fitted.spans_.spans) if span.name.startswith("score:")]
    whitening = fitted.whitening_
    expected = []
    for row in range(5):
        latents = whitening.mean_ + whitening.mixing_[:, : len(places)] @ chosen[row, places]
        gaps = []
        for number, wanted in ((0, 1.5), (4, -0.5)):
            scale = np.sqrt((whitening.mixing_[number] ** 2).sum() + whitening.residual_[number] ** 2)
            gaps.append((latents[number] - wanted) / scale)
        distance = np.sqrt(np.mean(np.square(gaps)))
        expected.append(0.0 if distance <= 0.05 else 0.99 * distance / (1 + distance))
    assert target.cost(np.arange(5), chosen) == pytest.approx(expected, rel=1e-4)


def test_candidates_start_from_the_rarest_requested_category(fitted):
    target = target_of(fitted, {"sex": "F", "view": "LL"})
    spans = fitted.spans_
    rng = np.random.default_rng(0)
    first, second = (target.start_categories(np.arange(2), turn, rng)[0] for turn in (0, 1))
    assert first == spans.condition_index("view", np.array(["LL"]))[0]
    assert second == spans.condition_index("sex", np.array(["F"]))[0]
