"""Random numbers of the phantom's records: one stream per patient, handed out column by column."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["RecordDraws", "sigmoid"]

MAX_VISITS = 6
_VISIT_SHARES = (0.70, 0.15, 0.07, 0.04, 0.025, 0.015)
_PATIENT_DRAWS = 96
_VISIT_DRAWS = 128


class RecordDraws:
    """Standard normal and uniform numbers of every record, handed out column by column.

    Each patient owns a stream seeded by ``(seed, patient number)``. A longer cohort therefore begins with the
    shorter one, and no patient of one seed occurs under another.
    """

    def __init__(self, num_records: int, *, seed: int) -> None:
        patient_normal, patient_uniform, visit_normal, visit_uniform = [], [], [], []
        self.patient: list[int] = []
        self.visit: list[int] = []
        index = 0
        while len(self.patient) < num_records:
            rng = np.random.default_rng([seed, index])
            visits = 1 + int(rng.choice(MAX_VISITS, p=_VISIT_SHARES))
            normal, uniform = rng.standard_normal(_PATIENT_DRAWS), rng.random(_PATIENT_DRAWS)
            patient_normal += [normal] * visits
            patient_uniform += [uniform] * visits
            visit_normal.append(rng.standard_normal((visits, _VISIT_DRAWS)))
            visit_uniform.append(rng.random((visits, _VISIT_DRAWS)))
            self.patient += [index] * visits
            self.visit += range(visits)
            index += 1
        del self.patient[num_records:], self.visit[num_records:]
        self._streams = {
            "patient_normal": np.stack(patient_normal)[:num_records],
            "patient_uniform": np.stack(patient_uniform)[:num_records],
            "visit_normal": np.concatenate(visit_normal)[:num_records],
            "visit_uniform": np.concatenate(visit_uniform)[:num_records],
        }
        self._next = dict.fromkeys(self._streams, 0)

    def take(self, stream: str) -> np.ndarray:
        """Return the next unused column of a stream, shape ``(records,)``."""
        column = self._next[stream]
        self._next[stream] += 1
        return self._streams[stream][:, column]

    def choose(self, stream: str, options: dict[str, Any]) -> np.ndarray:
        """Draw one option per record from unnormalised log probabilities, ``(records,)`` objects."""
        uniform = self.take(stream)
        logits = np.stack(
            [np.broadcast_to(np.asarray(value, dtype=float), uniform.shape) for value in options.values()]
        )
        shares = np.exp(logits - logits.max(axis=0))
        above = np.cumsum(shares / shares.sum(axis=0), axis=0) < uniform
        return np.array(list(options), dtype=object)[np.minimum(above.sum(axis=0), len(options) - 1)]


def sigmoid(values: Any) -> np.ndarray:
    """Return the logistic function."""
    return 1.0 / (1.0 + np.exp(-np.asarray(values, dtype=float)))
