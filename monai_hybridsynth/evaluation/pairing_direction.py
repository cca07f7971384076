"""In plain words: is a column's link to the image lost, weakened, kept or exaggerated?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from monai_hybridsynth.evaluation.metric_record import MetricRecord

__all__ = ["link_state", "pairing_direction", "with_directions"]

# What lies this near to 1 is no difference that matters, however narrow its interval.
MATERIAL = 0.1
SENTENCES = {
    "kept": "the pairing is kept",
    "lost": "the pairing is lost: as far as can be told, image and row do no better than shuffled ones",
    "blurred": (
        "the pairing is weakened: what synthetic images show of it is right, but they show it less plainly than real "
        "ones (a blur)"
    ),
    "narrow": (
        "the pairing is distorted: real signs are there, but what can be learned from synthetic images carries over to "
        "real ones only in part"
    ),
    "weakened": "the pairing is weakened: part of it is there, in both directions",
    "exaggerated": (
        "the pairing is exaggerated: synthetic images show it more plainly than real ones (a caricature), or they are "
        "copies; read the privacy figures"
    ),
    "open": "too uncertain to say whether the pairing is kept",
}


def link_state(value: float, low: float, high: float) -> str:
    """Return what one agreement and its interval say: lost, weak, kept, exaggerated or open."""
    if low <= 0:
        return "lost" if high < 1 else "open"
    if abs(value - 1) <= MATERIAL or low <= 1 <= high:
        return "kept"
    return "exaggerated" if value > 1 else "weak"


def pairing_direction(forward: MetricRecord, reverse: MetricRecord) -> str:
    """Return the key of :data:`SENTENCES` that both directions together support; empty without values.

    Forward agreement asks whether what synthetic pairs teach holds in real patients; it is blind to how plainly they
    show it. Reverse agreement asks how plainly real signs show in synthetic records; it is blind to false ones.
    """
    states = []
    for record in (forward, reverse):
        if record.value is None or record.low is None or record.high is None:
            return ""
        states.append(link_state(record.value, record.low, record.high))
    there, back = states
    if back == "exaggerated":
        return "exaggerated"
    if "open" in states:
        return "open"
    if there == back == "lost":
        return "lost"
    if there in ("kept", "exaggerated"):
        return "kept" if back == "kept" else "blurred"
    return "narrow" if back == "kept" else "weakened"


def with_directions(records: Sequence[MetricRecord]) -> list[MetricRecord]:
    """Return agreement records with what both directions say together in the note, and at the end of the reading."""
    pairs: dict[tuple, dict[str, MetricRecord]] = {}
    for record in records:
        pairs.setdefault(_key(record), {})[record.name] = record
    result = []
    for record in records:
        pair = pairs[_key(record)]
        found = ""
        if {"agreement_forward", "agreement_reverse"} <= set(pair):
            found = pairing_direction(pair["agreement_forward"], pair["agreement_reverse"])
        if found:
            sentence = SENTENCES[found]
            reading = f"{record.reading} Both directions together: {sentence}."
            record = replace(record, reading=reading, note="; ".join(filter(None, [record.note, sentence])))
        result.append(record)
    return result


def _key(record: MetricRecord) -> tuple:
    return record.cohort, record.column, tuple(sorted(record.dimensions.items(), key=str))
