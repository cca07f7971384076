"""Fields, inference and parsing of a cohort's table."""

from __future__ import annotations

from .image_settings import HEAD_CT_WINDOWS, ImageSettings
from .record_field import DEFAULT_MISSING_VALUES, LATENT_PREFIX, RecordField
from .record_problem import CohortError, RecordProblem
from .schema_inference import infer_schema
from .table_schema import RecordSchema

__all__ = [
    "DEFAULT_MISSING_VALUES",
    "HEAD_CT_WINDOWS",
    "LATENT_PREFIX",
    "CohortError",
    "ImageSettings",
    "RecordField",
    "RecordProblem",
    "RecordSchema",
    "infer_schema",
]
