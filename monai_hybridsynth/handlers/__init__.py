"""Handlers: what happens around training and validation."""

from __future__ import annotations

from .generated_images import GeneratedImages
from .generation_metrics import GenerationMetrics
from .sample_grid import SampleGrid, tile_images
from .training_checkpoint import TrainingCheckpoint
from .weight_average import WeightAverage
from .weight_export import WeightExport

__all__ = [
    "GeneratedImages",
    "GenerationMetrics",
    "SampleGrid",
    "TrainingCheckpoint",
    "WeightAverage",
    "WeightExport",
    "tile_images",
]
