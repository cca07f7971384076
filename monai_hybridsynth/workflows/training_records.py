"""The images of a cohort with their encoded rows: what a conditional network is trained and validated on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from monai_hybridsynth.data import Cohort, ImageSettings, RecordSchema, digest_settings, read_cohort, split_patients
from monai_hybridsynth.transforms import RecordEncoder, read_record_encoder

__all__ = ["TrainingRecords", "condition_records", "read_training_records", "validation_rows"]


@dataclass(frozen=True)
class TrainingRecords:
    """Records of a training, as MONAI dictionaries ``{"image": path, "condition": (num_features,) float32}``.

    Attributes:
        training: records of the cohort's patients.
        validation: records of other patients of the same cohort.
        pool: records of the pool; every column of their rows is missing.
        encoder: how rows became conditions; learned on ``training`` and ``pool``.
        image: how the cohort's pixels are to be read.
        pool_image: how the pool's are.
        fingerprint: SHA-256 of files, conditions and split; tells one training's data from another's.
    """

    training: list[dict[str, Any]]
    validation: list[dict[str, Any]]
    pool: list[dict[str, Any]]
    encoder: RecordEncoder
    image: ImageSettings
    pool_image: ImageSettings
    fingerprint: str


def condition_records(cohort: Cohort, encoder: RecordEncoder | None) -> list[dict[str, Any]]:
    """List a cohort's images with their encoded rows; empty conditions without an encoder."""
    if encoder is None:
        encoder = RecordEncoder.from_dict({"minimum_patients": 1, "columns": []})
    vectors = encoder.transform(cohort.table)
    return [{"image": str(path), "condition": vector} for path, vector in zip(cohort.image_paths, vectors, strict=True)]


def read_training_records(
    folder: str | Path,
    *,
    pool: str | Path | None = None,
    validation_share: float = 0.1,
    minimum_patients: int = 5,
    encoding_from: str | Path | None = None,
    seed: int = 0,
) -> TrainingRecords:
    """Read a cohort folder and perhaps a pool, set whole patients aside, and learn how rows are encoded.

    Args:
        folder: a cohort folder; for a prepared cohort its ``train``, since ``holdout`` judges what is made of it.
        pool: a cohort folder of more images without clinical columns. Their conditions stay missing, which so becomes
            a state that every column can have.
        validation_share: share of the patients that are set aside; rows without a patient count as patients.
        minimum_patients: patients that must have a category before it is learned.
        encoding_from: weights whose encoding is used instead of learning one, so that sites of a federation agree.
        seed: of the split.

    Raises:
        ValueError: if the cohort models no column, has fewer than two patients or lacks a column of ``encoding_from``,
            if that file has no encoding, or the pool has other channels.
    """
    cohort = read_cohort(folder)
    schema = cohort.schema
    if not schema.feature_names:
        raise ValueError(f"{folder} models no clinical column, so there is nothing to condition on; see its schema.")
    patients = _patients(cohort.table, schema)
    held_out = validation_rows(cohort, validation_share=validation_share, seed=seed)
    extra = None if pool is None else read_cohort(pool)
    if extra is not None and extra.schema.image.channels != schema.image.channels:
        raise ValueError(
            f"the pool's images have {extra.schema.image.channels} channels, the cohort's {schema.image.channels}; "
            "set the same image scaling in both schemas."
        )
    count = 0 if extra is None else len(extra)
    learned = _with_empty_rows(cohort.table.loc[~held_out, schema.feature_names], count)
    names = [*patients[~held_out], *(f"pool {row}" for row in range(count))]
    if encoding_from is None:
        encoder = RecordEncoder(schema, minimum_patients=minimum_patients).fit(learned, names)
    else:
        encoder = _stored_encoder(encoding_from)
    records = condition_records(cohort, encoder)
    empty = encoder.transform(learned.iloc[len(learned) - count :].reset_index(drop=True))
    paths = [] if extra is None else extra.image_paths
    pooled = [{"image": str(path), "condition": vector} for path, vector in zip(paths, empty, strict=True)]
    sides = zip([*records, *pooled], [*held_out, *[False] * count], strict=True)
    described = [[Path(item["image"]).name, item["condition"].tolist(), bool(side)] for item, side in sides]
    return TrainingRecords(
        training=[item for item, side in zip(records, held_out, strict=True) if not side],
        validation=[item for item, side in zip(records, held_out, strict=True) if side],
        pool=pooled,
        encoder=encoder,
        image=schema.image,
        pool_image=schema.image if extra is None else extra.schema.image,
        fingerprint=digest_settings([described, encoder.to_dict()]),
    )


def validation_rows(cohort: Cohort, *, validation_share: float, seed: int) -> np.ndarray:
    """Return which rows belong to the patients that :func:`read_training_records` sets aside, bool ``(rows,)``."""
    patients = _patients(cohort.table, cohort.schema)
    return (split_patients(patients, holdout=validation_share, seed=seed) == "holdout").to_numpy()


def _stored_encoder(weights: str | Path) -> RecordEncoder:
    encoder = read_record_encoder(weights)
    if encoder is None:
        raise ValueError(f"encoding_from is {weights}, which is no file of weights with an encoding of clinical rows.")
    return encoder


def _patients(table: pd.DataFrame, schema: RecordSchema) -> pd.Series:
    """Return a patient per row; a row without one is a patient of its own."""
    own = pd.Series([f"row {row}" for row in range(len(table))], dtype=object)
    if schema.group_name is None or schema.group_name not in table.columns:
        return own
    known = table[schema.group_name].reset_index(drop=True)
    return known.astype(object).where(known.notna(), own).astype(str)


def _with_empty_rows(table: pd.DataFrame, count: int) -> pd.DataFrame:
    """Append rows in which every value is missing; whole numbers keep a type that knows missing values."""
    whole = {name: "Int64" for name in table.columns if table[name].dtype.kind in "iu" and count}
    return table.astype(whole).reset_index(drop=True).reindex(range(len(table) + count))
