"""Handlers: what happens around training and validation."""

from __future__ import annotations

from .condition_grid import ConditionGrid
from .generated_images import GeneratedImages
from .generation_metrics import GenerationMetrics
from .gradient_clipping import GradientClipping
from .sample_grid import SampleGrid, tile_images
from .training_checkpoint import TrainingCheckpoint
from .weight_average import WeightAverage
from .weight_export import WeightExport

__all__ = [
    "ConditionGrid",
    "GeneratedImages",
    "GenerationMetrics",
    "GradientClipping",
    "SampleGrid",
    "TrainingCheckpoint",
    "WeightAverage",
    "WeightExport",
    "tile_images",
]
