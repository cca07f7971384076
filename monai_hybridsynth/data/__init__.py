"""Cohorts in and out: schema, folder, images, split and the embedded demonstration cohort."""

from __future__ import annotations

from .chest_phantom import draw_images, draw_rows, measure_images, phantom_schema, write_phantom_cohort
from .cohort_folder import Cohort, CohortWriter, read_cohort
from .content_hash import digest_file, digest_folder, digest_network, digest_settings, digest_sources
from .image_files import ImageFileError, StoredImage, read_image
from .image_pool import ImagePool, read_image_pool
from .patient_split import split_patients
from .record_schema import CohortError, ImageSettings, RecordField, RecordProblem, RecordSchema, infer_schema

__all__ = [
    "Cohort",
    "CohortError",
    "CohortWriter",
    "ImageFileError",
    "ImagePool",
    "ImageSettings",
    "RecordField",
    "RecordProblem",
    "RecordSchema",
    "StoredImage",
    "digest_file",
    "digest_folder",
    "digest_network",
    "digest_settings",
    "digest_sources",
    "draw_images",
    "draw_rows",
    "infer_schema",
    "measure_images",
    "phantom_schema",
    "read_cohort",
    "read_image",
    "read_image_pool",
    "split_patients",
    "write_phantom_cohort",
]
