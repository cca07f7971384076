"""Studies: grids of independent cells over cohort folders, each resumable, and the report on all of them."""

from __future__ import annotations

from .supplementation import ClassifierTraining, StudyCohorts, SupplementationStudy, diffusion_cost

__all__ = ["ClassifierTraining", "StudyCohorts", "SupplementationStudy", "diffusion_cost"]
