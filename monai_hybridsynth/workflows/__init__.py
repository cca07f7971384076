"""Workflows: what runs from a cohort folder to a cohort folder."""

from __future__ import annotations

from .copy_filter import CopyFilter
from .encode_cohort import CohortImages, encode_cohort, encode_images, join_latents
from .preparation_summary import PreparedCohort, SummaryNote
from .prepare_cohort import prepare_cohort, prepare_phantom
from .public_encoder import write_public_encoder
from .published_schema import published_schema
from .record_requests import RecordRequests
from .shipped_bundles import bundle_folder
from .synthesise_cohort import CohortSynthesis, synthesise_cohort
from .synthesise_replicas import ReplicaRequests, ReplicaSynthesis
from .train_synthesizer import SynthesizerTraining
from .training_records import TrainingRecords, condition_records, read_training_records, validation_rows

__all__ = [
    "CohortImages",
    "CohortSynthesis",
    "CopyFilter",
    "PreparedCohort",
    "RecordRequests",
    "ReplicaRequests",
    "ReplicaSynthesis",
    "SummaryNote",
    "SynthesizerTraining",
    "TrainingRecords",
    "bundle_folder",
    "condition_records",
    "encode_cohort",
    "encode_images",
    "join_latents",
    "prepare_cohort",
    "prepare_phantom",
    "published_schema",
    "read_training_records",
    "synthesise_cohort",
    "validation_rows",
    "write_public_encoder",
]
