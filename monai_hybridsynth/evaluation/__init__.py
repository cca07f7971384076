"""Evaluation: cohorts in, metrics.json and a report out."""

from __future__ import annotations

from .cohort_evaluation import evaluate_cohorts
from .metric_record import MetricRecord, metrics_schema, read_metrics, write_metrics

__all__ = ["MetricRecord", "evaluate_cohorts", "metrics_schema", "read_metrics", "write_metrics"]
