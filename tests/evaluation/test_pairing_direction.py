from __future__ import annotations

import pytest

from monai_hybridsynth.evaluation.metric_record import MetricRecord
from monai_hybridsynth.evaluation.pairing_direction import SENTENCES, link_state, pairing_direction, with_directions
from monai_hybridsynth.metrics import Estimate


def agreement(name: str, value: float | None, low: float = 0.0, high: float = 0.0, **dimensions) -> MetricRecord:
    estimate = Estimate(value, low, high, 50) if value is not None else Estimate.absent("no link")
    return MetricRecord.of(
        estimate,
        cohort="c",
        family="correspondence",
        name=name,
        column="age",
        dimensions=dimensions,
        reading="It holds.",
        estimator="made up",
    )


STATES = {
    "kept": (0.95, 0.7, 1.2),
    "weak": (0.5, 0.2, 0.8),
    "lost": (0.05, -0.3, 0.4),
    "exaggerated": (1.6, 1.3, 1.9),
    "open": (0.5, -0.4, 1.4),
}


@pytest.mark.parametrize("state", STATES)
def test_one_interval_says_one_thing(state):
    assert link_state(*STATES[state]) == state


def test_what_is_sure_but_tiny_does_not_matter():
    assert link_state(0.95, 0.92, 0.98) == link_state(1.03, 1.01, 1.05) == "kept"


@pytest.mark.parametrize(
    ("forward", "reverse", "expected"),
    [
        ("kept", "kept", "kept"),
        ("exaggerated", "kept", "kept"),
        ("kept", "exaggerated", "exaggerated"),
        ("weak", "exaggerated", "exaggerated"),
        ("kept", "weak", "blurred"),
        ("kept", "lost", "blurred"),
        ("lost", "lost", "lost"),
        ("weak", "lost", "weakened"),
        ("weak", "weak", "weakened"),
        ("lost", "kept", "narrow"),
        ("open", "kept", "open"),
        ("open", "exaggerated", "exaggerated"),
    ],
)
def test_both_directions_together_name_the_error(forward, reverse, expected):
    pair = agreement("agreement_forward", *STATES[forward]), agreement("agreement_reverse", *STATES[reverse])
    assert pairing_direction(*pair) == expected


def test_the_sentence_stands_in_note_and_reading_of_its_own_pair_only():
    records = [
        agreement("agreement_forward", *STATES["kept"], predictor="linear"),
        agreement("agreement_reverse", *STATES["exaggerated"], predictor="linear"),
        agreement("agreement_forward", *STATES["lost"], predictor="kernel"),
        agreement("agreement_reverse", *STATES["lost"], predictor="kernel"),
        agreement("agreement_forward", None, predictor="other"),
        agreement("agreement_reverse", *STATES["kept"], predictor="other"),
    ]
    found = with_directions(records)
    assert [SENTENCES["exaggerated"] in record.note for record in found] == [True, True, False, False, False, False]
    assert [SENTENCES["lost"] in record.reading for record in found] == [False, False, True, True, False, False]
    assert found[4:] == records[4:]
    assert [record.value for record in found] == [record.value for record in records]
