"""Workflows: what runs from a cohort folder to a cohort folder."""

from __future__ import annotations

from .content_hash import digest_file, digest_folder, digest_network, digest_settings, digest_sources
from .encode_cohort import CohortImages, encode_cohort, encode_images, join_latents
from .published_schema import published_schema
from .record_requests import RecordRequests
from .synthesise_cohort import CohortSynthesis, synthesise_cohort
from .train_synthesizer import SynthesizerTraining

__all__ = [
    "CohortImages",
    "CohortSynthesis",
    "RecordRequests",
    "SynthesizerTraining",
    "digest_file",
    "digest_folder",
    "digest_network",
    "digest_settings",
    "digest_sources",
    "encode_cohort",
    "encode_images",
    "join_latents",
    "published_schema",
    "synthesise_cohort",
]
