"""Between files and networks: intensity windows for images, encodings for clinical rows."""

from __future__ import annotations

from .intensity_windows import RecordImage, RecordImaged, load_images, scale_intensity
from .random_batch_affine import RandomBatchAffine
from .record_condition import RecordCondition, read_record_encoder, unlearned_values
from .record_encoding import RecordEncoder

__all__ = [
    "RandomBatchAffine",
    "RecordCondition",
    "RecordEncoder",
    "RecordImage",
    "RecordImaged",
    "load_images",
    "read_record_encoder",
    "scale_intensity",
    "unlearned_values",
]
