"""The embedded demonstration cohort: chest radiographs drawn analytically, whose anatomy follows the clinical row."""

from __future__ import annotations

from .chest_drawing import draw_images
from .chest_measurement import measure_images
from .clinical_rows import VARIANTS, draw_rows
from .finding_rows import FINDINGS
from .phantom_cohort import write_phantom_cohort
from .phantom_schema import phantom_schema

__all__ = [
    "FINDINGS",
    "VARIANTS",
    "draw_images",
    "draw_rows",
    "measure_images",
    "phantom_schema",
    "write_phantom_cohort",
]
