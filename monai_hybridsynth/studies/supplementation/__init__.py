"""What synthetic records add to real ones: classifiers trained on real, synthetic and both, tested on real patients."""

from __future__ import annotations

from .computing_cost import diffusion_cost
from .finding_classifier import ClassifierTraining
from .study_cohorts import StudyCohorts
from .supplementation_study import SupplementationStudy

__all__ = ["ClassifierTraining", "StudyCohorts", "SupplementationStudy", "diffusion_cost"]
