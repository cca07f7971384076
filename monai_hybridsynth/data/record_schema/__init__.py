"""Fields, inference and parsing of a cohort's table."""

from __future__ import annotations

from .column_rules import ColumnRules
from .image_settings import HEAD_CT_WINDOWS, MODALITIES, ImageSettings
from .record_field import DEFAULT_MISSING_VALUES, LATENT_PREFIX, RecordField
from .record_problem import CohortError, RecordProblem
from .schema_inference import infer_image_settings, infer_schema
from .table_schema import ParsedTable, RecordSchema
from .target_columns import TargetNote, set_targets

__all__ = [
    "DEFAULT_MISSING_VALUES",
    "HEAD_CT_WINDOWS",
    "LATENT_PREFIX",
    "MODALITIES",
    "CohortError",
    "ColumnRules",
    "ImageSettings",
    "ParsedTable",
    "RecordField",
    "RecordProblem",
    "RecordSchema",
    "TargetNote",
    "infer_image_settings",
    "infer_schema",
    "set_targets",
]
