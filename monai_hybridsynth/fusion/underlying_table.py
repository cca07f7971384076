"""From fitted encodings to cuts of normal variables: which kind a clinical column is, and its thresholds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from monai_hybridsynth.fusion.number_margin import NumberMargin
from monai_hybridsynth.fusion.underlying_columns import (
    SMALLEST_SHARE,
    UnderlyingChoice,
    UnderlyingColumn,
    UnderlyingLabels,
    UnderlyingNumber,
    UnderlyingSteps,
    normal_score,
)
from monai_hybridsynth.transforms.column_encoding import MISSING, CategoryColumn, LabelColumn, NumericColumn

if TYPE_CHECKING:
    from monai_hybridsynth.transforms.record_encoding import RecordEncoder

__all__ = ["read_underlying", "underlying_column", "underlying_columns"]

KINDS: dict[str, Any] = {
    kind.kind: kind for kind in (UnderlyingNumber, UnderlyingSteps, UnderlyingChoice, UnderlyingLabels)
}


def underlying_columns(
    encoder: RecordEncoder,
    flat: Mapping[str, np.ndarray],
    *,
    ordinal: set[str],
    weights: np.ndarray,
    patients: np.ndarray,
) -> list[UnderlyingColumn]:
    """Return the clinical columns that vary as cuts of normal variables.

    Args:
        encoder: fitted on the table.
        flat: its flat columns, for the quantiles of numbers.
        ordinal: names of columns whose categories are in order.
        weights: one per row, so that every patient counts once.
        patients: one identifier per row.
    """
    made: list[UnderlyingColumn | None] = []
    for name in encoder.names:
        column = encoder.column(name)
        if isinstance(column, NumericColumn):
            seen = np.asarray(flat.get(f"{name}:state", np.full(len(weights), "value"))) == "value"
            values = np.asarray(flat[name], dtype=float) if name in flat else np.zeros(len(weights))
            number = column.flats[0]
            margin = NumberMargin.fit(
                values[seen] if name in flat else values[:0],
                weights=weights[seen],
                patients=patients[seen],
                lower=number.lower,
                upper=number.upper,
                minimum_patients=encoder.minimum_patients,
            )
            made.append(underlying_column(column, margin))
        else:
            made.append(underlying_column(column, ordered=name in ordinal))
    return [column for column in made if column is not None]


def underlying_column(
    column: NumericColumn | CategoryColumn | LabelColumn, margin: NumberMargin | None = None, *, ordered: bool = False
) -> UnderlyingColumn | None:
    """Return one fitted encoding as cuts of normal variables; None where nothing varies.

    Args:
        column: its states, categories or labels with their shares.
        margin: quantiles of a number.
        ordered: whether categories are in order.
    """
    if isinstance(column, NumericColumn):
        assert margin is not None
        made = _number(column, margin)
    elif isinstance(column, LabelColumn):
        made = _labels(column)
    else:
        made = _category(column, ordered=ordered)
    return made if made is not None and made.size else None


def _number(column: NumericColumn, margin: NumberMargin) -> UnderlyingColumn | None:
    """Return a number with its states; None for a constant."""
    number, state = column.flats
    shares = dict(zip(state.categories or (), state.shares, strict=True))
    missing = shares.pop("missing", 0.0)
    if number.is_constant and len(shares) < 2 and state.is_constant:
        return None
    rest = max(sum(shares.values()), SMALLEST_SHARE)
    return UnderlyingNumber(
        column.name,
        gap=missing > 0 and bool(shares),
        thresholds=[float(-normal_score(missing))] if missing > 0 and shares else [],
        below=round(shares.get("below", 0.0) / rest, 4),
        above=round(shares.get("above", 0.0) / rest, 4),
        state=tuple(state.categories or ()),
        margin=margin,
    )


def _category(column: CategoryColumn, *, ordered: bool) -> UnderlyingColumn | None:
    """Return a binary, ordinal or nominal column; None for a constant."""
    part = column.flats[0]
    if part.is_constant or part.categories is None:
        return None
    shares = dict(zip(part.categories, part.shares, strict=True))
    missing = shares.pop(MISSING, 0.0) if ordered and len(part.categories) > 2 else 0.0
    if len(shares) > 2 and not ordered:
        order = np.argsort(-np.array(part.shares), kind="stable")
        names, sizes = tuple(part.categories[i] for i in order), tuple(part.shares[i] for i in order)
        left = 1 - np.cumsum([0.0, *sizes])
        return UnderlyingChoice(
            column.name, False, [float(-normal_score(sizes[i] / left[i])) for i in range(len(sizes) - 1)], names, sizes
        )
    levels = np.cumsum(list(shares.values()))[:-1] / sum(shares.values())
    thresholds = [float(-normal_score(missing))] if missing else []
    return UnderlyingSteps(column.name, bool(missing), thresholds, tuple(shares), tuple(normal_score(levels).tolist()))


def _labels(column: LabelColumn) -> UnderlyingColumn | None:
    """Return a multi-label column; None when no label and no absence varies."""
    state = column.flats[-1]
    varying = [part for part in column.flats[:-1] if not part.is_constant]
    missing = dict(zip(state.categories or (), state.shares, strict=True)).get("missing", 0.0)
    gap = missing > 0 and not state.is_constant
    shares = tuple(part.shares[1] for part in varying)
    known = [min(share / (1 - missing), 1 - SMALLEST_SHARE) for share in shares] if missing < 1 else list(shares)
    return UnderlyingLabels(
        column.name,
        gap,
        [float(-normal_score(missing))] * gap + [float(-normal_score(share)) for share in known],
        labels=tuple(part.name[len(column.name) + 1 :] for part in varying),
        shares=shares,
        exclusive=column.exclusive,
        always_one=column.needs_label,
    )


def read_underlying(content: Mapping[str, Any]) -> UnderlyingColumn:
    """Rebuild a column from ``to_dict``, also after a trip through JSON."""
    values: dict[str, Any] = {
        name: tuple(v) if isinstance(v, list) and name != "thresholds" else v for name, v in content.items()
    }
    kind = KINDS[values.pop("kind")]
    if "margin" in values:
        values["margin"] = NumberMargin(**values["margin"])
    return kind(**values)
