"""What single columns look like, counted with noise: encodings, quantiles and the number of patients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from monai_hybridsynth.fusion.declared_columns import declared_columns
from monai_hybridsynth.fusion.gaussian_mechanism import GaussianMechanism, patient_means
from monai_hybridsynth.fusion.table_layout import TableLayout, latent_columns, learned_rules
from monai_hybridsynth.fusion.underlying_columns import UnderlyingColumn
from monai_hybridsynth.fusion.underlying_table import underlying_column
from monai_hybridsynth.transforms.record_encoding import RecordEncoder

if TYPE_CHECKING:
    from monai_hybridsynth.data.record_schema import RecordSchema

__all__ = ["PrivateMargins", "fit_margins"]


@dataclass
class PrivateMargins:
    """Noisy margins of a table.

    Attributes:
        layout: with encodings from noisy shares.
        columns: the clinical columns that vary, as cuts of normal variables.
        num_patients: a noisy count, at least 1.
    """

    layout: TableLayout
    columns: list[UnderlyingColumn]
    num_patients: float


def fit_margins(
    table: pd.DataFrame, schema: RecordSchema, patients: np.ndarray, mechanism: GaussianMechanism, *, share: float
) -> PrivateMargins:
    """Count patients, categories, states, and numbers in bins of their declared ranges.

    A patient adds 1 to the number of patients and, per column, the mean over its records of what they have, a vector of
    length 1 at most (square root of 2 for labels). So the whole vector's length is known before anybody is counted.

    Args:
        table: parsed clinical columns and latents.
        schema: public; its limits and categories are all that is taken as known.
        patients: one identifier per row.
        mechanism: adds the noise.
        share: of its budget.
    """
    declared = declared_columns(table, schema)
    parts = [np.ones((len(table), 1)), *[column.indicators(table[column.field.name]) for column in declared]]
    norm = float(np.sqrt(1 + sum(column.norm**2 for column in declared)))
    counts, _ = mechanism.release(patient_means(np.concatenate(parts, axis=1), patients), norm=norm, share=share)
    total = max(float(counts[0]), 1.0)
    split = np.split(counts[1:], np.cumsum([column.size for column in declared])[:-1]) if declared else []
    encoder = RecordEncoder(schema)
    encoder.columns_ = [column.encoding(found, total) for column, found in zip(declared, split, strict=True)]
    underlying = [
        underlying_column(encoding, column.margin(found), ordered=column.field.kind == "ordinal")
        for encoding, column, found in zip(encoder.columns_, declared, split, strict=True)
    ]
    latents = latent_columns(table)
    names = set(encoder.names)
    order = [name for name in table.columns if name in names or name in latents]
    layout = TableLayout(
        encoder, order, {name: str(table[name].dtype) for name in latents}, learned_rules(schema, encoder)
    )
    return PrivateMargins(layout, [column for column in underlying if column is not None], total)
