"""Cohorts in and out: schema, folder, images, split and the embedded demonstration cohort."""

from __future__ import annotations

from .cohort_folder import Cohort, CohortWriter, read_cohort
from .image_files import ImageFileError, StoredImage, read_image
from .record_schema import CohortError, ImageSettings, RecordField, RecordProblem, RecordSchema, infer_schema

__all__ = [
    "Cohort",
    "CohortError",
    "CohortWriter",
    "ImageFileError",
    "ImageSettings",
    "RecordField",
    "RecordProblem",
    "RecordSchema",
    "StoredImage",
    "infer_schema",
    "read_cohort",
    "read_image",
]
