"""Clinical rows as conditions of a network: what it did not learn is refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from .column_encoding import CategoryColumn, LabelColumn, NumericColumn, label_sets
from .record_encoding import RecordEncoder

__all__ = ["RecordCondition", "read_record_encoder", "unlearned_values"]

_STORED = "embedding.columns"
_MOST_NAMED = 5


class RecordCondition:
    """Encode rows for a network, with the encoding that travels in its weights.

    Args:
        encoding: ``record_encoding`` of the network.
        on_unlearned: what to do with values that were not learned. ``"error"`` refuses them by name; ``"replace"`` does
            what training did: numbers are clipped to the range, rare categories become missing or the most frequent
            one.

    Raises:
        ValueError: if ``on_unlearned`` is something else.
    """

    def __init__(self, encoding: dict[str, Any], *, on_unlearned: str = "error") -> None:
        if on_unlearned not in ("error", "replace"):
            raise ValueError(f"on_unlearned is {on_unlearned!r}; choose 'error' or 'replace'.")
        self.encoder = RecordEncoder.from_dict(encoding)
        self.on_unlearned = on_unlearned

    def __call__(self, table: pd.DataFrame) -> torch.Tensor:
        """Return conditions, float32 ``(rows, num_features)``.

        Args:
            table: parsed rows with every column that was learned; other columns are ignored.

        Raises:
            ValueError: if columns are absent, or values were not learned and ``on_unlearned`` is ``"error"``.
        """
        absent = [name for name in self.encoder.names if name not in table.columns]
        if absent:
            raise ValueError(
                f"the condition lacks the columns {absent}; the weights were trained on {self.encoder.names}."
            )
        wrong = unlearned_values(self.encoder, table) if self.on_unlearned == "error" else {}
        if wrong:
            listed = "; ".join(f"{name!r}: {what}" for name, what in wrong.items())
            raise ValueError(
                f"the condition has values that the weights did not learn: {listed}. Correct them, or set "
                "on_unlearned to 'replace' to have them clipped to the range or set to a learned category."
            )
        return torch.from_numpy(self.encoder.transform(table))

    def told(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the rows as the network is told them: what ``on_unlearned="replace"`` replaces is replaced."""
        return self.encoder.unflatten(self.encoder.flatten(table))


def read_record_encoder(weights: str | Path) -> RecordEncoder | None:
    """Return the encoding that a file of weights carries; None where there is no file or no encoding in it.

    Args:
        weights: a state dict that loads with ``weights_only=True``, of a network with a ``RecordEmbedding``.
    """
    if not Path(weights).is_file():
        return None
    state = torch.load(weights, map_location="cpu", weights_only=True, mmap=True)
    stored = next((value for name, value in state.items() if name.endswith(_STORED)), None)
    if stored is None:
        return None
    return RecordEncoder.from_dict(json.loads(bytes(stored.tolist())))


def unlearned_values(encoder: RecordEncoder, table: pd.DataFrame) -> dict[str, str]:
    """Say for each column which values of a table are outside what an encoder learned, and what it learned.

    Args:
        encoder: fitted.
        table: parsed rows with every column of the encoder.
    """
    wrong = {name: _unlearned(encoder.column(name), table[name]) for name in encoder.names}
    return {name: what for name, what in wrong.items() if what}


def _unlearned(column: NumericColumn | CategoryColumn | LabelColumn, values: pd.Series) -> str:
    """Describe the values of one column that were not learned; empty where there are none."""
    missing = values.isna()
    if isinstance(column, NumericColumn):
        number = column.flats[0]
        raw = pd.to_numeric(values, errors="raise").astype("Float64").to_numpy(dtype=float, na_value=np.nan)
        with np.errstate(invalid="ignore"):
            outside = np.isfinite(raw) & ((raw < number.lower) | (raw > number.upper))
        for limit, state in ((-np.inf, "below"), (np.inf, "above")):
            outside |= (raw == limit) & (state not in column.states)
        known, can_miss = f"from {number.lower:g} to {number.upper:g}", "missing" in column.states
        found = [f"{value:g}" for value in np.unique(raw[outside])]
    elif isinstance(column, CategoryColumn):
        categories = column.flats[0].categories or ()
        known, can_miss = f"one of {[c for c in categories if c != '<missing>']}", "<missing>" in categories
        found = sorted({str(value) for value in values[~missing]} - set(categories))
    else:
        known, can_miss = f"any of {list(column.labels)}", "missing" in (column.flats[-1].categories or ())
        sets = label_sets(values, column.separator)
        found = sorted(frozenset().union(*[labels for labels in sets if labels]) - set(column.labels))
    if missing.any() and not can_miss:
        found = [*found, "a missing value"]
    if not found:
        return ""
    more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
    return f"{', '.join(found[:_MOST_NAMED])}{more} (learned: {known})"
