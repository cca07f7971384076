"""Workflows: what runs from a cohort folder to a cohort folder."""

from __future__ import annotations

from .content_hash import digest_file, digest_folder, digest_network, digest_settings
from .encode_cohort import CohortImages, encode_cohort, encode_images, join_latents

__all__ = [
    "CohortImages",
    "digest_file",
    "digest_folder",
    "digest_network",
    "digest_settings",
    "encode_cohort",
    "encode_images",
    "join_latents",
]
