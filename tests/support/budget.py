"""What counts against the series budget: runs and tasks of pipelines of 50 organizations."""

from __future__ import annotations

from etl_telemetry import metrics

PIPELINES, ORGANIZATIONS = 2_000, 50


def count_runs_of(number: int) -> None:
    """Count a run of one pipeline that succeeds and one that fails, and their tasks and rows."""
    name = f"pipeline-{number}"
    for status in ("success", "failed"):
        metrics.record_pipeline_execution(name, f"org-{number % ORGANIZATIONS}", status, 1.0)
    for kind in ("extract", "transform", "load"):
        metrics.record_task_execution(kind, name, "success", 1.0)
        metrics.record_rows(name, kind, processed=1, read=1)
