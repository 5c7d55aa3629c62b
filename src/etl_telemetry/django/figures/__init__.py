"""Figures of pipelines, computed in the database from the host's own run table."""

from etl_telemetry.django.figures.queries import pipeline_metrics, system_metrics
from etl_telemetry.django.figures.series import RunBucket, run_series
from etl_telemetry.django.figures.values import (
    NEVER_RUN,
    PipelineMetrics,
    PipelineVolume,
    SystemMetrics,
)

__all__ = [
    "NEVER_RUN",
    "PipelineMetrics",
    "PipelineVolume",
    "RunBucket",
    "SystemMetrics",
    "pipeline_metrics",
    "run_series",
    "system_metrics",
]
